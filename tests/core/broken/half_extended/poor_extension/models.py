"""Adds to another addon's model, and breaks off afterwards."""

from addons.fine_thing.models import Thing
from core import Mapped, extend, field


@extend(Thing)
class ThingMore:
    """One more thing to know of a thing."""

    weight: Mapped[int | None] = field()
