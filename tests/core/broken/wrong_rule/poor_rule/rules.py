"""Names a scope that there is not."""

from addons.fine_thing.models import Thing
from core import Role, rule

rule(Thing, Role("Poor"), "read", scope="departement")
