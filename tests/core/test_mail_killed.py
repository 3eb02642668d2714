"""The process that sends is killed at any moment: no mail is lost, and what is sent twice has one number."""

from __future__ import annotations

import os
import signal

import pytest

from tests.core.installation import new
from tests.core.mailbox import mailbox

pytestmark = [pytest.mark.slow, pytest.mark.postgres]
LEASE_OVER = "UPDATE core_job SET due_at = '2020-01-01 00:00:00' WHERE state = 'running'"

QUEUE = """
from core import mail
from core.cli.house import house
from core.i18n import gettext as _
from core.settings import set_setting
with house(title="A mail"):
    values = {{"house.address": "https://crm.firm.test", "mail.host": "localhost", "mail.port": {port}, "mail.security": "none",
              "mail.sender": "house@firm.test"}}
    for key, value in values.items():
        set_setting(key, value)
    mail.send("li@example.com", lambda: mail.Letter("Hello", ["你好"]))
"""
KILLED_AFTER_ACCEPTANCE = """
import os, signal
import core.mail_jobs
core.mail_jobs.reached = lambda point: os.kill(os.getpid(), signal.SIGKILL)
from core.cli import main
raise SystemExit(main(["jobs", "--once"]))
"""


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def template(request, tmp_path_factory):
    made = new(request.param, tmp_path_factory.mktemp("mail"), "mail_killed")
    made.must("migrate", "--no-copy")
    return made


@pytest.fixture
def place(template):
    """The installation, with one mail queued and a server to send it to."""
    with template.database() as connection:
        for table in ("core_mail_body", "core_mail", "core_job"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
    with mailbox() as box:
        template.python(QUEUE.format(port=box.port))
        yield template, box


def state(house):
    return house.ask("SELECT state, tries FROM core_mail")


def lease_is_over(house):
    with house.database() as connection:
        connection.exec_driver_sql(LEASE_OVER)


def test_killed_between_the_servers_yes_and_the_commit_it_goes_again_under_the_same_number(place):
    house, box = place
    done = house._forked({"words": [], "code": KILLED_AFTER_ACCEPTANCE}, None)
    assert done.status == -9, done.text
    assert len(box.taken) == 1 and state(house) == [("waiting", 0)]
    house.must("jobs", "--once")
    assert len(box.taken) == 1, "another runner waits for the end of the lease"
    lease_is_over(house)
    house.must("jobs", "--once")
    assert len(box.taken) == 2 and state(house) == [("sent", 1)]
    assert box.taken[0]["Message-ID"] == box.taken[1]["Message-ID"] and box.raw[0] == box.raw[1].replace(*boundaries(box))
    lease_is_over(house)
    house.must("jobs", "--once")
    assert len(box.taken) == 2


def boundaries(box):
    first, second = (one.get_boundary().encode() for one in box.taken)
    return second, first


def test_killed_in_the_middle_of_the_talk_nothing_is_lost(place):
    house, box = place
    worker = house.start("jobs")
    box.on_data = lambda _server: os.kill(worker.pid, signal.SIGKILL)
    box.at_data = ["cut"]
    assert worker.wait(60) == -9
    worker.communicate()
    assert box.taken == [] and state(house) == [("waiting", 0)]
    box.on_data = None
    lease_is_over(house)
    house.must("jobs", "--once")
    assert len(box.taken) == 1 and state(house) == [("sent", 1)]
