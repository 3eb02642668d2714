"""Cases of the demo firm: for one client in three, at every stage, with what was done about them."""

from datetime import timedelta

from addons.crm_case.models import Case, CaseNote, Stage
from addons.crm_case.rules import head_of_cases, lawyer
from addons.crm_client.models import Client

from core import records

WEIGHTS = {
    "contract_dispute": 34, "debt_collection": 22, "labour_dispute": 14, "intellectual_property": 10, "company_matters": 12, "tort": 8,
}  # fmt: skip
CATEGORIES = {
    "contract_dispute": "civil", "debt_collection": "civil", "labour_dispute": "arbitration", "intellectual_property": "civil",
    "company_matters": "non_litigation", "tort": "civil",
}  # fmt: skip
CAUSES = {
    "contract_dispute": ("Sales contract", "买卖合同纠纷", "買賣契約糾紛"),
    "debt_collection": ("Unpaid loan", "民间借贷纠纷", "借貸糾紛"),
    "labour_dispute": ("Wages", "劳动报酬争议", "工資爭議"),
    "intellectual_property": ("Trade mark", "商标侵权纠纷", "商標侵權"),
    "company_matters": ("Change of shareholders", "股权转让", "股權轉讓"),
    "tort": ("Damages", "侵权责任纠纷", "損害賠償"),
}
SUMMARIES = [
    ("Papers are complete; the other side has been written to.", "材料齐备，已向对方发出律师函。", "資料齊備，已向對方寄發律師函。"),
    ("The client wishes to settle if half is paid.", "客户愿意在对方支付一半后和解。", "客戶願意在對方支付一半後和解。"),
    ("Waits for the first hearing.", "等待第一次开庭。", "等待第一次開庭。"),
]
NOTES = {
    "follow_up": [("Talked to the client", "与客户电话沟通", "與客戶電話溝通"), ("Sent the statement of claim", "提交起诉状", "遞交起訴狀"),
                  ("Collected evidence", "收集证据材料", "蒐集證據資料")],
    "receipt": [("First fee", "收到首期律师费", "收到首期律師費"), ("Balance", "收到尾款", "收到尾款")],
    "business_trip": [("Hearing out of town", "外地开庭", "外地開庭")],
    "other": [("Filed at the court", "法院立案", "法院立案")],
}  # fmt: skip


def demo(firm):
    """Make cases and their notes; a firm for measuring has clients only."""
    firm.give(head_of_cases, "counsel")
    firm.give(lawyer, "lawyer")
    if firm.big:
        return
    stages = records(Stage).find(order="position", limit=50, count=False).rows
    told = []
    running, closed = [one.id for one in stages if not one.is_closed], [one.id for one in stages if one.is_closed]
    cases = list(zip(firm.make(Case, _cases(firm, running, told)), told, strict=True))
    firm.make(CaseNote, _notes(firm, cases))
    for case, (who, moment) in cases:
        if (firm.now - moment).days > 120 and firm.pick.random() < 0.7:
            firm.change(Case, case, moment + (firm.now - moment) * firm.pick.random(), who.id, {"stage": firm.pick.choice(closed)})


def _cases(firm, running, told):
    """(moment, who, values) of each case in the order of time; leaves (who, moment) of each in ``told``."""
    pick = firm.pick
    clients = [pair for pair in firm.facts["clients"] if pick.random() < 0.33]
    names = _names([client for client, _owner in clients])
    days = [(min(entered + timedelta(days=pick.randrange(2, 40)), firm.now), client) for client, (_seller, entered) in clients]
    for moment, client in sorted(days):
        name = names[client]
        who = pick.choice(firm.who("counsel", "lawyer"))
        kind = pick.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        cause = firm.say(*CAUSES[kind])
        told.append((who, moment))
        yield moment, who.id, {
            "name": firm.say(f"{cause}: {name}", f"{name}{cause}案", f"{name}{cause}案"),
            "client": client, "category": CATEGORIES[kind], "kind": kind, "cause": cause, "owner": who.id, "department": who.department_id,
            "stage": pick.choice(running),
            "urgency": pick.choices(["low", "normal", "high", "urgent"], [15, 60, 18, 7])[0],
            "due_on": (moment + timedelta(days=pick.randrange(30, 400))).date(),
            "summary": firm.say(*pick.choice(SUMMARIES)),
        }  # fmt: skip


def _names(clients):
    """{id: name} of clients."""
    found = {}
    for start in range(0, len(clients), 500):
        found |= {one.id: one.name for one in records(Client).many(clients[start : start + 500])}
    return found


def _notes(firm, cases):
    pick = firm.pick
    for case, (who, moment) in cases:
        for _number in range(pick.choice((0, 1, 2, 3, 4))):
            kind = pick.choices(list(NOTES), [60, 18, 12, 10])[0]
            at = moment + (firm.now - moment) * pick.random()
            amount = pick.randrange(1, 60) * 500 if kind in ("receipt", "business_trip") else None
            values = {"case": case, "kind": kind, "subject": firm.say(*pick.choice(NOTES[kind])), "done_on": at.date(), "amount": amount}
            yield moment, who.id, values
