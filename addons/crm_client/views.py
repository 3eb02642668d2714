"""How clients and contacts look; only what differs from the automatic screen."""

from addons.crm_client.models import Client, Contact

from core import View, _


class ClientView(View, model=Client):
    columns = "name code category level status region phones owner changed_at"
    form = {
        _("Client"): "name code category level source status birthday",
        _("Ways to reach them"): "phones email region address",
        _("Whose it is"): "owner department",
        _("Remarks"): "remarks",
    }
    board = "status"
    panels = [Contact]


class ContactView(View, model=Contact):
    columns = "name client title phones email is_primary"
    form = {_("Contact"): "client name title is_primary", _("Ways to reach them"): "phones email", _("Remarks"): "remarks"}
