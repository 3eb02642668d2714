"""The page of jobs: a person sees his own, how far they are, what came of them, stops them and tries them again."""

from sqlalchemy import select

from core import job_runner
from core.context import system
from core.db import db
from core.errors import Problem
from core.job_list import job_status
from core.jobs import checkpoint, core_job, job, leave_result, progress, remembered
from core.testing import both_databases, statements


@job
def count_leaves(count):
    """Counts leaves"""
    progress(count, count * 2, "of the oak")
    leave_result("/core_team/", "Open the tree", sentence="Half of it is counted.", lines=["The “top” cannot be reached."])
    checkpoint(next=count)
    assert remembered()["next"] == count and remembered()["result"]["url"] == "/core_team/"


@job(retries=0)
def fall(what):
    """Falls down"""
    raise Problem("The branch is rotten; take another.") if what == "branch" else RuntimeError("snap")


def queued(acting_as, who, one, **arguments):
    with acting_as(who):
        made = one.later(**arguments)
    db.session.commit()
    return made


def run(one):
    db.session.commit()
    job_runner.perform(only=one, awake=["core"])
    with system():
        return job_status(one)["state"]


@both_databases
def test_a_person_follows_his_job_to_its_result(login_as, acting_as, create_user):
    browser = login_as(create_user("anna"))
    assert "No jobs so far" in browser.get("/jobs").text
    one = queued(acting_as, "anna", count_leaves, count=3)
    page = browser.get("/jobs").text
    assert "Counts leaves" in page and "waiting" in page and 'hx-get="/jobs/_list"' in page and f"/jobs/{one}/cancel" in page
    assert run(one) == "done"
    for address in ("/jobs", f"/jobs/{one}", "/jobs/_list", f"/jobs/{one}/_now", "/jobs?state=done"):
        page = browser.get(address).text
        assert "of the oak" in page and "Half of it is counted." in page and "cannot be reached" in page
        assert '<a class="btn" href="/core_team/">Open the tree</a>' in page
        assert "hx-get" not in page.split('id="jobs"')[-1]
    assert "No job in this state" in browser.get("/jobs?state=dead").text


@both_databases
def test_jobs_of_others_are_shown_to_administrators_only(login_as, acting_as, create_user):
    create_user("anna")
    one = queued(acting_as, "anna", count_leaves, count=3)
    other, chief = login_as("bo"), login_as("chief", level="administrator")
    assert "Counts leaves" not in other.get("/jobs?who=all").text
    assert other.get(f"/jobs/{one}").status_code == 404
    assert other.post(f"/jobs/{one}/cancel", follow_redirects=True).text.count("There is no such job")
    assert db.session.scalar(select(core_job.c.state).where(core_job.c.id == one)) == "queued"
    assert "Counts leaves" not in chief.get("/jobs").text
    page = chief.get("/jobs?who=all&state=queued").text
    assert "Counts leaves" in page and "anna" in page


@both_databases
def test_a_job_is_stopped_and_tried_again(login_as, acting_as, create_user):
    browser = login_as(create_user("anna"))
    one = queued(acting_as, "anna", count_leaves, count=3)
    assert "was cancelled" in browser.post(f"/jobs/{one}/cancel", follow_redirects=True).text
    assert "nothing left to cancel" in browser.post(f"/jobs/{one}/cancel", follow_redirects=True).text
    assert "cancelled" in browser.get("/jobs?state=cancelled").text
    assert "tried once more" in browser.post(f"/jobs/{one}/again", follow_redirects=True).text
    assert "Only a job that failed" in browser.post(f"/jobs/{one}/again", follow_redirects=True).text
    assert run(one) == "done"


@both_databases
def test_a_failed_job_says_why_in_a_sentence_and_shows_the_code_to_administrators_only(login_as, acting_as, create_user):
    browser, chief = login_as(create_user("anna")), login_as("chief", level="administrator")
    for what in ("branch", "twig"):
        assert run(queued(acting_as, "anna", fall, what=what)) == "dead"
    page = browser.get("/jobs").text
    assert "The branch is rotten; take another." in page and "Something went wrong that should not" in page
    assert "snap" not in page and "test_job_pages.py" not in page
    assert "RuntimeError: snap" in chief.get("/jobs?who=all").text


@both_databases
def test_the_list_of_jobs_has_pages_and_few_statements(login_as, acting_as, create_user):
    browser = login_as(create_user("anna"))
    ids = [queued(acting_as, "anna", count_leaves, count=number) for number in range(35)]
    browser.get("/jobs")
    with statements() as first:
        page = browser.get("/jobs").text
    assert f"job-{ids[-1]}" in page and f"job-{ids[4]}" not in page
    older = browser.get(f"/jobs?before={ids[5]}").text
    assert f"job-{ids[4]}" in older and f"job-{ids[5]}" not in older and "Newest" in older
    with statements() as second:
        browser.get(f"/jobs?before={ids[2]}")
    assert len(second) == len(first)
    assert browser.get("/jobs?before=x").status_code == 200


@both_databases
def test_a_waiting_job_that_nobody_runs_says_so(login_as, acting_as, create_user, clock):
    from datetime import timedelta

    browser = login_as(create_user("anna"))
    queued(acting_as, "anna", count_leaves, count=3)
    assert "Nobody runs jobs" not in browser.get("/jobs").text
    clock.advance(timedelta(minutes=2))
    assert "Nobody runs jobs at the moment" in browser.get("/jobs").text
