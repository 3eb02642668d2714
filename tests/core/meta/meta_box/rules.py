"""A packer keeps boxes of his own."""

from core import Role, rule

from .models import Box

packer = Role("Packer")
rule(Box, packer, "read create edit delete")
