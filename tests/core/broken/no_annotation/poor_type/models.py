"""A field without a type."""

from core import Model, field


class Untyped(Model):
    """Forgot its annotation."""

    name = field()
