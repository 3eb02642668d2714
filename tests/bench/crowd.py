"""What many do at once: fifty people claim the same clients, eight clients ask one process for lists."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.bench import rows
from tests.bench.measure import Asker, Running

CLIENTS, SECONDS = 8, 5.0


@dataclass
class Claimed:
    """How the claiming of the same clients by fifty people ended."""

    winners: list[int]
    """For each client how many were told that it is theirs."""
    seconds: float
    strange: list[int]
    """Answers that are neither yes nor “somebody else was first”."""

    @property
    def right(self) -> bool:
        """Exactly one winner each."""
        return set(self.winners) == {1} and not self.strange


def claim(now: Running) -> Claimed:
    """Each of fifty people reads the version of twenty clients, then asks for each to be his; only the first may be told yes."""
    people = [one for one in now.facts["people"] if one["login"].startswith("claim")]
    api, wanted = "/api/v1/crm_client", list(range(rows.FIRST_ID, rows.FIRST_ID + rows.UNOWNED))
    with now.asker(people[0]["login"]) as first:
        versions = {number: json.loads(first.must("GET", f"{api}/{number}")[0])["result"]["version"] for number in wanted}

    def one(place: int) -> list[int]:
        person = people[place]
        answers = []
        with now.asker(person["login"]) as asker:
            for number in wanted:
                asker.headers["Content-Type"] = "application/json"
                body = json.dumps({"owner": person["id"], "version": versions[number]})
                answers.append(_sent(asker, "PUT", f"{api}/{number}", body))
        return answers

    seconds, given = together(len(people), one)
    columns = list(zip(*given, strict=True))
    strange = [status for column in columns for status in column if status not in (200, 409)]
    return Claimed([column.count(200) for column in columns], seconds, strange)


def _sent(asker: Asker, method: str, url: str, body: str) -> int:
    asker.connection.request(method, url, body, asker.headers)
    answer = asker.connection.getresponse()
    answer.read()
    return answer.status


def lists_a_second(now: Running, url: str, person: str, floor: bool = False) -> float:
    """Lists that one process gives eight clients in a second."""
    until = time.perf_counter() + SECONDS

    def one(_place: int) -> int:
        done = 0
        with now.floor_asker(person) if floor else now.asker(person) as asker:
            while time.perf_counter() < until:
                asker.must("GET", url)
                done += 1
        return done

    seconds, given = together(CLIENTS, one)
    return sum(given) / seconds


def together(count: int, work: Callable[[int], Any]) -> tuple[float, list[Any]]:
    """(seconds, what each gave) of ``count`` threads that begin at once. Raises what one of them has raised."""
    gate = threading.Barrier(count + 1)
    given: list[Any] = [None] * count
    wrong: list[BaseException] = []

    def one(place: int) -> None:
        gate.wait()
        try:
            given[place] = work(place)
        except BaseException as problem:
            wrong.append(problem)

    threads = [threading.Thread(target=one, args=(place,)) for place in range(count)]
    for thread in threads:
        thread.start()
    gate.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    if wrong:
        raise wrong[0]
    return time.perf_counter() - began, given
