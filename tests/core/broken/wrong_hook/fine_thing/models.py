"""What stands although its neighbour is broken."""

from core import Mapped, Model, field


class Thing(Model):
    """A thing that works."""

    name: Mapped[str] = field()
