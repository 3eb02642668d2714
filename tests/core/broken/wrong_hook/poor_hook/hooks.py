"""Takes an argument that the hook does not give."""

from addons.fine_thing.models import Thing
from core import hook


@hook.after_save(Thing)
def tell_somebody(record, changed):
    """Never runs."""
