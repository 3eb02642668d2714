"""One of several processes that read a record and then write it, as requests do; run by test_concurrency.

`python -m tests.core.race URL MATTER USER TIMES GO` waits for the file GO, then counts the matter's amount up TIMES times,
and prints the seconds that each took as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from core import records
from core.db import db
from tests.core.kernel import acts, connected, load, model


def main(url: str, matter: int, user: int, times: int, go: Path) -> list[float]:
    """Count up; every turn is a request of its own: read, write, commit."""
    load()
    took = []
    with connected(url):
        with acts(user):
            records(model("Matter")).get(matter)
        go.with_name(f"ready-{time.monotonic_ns()}").touch()
        while not go.exists():
            time.sleep(0.01)
        for _turn in range(times):
            begun = time.perf_counter()
            with acts(user):
                gate = records(model("Matter"))
                found = gate.get(matter, lock=True)
                gate.edit(found, {"amount": found.amount + 1})
                db.session.commit()
            took.append(time.perf_counter() - begun)
            # A request does more than its transaction; without a pause eight processes only measure their own queue.
            time.sleep(0.02)
    return took


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))))
