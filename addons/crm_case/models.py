"""Cases: what the firm handles for its clients, the stages they go through, and what was done about them."""

from datetime import date
from decimal import Decimal

from addons.crm_client.models import Client

from core import Mapped, Model, Owned, field, link


class Stage(Model):
    """A stage that cases go through, in the firm's order."""

    name: Mapped[str] = field(unique=True, translated=True, search=True)
    position: Mapped[int] = field(default=100, help="Cases pass the stages from the lowest to the highest")
    is_closed: Mapped[bool] = field(label="Closed", help="Cases at this stage are done")


class Case(Owned, Model):
    """A matter that the firm handles for a client.

    Source: S0-64 to S0-71.
    """

    name: Mapped[str] = field(search=True, index=True, label="Case name")
    number: Mapped[str] = field(kind="code", number="A{yyyy}-{00000}", unique=True, search=True, label="Case number")
    client: Mapped[Client] = link()
    category: Mapped[str | None] = field(
        choices=["civil", "criminal", "administrative", "arbitration", "non_litigation", "standing_counsel"], label="Case category"
    )
    kind: Mapped[str | None] = field(
        choices=["contract_dispute", "labour_dispute", "debt_collection", "intellectual_property", "company_matters", "tort", "other"],
        label="Case kind",
    )
    cause: Mapped[str | None] = field(search=True, label="Cause of action")
    stage: Mapped[Stage | None] = link()
    urgency: Mapped[str] = field(choices=["low", "normal", "high", "urgent"], default="normal")
    opened_on: Mapped[date | None] = field()
    due_on: Mapped[date | None] = field(index=True)
    closed_on: Mapped[date | None] = field(readonly=True)
    summary: Mapped[str | None] = field(long=True, label="Business summary")
    remarks: Mapped[str | None] = field(long=True)

    duplicate_keys = "number"
    also_called = {
        "name": "matter 案名 案件",
        "cause": "案由",
        "owner": "lawyer 律师 律師 承办人 承辦人 承办律师 承辦律師 主办律师 主辦律師",
        "opened_on": "filed_on 收案日期 立案日期",
        "due_on": "deadline 期限 截止日期 到期日",
    }


class CaseNote(Model):
    """Something that was done about a case, or came in for it.

    Source: S0-72 to S0-76.
    """

    case: Mapped[Case] = link(part_of=True)
    kind: Mapped[str] = field(choices=["follow_up", "receipt", "business_trip", "other"], default="follow_up", label="Note kind")
    subject: Mapped[str] = field(search=True, label="What was done")
    done_on: Mapped[date | None] = field(label="Date")
    amount: Mapped[Decimal | None] = field(help="Money received, or spent on the trip")
    details: Mapped[str | None] = field(long=True)
