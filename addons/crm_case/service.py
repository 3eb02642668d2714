"""What is done with a case as a whole: closing it, and opening it again."""

from addons.crm_case.models import Case, CaseNote, Stage

from core import Invalid, _, actor, records, system, today

KNOWN = "crm_case.stages"


def stages():
    """{id: is it a closed one} in the firm's order; read once a request, whatever the person may see of stages."""
    memo = actor().memo
    if KNOWN not in memo:
        with system("the stages of cases"):
            memo[KNOWN] = {one.id: one.is_closed for one in records(Stage).find(order="position", limit=200, count=False).rows}
    return memo[KNOWN]


def forget_stages():
    """Read the stages anew when they are asked for next."""
    actor().memo.pop(KNOWN, None)


def first_stage(closed):
    """The id of the first stage of open cases, or of closed ones; None when the firm has none."""
    return next((one for one, is_closed_one in stages().items() if is_closed_one is closed), None)


def is_closed(case):
    """Is the case at a stage where it is done?"""
    return stages().get(case.stage_id, False)


def close(case, reason=""):
    """Put a case to the first closed stage, with a note that says so; False when it was closed already."""
    return _go(case, True, _("Case closed"), reason)


def reopen(case, reason=""):
    """Take a closed case up again at the first open stage; False when it was open."""
    return _go(case, False, _("Case opened again"), reason)


def _go(case, closed, subject, reason):
    if is_closed(case) is closed:
        return False
    stage = first_stage(closed)
    if stage is None:
        raise Invalid({"stage": _("There is no stage for this yet; an administrator can add one under Stages.")})
    records(Case).edit(case, {"stage": stage})
    with system("the note about it is written with the deed, by whoever does it"):
        records(CaseNote).create({"case": case.id, "kind": "other", "subject": subject, "details": reason, "done_on": today()})
    return True
