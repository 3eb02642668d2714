"""Clients and contacts of the demo firm: two years of them, owned as in a real sales department, some of them moving on."""

from addons.crm_client.models import Client, Contact
from addons.crm_client.rules import sales_manager, salesperson

# In the three languages, and the region they lie in.
CITIES = [
    ("Beijing", "北京", "北京", "beijing"), ("Shanghai", "上海", "上海", "shanghai"), ("Guangzhou", "广州", "廣州", "guangdong"),
    ("Shenzhen", "深圳", "深圳", "guangdong"), ("Hangzhou", "杭州", "杭州", "zhejiang"), ("Nanjing", "南京", "南京", "jiangsu"),
    ("Suzhou", "苏州", "蘇州", "jiangsu"), ("Chengdu", "成都", "成都", "sichuan"), ("Chongqing", "重庆", "重慶", "chongqing"),
    ("Wuhan", "武汉", "武漢", "hubei"), ("Xi'an", "西安", "西安", "shaanxi"), ("Tianjin", "天津", "天津", "tianjin"),
    ("Changsha", "长沙", "長沙", "hunan"), ("Zhengzhou", "郑州", "鄭州", "henan"), ("Qingdao", "青岛", "青島", "shandong"),
    ("Shenyang", "沈阳", "瀋陽", "liaoning"), ("Ningbo", "宁波", "寧波", "zhejiang"), ("Kunming", "昆明", "昆明", "yunnan"),
    ("Hefei", "合肥", "合肥", "anhui"), ("Fuzhou", "福州", "福州", "fujian"), ("Xiamen", "厦门", "廈門", "fujian"),
    ("Harbin", "哈尔滨", "哈爾濱", "heilongjiang"), ("Guiyang", "贵阳", "貴陽", "guizhou"), ("Nanning", "南宁", "南寧", "guangxi"),
    ("Hong Kong", "香港", "香港", "hong_kong"), ("Macao", "澳门", "澳門", "macao"), ("Taipei", "台北", "臺北", "taiwan"),
    ("Kaohsiung", "高雄", "高雄", "taiwan"),
]  # fmt: skip
CATEGORIES = {"intending": 38, "formal": 34, "partner": 8, "supplier": 9, "media_resource": 4, "social_relation": 7}
SOURCES = {"referral": 26, "website": 20, "advertising": 12, "exhibition": 14, "incoming_call": 14, "visit": 8, "other": 6}
STATUSES = {"nobody_in_contact": 34, "in_negotiation": 32, "signed": 24, "dead": 10}
LEVELS = {"a": 8, "b": 22, "c": 45, "d": 25}
TITLES = [("Managing director", "总经理", "總經理"), ("Purchasing", "采购经理", "採購經理"), ("Accounting", "财务", "會計"),
          ("Assistant", "助理", "助理"), ("Head of department", "部门主管", "部門主管")]  # fmt: skip
NOTES = [
    ("Calls are best after four in the afternoon.", "下午四点以后方便接电话。", "下午四點以後方便接電話。"),
    ("Contract is renewed each March.", "合同每年三月续签。", "合約每年三月續簽。"),
    ("Asks for an invoice before paying.", "先开票后付款。", "先開發票後付款。"),
    ("Met at the trade fair.", "展会上认识的。", "展覽會上認識的。"),
]
FEW, MANY_OF = 20, 200
"""One salesperson owns 20 clients of all, one every 200th: 5,000 of a million."""


def demo(firm):
    """Make clients and their contacts, and let some clients move on."""
    firm.give(salesperson, "sales", "crowd", "nobody", "few", "many")
    firm.give(sales_manager, "manager")
    owners = []
    clients = firm.make(Client, _clients(firm, owners))
    firm.facts["clients"] = list(zip(clients, owners, strict=True)) if not firm.big else clients
    if not firm.big:
        firm.make(Contact, _contacts(firm, firm.facts["clients"]))
        _moves(firm, firm.facts["clients"])


def _one(pick, weights):
    return pick.choices(*_drawn[id(weights)])[0]


