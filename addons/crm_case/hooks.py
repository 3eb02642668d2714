"""What happens by itself with cases, and where else they show."""

from addons.crm_case import service
from addons.crm_case.models import Case, CaseNote, Stage
from addons.crm_client.models import Client

from core import hook, today


@hook.before_save(Case)
def keep_stage_and_dates(record, changes):
    """A new case starts at the first stage, today; the day a case is closed follows from its stage."""
    if record.id is None:
        record.opened_on = record.opened_on or today()
        if record.stage_id is None:
            record.stage_id = service.first_stage(closed=False)
    if record.id is None or "stage" in changes:
        record.closed_on = (record.closed_on or today()) if service.is_closed(record) else None


@hook.after_save(Stage)
def look_at_the_stages_again(record, changes):
    """What was known of the stages in this request is no longer so."""
    service.forget_stages()


@hook.before_save(CaseNote)
def date_the_note(record, changes):
    """A note without a date is of today."""
    record.done_on = record.done_on or today()


@hook.panels(Client)
def list_cases(record):
    """A client's page lists his cases (S0-64)."""
    return [Case]
