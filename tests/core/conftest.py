"""What the tests of the kernel share."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.core.kernel import kernel


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The kernel on each of the two databases, empty at the start of the module; the value says which."""
    with kernel(request.param, tmp_path_factory.mktemp("kernel")):
        yield request.param


@pytest.fixture
def admin(login_as: Any) -> Any:
    """A browser of an administrator."""
    return login_as("boss", level="administrator")