_drawn = {id(one): (list(one), list(one.values())) for one in (CATEGORIES, SOURCES, STATUSES, LEVELS)}


def _clients(firm, owners):
    """(moment, who, values) of every client, the oldest first; leaves (owner, moment) of each in ``owners``."""
    pick, words = firm.pick, firm.words
    place = {"zh_Hans": 1, "zh_Hant": 2}.get(firm.language, 0)
    choose = _big_owner(firm) if firm.big else _owner(firm)
    weights = [1 / (1 + 0.15 * one) for one in range(len(CITIES))]
    moment = None
    for number in range(firm.clients):
        owner = choose(number)
        # People enter several clients at a sitting.
        if firm.big or number % 4 == 0:
            moment = firm.moment(firm.days * (1 - number / firm.clients))
            sitting = owner
        if not firm.big:
            owner = sitting
        city = pick.choices(CITIES, weights)[0]
        is_person = pick.random() < 0.15
        name = words.person() if is_person else words.company(city[place])
        values = {
            "name": name,
            "category": _one(pick, CATEGORIES),
            "level": _one(pick, LEVELS) if pick.random() < 0.8 else None,
            "source": _one(pick, SOURCES),
            "status": _one(pick, STATUSES) if number < firm.clients * 0.97 else "nobody_in_contact",
            "phones": words.mobile(),
            "region": city[3],
            "address": words.address(city[place]) if pick.random() < 0.8 else None,
            "birthday": firm.moment(pick.randrange(22 * 365, 65 * 365)).date() if is_person and pick.random() < 0.6 else None,
            "email": f"c{number + 1}@example.com" if pick.random() < 0.5 else None,
            "remarks": firm.say(*pick.choice(NOTES)) if pick.random() < 0.25 else None,
            "owner": owner.id if owner else None,
            "department": owner.department_id if owner else None,
        }
        if not firm.big:
            owners.append((owner, moment))
        yield moment, owner.id if owner else None, values


def _owner(firm):
    sellers = firm.who("sales", "manager")
    return lambda number: firm.pick.choice(sellers)


def _big_owner(firm):
    """Shares that a bench can rely on: 0, 20 and one in 200 for three people, three in ten for the east, one in twenty for nobody."""
    (few,), (many,) = firm.who("few"), firm.who("many")
    east = [one for one in firm.who("crowd", "sales") if one.department == "east"]
    rest = [one for one in firm.who("crowd", "sales") if one.department != "east"]
    each = max(firm.clients // FEW, 1)

    def choose(number):
        if number % each == 7:
            return few
        if number % MANY_OF == 5:
            return many
        if number % 10 < 3:
            return east[int(len(east) * firm.pick.random() ** 1.3)]
        return None if firm.pick.random() < 0.07 else rest[int(len(rest) * firm.pick.random() ** 1.3)]

    return choose


def _contacts(firm, clients):
    for client, (owner, moment) in clients:
        for number in range(firm.pick.choice((0, 1, 1, 2))):
            values = {
                "client": client,
                "name": firm.words.person(),
                "title": firm.say(*firm.pick.choice(TITLES)),
                "phones": firm.words.mobile(),
                "is_primary": number == 0,
            }
            yield moment, owner.id, values


def _moves(firm, clients):
    """Some clients are talked to and signed later, and some go to another salesperson of the same department."""
    for client, (owner, moment) in clients:
        chance = firm.pick.random()
        if chance > 0.3:
            continue
        later = min(firm.moment(0), moment.replace(hour=2) + (firm.moment(0) - moment) * firm.pick.random())
        if later <= moment:
            continue
        near = [one for one in firm.who("sales", "manager") if one.department_id == owner.department_id and one is not owner]
        if chance < 0.06 and near:
            heir = firm.pick.choice(near)
            firm.change(Client, client, later, owner.id, {"owner": heir.id, "department": heir.department_id})
        else:
            firm.change(Client, client, later, owner.id, {"level": _one(firm.pick, LEVELS), "status": _one(firm.pick, STATUSES)})
