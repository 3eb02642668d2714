"""The command demo: a plausible firm to look at, and its removal."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from core.cli import say


def commands(add: Callable[..., argparse.ArgumentParser]) -> None:
    """demo"""
    demo = add(
        "demo",
        "fill an unused house with a plausible firm: departments, people, clients, cases over two years",
        "  run.py demo                              12 people and 2,000 clients with Chinese names\n"
        "  run.py demo --language en                the same with English names; zh_Hant for Taiwan's\n"
        "  run.py demo --clients 1000000            for measuring: 200 salespeople more, by a fast way without a journal row each\n"
        "  run.py demo --remove                     take away what this command has made",
    )
    demo.add_argument("--language", default="zh_Hans", metavar="LANGUAGE", help="of the firm's records: zh_Hans (default), zh_Hant or en")
    demo.add_argument("--clients", type=int, default=2000, metavar="N", help="how many clients (2,000)")
    demo.add_argument("--password", help="of all demo people; one is made and shown when this is left out")
    demo.add_argument("--remove", action="store_true", help="remove the demo firm; what people have made since stays")
    demo.add_argument("--force", action="store_true", help="with --remove: also what people have built upon demo records")
    demo.set_defaults(run=_demo)


def _demo(chosen: Any) -> int:
    from core.cli.house import house
    from core.demo import make_firm
    from core.demo_removal import remove_firm

    if chosen.remove:
        with house():
            for sentence in remove_firm(chosen.force, say):
                print(sentence)
        say("The demo firm is gone.")
        return 0
    with house():
        firm, password = make_firm(chosen.language, chosen.clients, chosen.password, say)
    for one in firm.people[:15]:
        print(f"{one.login:16}{one.name}")
    print(f"Password of all {len(firm.people)} people of the demo firm: {password}")
    return 0
