"""Tags: short labels people put on clients and cases."""

from core import Mapped, Model, field


class Tag(Model):
    """A short label."""

    name: Mapped[str] = field(unique=True)
    colour: Mapped[str] = field(choices=["grey", "green", "red"], default="grey")
    note: Mapped[str | None] = field(long=True)
