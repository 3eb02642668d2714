"""How cases, their stages and notes look; only what differs from the automatic screen."""

from addons.crm_case import service
from addons.crm_case.models import Case, CaseNote, Stage

from core import View, _, action, ngettext


class CaseView(View, model=Case):
    columns = "name number client category stage urgency owner due_on"
    form = {
        _("Case"): "name number client category kind cause",
        _("Planning"): "stage urgency owner department opened_on due_on closed_on",
        _("Story"): "summary remarks",
    }
    board = "stage"
    calendar = "due_on"
    panels = [CaseNote]

    def withheld(self, name, record):
        """An open case can be closed, a closed one opened again."""
        if service.is_closed(record):
            return _("This case is closed already.") if name == "close" else ""
        return _("This case is open.") if name == "reopen" else ""

    @action(_("Close case"), confirm=_("Close the selected cases?"), icon="check", verb="close")
    def close(self, cases):
        """Close cases that are open."""
        done = sum(service.close(case) for case in cases)
        return ngettext("%(count)s case was closed.", "%(count)s cases were closed.", done)

    @action(_("Reopen case"), icon="refresh", verb="reopen")
    def reopen(self, cases):
        """Open closed cases again."""
        done = sum(service.reopen(case) for case in cases)
        return ngettext("%(count)s case was opened again.", "%(count)s cases were opened again.", done)


class StageView(View, model=Stage):
    columns = "name position is_closed"
    order = "position"
    position = 10


class CaseNoteView(View, model=CaseNote):
    columns = "subject case kind done_on amount created_by"
    form = {_("Case note"): "case kind subject done_on amount", _("Details"): "details"}
    order = "-done_on"
