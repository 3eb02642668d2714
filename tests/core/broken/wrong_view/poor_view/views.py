"""Names a field that the model does not have."""

from addons.fine_thing.models import Thing
from core import View


class ThingView(View, model=Thing):
    """A list of things."""

    columns = "name stauts"
