"""The tests of Mortise; a package, so that `from tests import servers` means this one."""
