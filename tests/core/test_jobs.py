"""Jobs are queued with the change that asks for them, run as the person who asked, are tried again, and keep their rhythm."""

import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import select, text, update

from core import addons, job_list, job_runner
from core.context import Actor, acting, clock, now, system
from core.db import db
from core.errors import Conflict, Misbuilt, Missing
from core.jobs import core_heartbeat, core_job, core_schedule, forget_old_jobs, job, jobs, look, run_jobs
from core.people import User
from core.settings import declare_setting, declared_settings
from tests import servers
from tests.core import job_probe as probe
from tests.core.job_probe import clear_rows, connected, effect, notes, states


@pytest.fixture(scope="module", autouse=True, params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def house(request, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('db')}/jobs.db" if request.param == "sqlite" else servers.fresh_database("jobs")
    with connected(url) as app, pytest.MonkeyPatch.context() as patch:
        if "firm.zone" not in declared_settings():
            declare_setting("firm.zone", "Asia/Shanghai", "Zone of the firm")
        # Only the jobs of this test are known: a rhythm of an addon that other tests load is of no concern here.
        patch.setattr("core.jobs._jobs", {name: one for name, one in jobs().items() if one.name.startswith("tests.core.job_probe:")})
        yield app


@pytest.fixture(autouse=True)
def empty():
    clear_rows()
    clock.reset()
    yield
    clock.reset()


@pytest.fixture
def wang():
    users = User.__table__
    name = f"wang{time.monotonic_ns()}"
    values = {
        "username": name, "email": f"{name}@example.com", "first_name": "W", "last_name": "W", "password": "x", "active": True,
        "level": "employee", "must_change_password": False,
    }  # fmt: skip
    with db.short() as connection:
        one = connection.execute(users.insert().values(**values).returning(users.c.id)).scalar_one()
    return Actor(user_id=one, login=name, door="screen", language="zh_Hans", zone="Asia/Shanghai")


def queue(one, who=None, **arguments):
    with acting(who or Actor(door="system", system=True)):
        made = one.later(**arguments)
        db.session.commit()
    return made


def row(one):
    with db.short() as connection:
        return connection.execute(select(core_job).where(core_job.c.id == one)).one()


def effects():
    with db.short() as connection:
        return list(connection.execute(select(effect.c.who)).scalars())


# -- queueing ---------------------------------------------------------------------------------------------------------


def test_a_job_of_a_transaction_that_was_rolled_back_never_existed():
    probe.leave_one.later(note="never")
    db.session.rollback()
    probe.leave_one.later(note="kept")
    db.session.commit()
    assert run_jobs(once=True) == 1
    assert notes() == ["kept"]


def test_a_job_can_be_called_at_once_like_any_function():
    probe.leave_one(note="now")
    db.session.commit()
    assert notes() == ["now"]
    assert states() == {}


@pytest.mark.parametrize("arguments", [{}, {"not": 1}, {"note": "a", "more": 2}])
def test_wrong_arguments_are_refused_when_the_job_is_queued(arguments):
    with pytest.raises(TypeError, match="leave_one: .*write the names its function has"):
        probe.leave_one.later(**arguments)


@pytest.mark.parametrize("value", [datetime(2026, 1, 1), object(), {1: 2}, (1, 2), float("nan"), b"x"])
def test_only_what_json_can_carry_is_an_argument(value):
    with pytest.raises(TypeError, match="pass a record's id"):
        probe.leave_one.later(note=value)


def test_a_job_for_later_waits_for_its_moment():
    queue(probe.leave_one, note="in an hour", at=timedelta(hours=1))
    assert run_jobs(once=True) == 0
    clock.advance(timedelta(minutes=61))
    assert run_jobs(once=True) == 1


def test_of_several_with_one_key_one_runs():
    first = queue(probe.leave_one, note="a", key="case 7")
    assert queue(probe.leave_one, note="b", key="case 7") == first
    assert queue(probe.leave_one, note="c", key="case 8") != first
    assert run_jobs(once=True) == 2
    assert notes() == ["a", "c"]
    assert queue(probe.leave_one, note="d", key="case 7") != first
    assert run_jobs(once=True) == 1


def test_two_persons_with_one_key_have_a_job_each(wang):
    assert queue(probe.leave_one, note="a", key="case 7") != queue(probe.leave_one, wang, note="b", key="case 7")
    assert run_jobs(once=True) == 2


def test_jobs_with_one_key_queued_by_transactions_that_do_not_see_each_other_run_once(house):
    if db.is_sqlite:
        # Two writers at once do not exist there; this is how two rows with one key come about.
        first = queue(probe.leave_one, note="a", key="k", at=timedelta(seconds=1))
        assert queue(probe.leave_one, note="b", key="k") != first
        clock.advance(timedelta(seconds=2))
    else:
        probe.leave_one.later(note="a", key="k")
        with house.app_context():
            probe.leave_one.later(note="b", key="k")
            db.session.commit()
            db.remove()
        db.session.commit()
    assert run_jobs(once=True) == 1
    assert sorted(states().values()) == ["done", "merged"]


@pytest.mark.postgres
def test_a_job_that_a_transaction_relies_on_by_key_does_not_start_before_that_commits(house):
    if db.is_sqlite:
        return  # there, nothing else can write while a transaction is open
    first = queue(probe.leave_one, note="a", key="k")
    assert probe.leave_one.later(note="b", key="k") == first
    with house.app_context():
        assert run_jobs(once=True) == 0
    db.session.commit()
    assert run_jobs(once=True) == 1


# -- who runs it ------------------------------------------------------------------------------------------------------


def test_a_job_runs_as_the_person_who_asked_in_his_language_and_zone(wang):
    queue(probe.leave_one, wang, note="his")
    run_jobs(once=True)
    assert effects() == [f"{wang.login}/zh_Hans/Asia/Shanghai/job/person"]


def test_a_system_job_sees_everything_and_still_knows_who_asked(wang):
    queue(probe.look_with_all_eyes, wang, note="all")
    run_jobs(once=True)
    assert effects() == [f"{wang.login}/zh_Hans/Asia/Shanghai/job/system"]


def test_the_systems_eyes_do_not_pass_on_to_a_persons_job(wang):
    with acting(wang), system():
        probe.leave_one.later(note="his")
        db.session.commit()
    with acting(Actor()):
        probe.leave_one.later(note="nobody's")
        db.session.commit()
    run_jobs(once=True)
    assert effects() == [f"{wang.login}/zh_Hans/Asia/Shanghai/job/person", "/en/UTC/job/person"]


def test_a_job_of_someone_who_has_left_is_not_run(wang):
    one = queue(probe.leave_one, wang, note="gone")
    with db.short() as connection:
        connection.execute(update(User.__table__).where(User.__table__.c.id == wang.user_id).values(active=False))
    run_jobs(once=True)
    assert (row(one).state, row(one).last_error) == ("dead", "The person who asked for this may not sign in any more.")
    assert notes() == []


def test_jobs_of_a_sleeping_addon_wait_until_it_is_on_again(monkeypatch):
    one = queue(probe.leave_one, note="slept")
    monkeypatch.setattr(probe.leave_one, "addon", "crm_nap")
    with db.short() as connection:
        connection.execute(update(core_job).values(addon="crm_nap"))
    with monkeypatch.context() as night:
        night.setattr(addons, "asleep", lambda: frozenset({"crm_nap"}))
        assert run_jobs(once=True) == 0
        assert states() == {one: "queued"}
    assert run_jobs(once=True) == 1
    assert notes() == ["slept"]


# -- when it fails ----------------------------------------------------------------------------------------------------


def test_a_job_that_fails_is_tried_again_ever_more_rarely_and_then_listed_as_dead():
    one, before = queue(probe.fail, note="bolt"), now()
    clock.set(before)
    for attempt, least, most in ((1, 80, 130), (2, 320, 520)):
        assert run_jobs(once=True) == 1
        assert (row(one).state, row(one).attempts) == ("queued", attempt)
        assert least <= (row(one).due_at - now()).total_seconds() <= most
        clock.set(row(one).due_at)
    assert run_jobs(once=True) == 1
    assert row(one).state == "dead"
    assert row(one).last_error.startswith("RuntimeError: bolt went wrong\n")
    assert "in fail" in row(one).last_error
    assert run_jobs(once=True) == 0
    assert notes() == []
    with acting(Actor(system=True)):
        assert [found["id"] for found in job_list.job_list(state="dead")] == [one]
        job_list.try_again(one)
        db.session.commit()
        assert run_jobs(once=True) == 1
        with pytest.raises(Conflict, match="Only a job that failed"):
            job_list.try_again(one)


def test_what_a_person_may_not_do_is_not_tried_again():
    one = queue(probe.be_refused)
    assert run_jobs(once=True) == 1
    assert (row(one).state, row(one).last_error) == ("dead", "You may not do this; ask the owner.")


def test_no_job_ends_the_runner_and_none_runs_too_long():
    left, slow = queue(probe.leave_the_process), queue(probe.sleep_too_long)
    queue(probe.leave_one, note="after them")
    started = time.monotonic()
    assert run_jobs(once=True) == 3
    assert time.monotonic() - started < 3
    assert row(left).last_error.startswith("SystemExit")
    assert row(slow).last_error.startswith("TimedOut: It ran longer than 0.2 seconds.")
    assert notes() == ["after them"]


def test_a_job_that_this_version_does_not_know_waits_for_one_that_does():
    one = queue(probe.leave_one, note="x")
    with db.short() as connection:
        connection.execute(update(core_job).values(name="core.gone:job"))
    assert run_jobs(once=True) == 1
    assert row(one).state == "queued"
    assert "There is no job called core.gone:job" in row(one).last_error


def test_whoever_commits_inside_a_job_does_so_only_with_the_claim():
    queue(probe.commit_after_the_lease_is_lost, note="too late")
    run_jobs(once=True)
    assert notes() == []


def test_a_look_at_the_queue_does_not_wait_for_a_writer(house):
    with db.engine.connect() as writer, writer.begin():
        writer.execute(text("update core_job set text = 'x'"))
        started = time.monotonic()
        with house.app_context():
            assert job_runner.awake_addons()
            assert job_runner.perform() is False
            assert job_runner.queue_repeated(["core"]) == 0
        assert time.monotonic() - started < 1


# -- progress and cancelling ------------------------------------------------------------------------------------------


def test_progress_is_seen_from_outside_and_a_cancelled_job_stops_at_its_next_look(monkeypatch, wang):
    one = queue(probe.leave_many_until_cancelled, wang, count=5)
    seen = []

    def reached(point):
        if not point.startswith("part"):
            return
        with look() as other:
            seen.append(tuple(other.execute(select(core_job.c.done, core_job.c.total, core_job.c.text)).one()))
        if point == "part 2":
            db.session.commit()
            with db.short() as other:
                other.execute(update(core_job).values(cancel_asked=True))

    monkeypatch.setattr(job_runner, "reached", reached)
    run_jobs(once=True)
    assert (2, 5, "part 1") in seen
    assert notes() == ["part 0", "part 1", "part 2"]
    with acting(wang):
        status = job_list.job_status(one)
    assert (status["state"], status["done"], status["total"], status["text"]) == ("cancelled", 3, 5, "part 2")


def test_a_job_that_waits_is_cancelled_at_once_and_one_that_is_over_is_not(wang):
    one = queue(probe.leave_one, wang, note="unwanted")
    with acting(wang):
        assert job_list.cancel(one) == "cancelled"
        db.session.commit()
        assert run_jobs(once=True) == 0
        with pytest.raises(Conflict, match="已结束"):
            job_list.cancel(one)


def test_nobody_sees_or_cancels_somebody_elses_job(wang):
    hers = queue(probe.leave_one, Actor(user_id=wang.user_id + 1000), note="hers")
    nobodys = queue(probe.leave_one, note="nobody's")
    his = queue(probe.leave_one, wang, note="his")
    with acting(wang):
        for other in (hers, nobodys, 99999999):
            for door in (job_list.job_status, job_list.cancel, job_list.try_again):
                with pytest.raises(Missing):
                    door(other)
        assert [found["id"] for found in job_list.job_list()] == [his]
    db.session.rollback()
    with acting(Actor()), pytest.raises(Missing):
        job_list.job_status(nobodys)


# -- rhythm -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def repeated(monkeypatch):
    """A job every five minutes and one at three in the morning, known in this test only."""
    known = dict(jobs())
    monkeypatch.setattr("core.jobs._jobs", known)

    def tick():
        probe.leave("tick")

    def sweep():
        probe.leave("sweep")

    for function, options in ((tick, {"every": "5 minutes"}), (sweep, {"every": "1 day", "at": "03:00"})):
        function.__qualname__ = function.__name__
        function.__module__ = "tests.core.job_probe"
        job(**options)(function)


def test_a_repeated_job_keeps_its_rhythm_and_missed_runs_are_one(repeated):
    clock.set(datetime(2026, 11, 20, 10, 0))
    assert run_jobs(once=True) == 0
    clock.advance(timedelta(minutes=1))
    assert run_jobs(once=True) == 1
    clock.advance(timedelta(minutes=4))
    assert run_jobs(once=True) == 0
    clock.advance(timedelta(minutes=1))
    assert run_jobs(once=True) == 1
    clock.advance(timedelta(hours=7))
    assert run_jobs(once=True) == 1
    assert notes() == ["tick"] * 3
    assert effects()[0] == "/en/UTC/job/system"
    with db.short() as connection:
        following = dict(connection.execute(select(core_schedule.c.name, core_schedule.c.next_at)).all())
    assert following["tests.core.job_probe:tick"] == datetime(2026, 11, 20, 17, 11)


def test_a_nightly_job_runs_at_its_hour_in_the_zone_of_the_firm(repeated):
    zone_hours = {"Asia/Shanghai": 8, "UTC": 0}[declared_settings()["firm.zone"].default]
    clock.set(datetime(2026, 11, 20, 3, 30) - timedelta(hours=zone_hours))
    run_jobs(once=True)
    clock.advance(timedelta(hours=23))
    run_jobs(once=True)
    assert "sweep" not in notes()
    clock.advance(timedelta(minutes=30))
    run_jobs(once=True)
    assert notes().count("sweep") == 1


def test_two_runners_queue_a_repeated_job_once(repeated):
    clock.set(datetime(2026, 11, 20, 10, 0))
    job_runner.write_schedules()
    clock.advance(timedelta(minutes=2))
    assert job_runner.queue_repeated(["core"]) == 1
    assert job_runner.queue_repeated(["core"]) == 0
    clock.advance(timedelta(minutes=20))
    assert job_runner.queue_repeated(["core"]) == 0  # the last one still waits
    assert len(states()) == 1


def test_the_runner_leaves_word_that_it_lives():
    assert job_runner.job_health()["heartbeat_age"] is None
    run_jobs(once=True)
    queue(probe.leave_one, note="waits")
    clock.advance(timedelta(seconds=30))
    health = job_runner.job_health()
    assert 30 <= health["heartbeat_age"] < 40
    assert 30 <= health["waiting_for"] < 40
    assert health["dead"] == 0
    with db.short() as connection:
        assert connection.execute(select(core_heartbeat.c.name)).scalars().all() == ["jobs"]


def test_what_was_over_thirty_days_ago_is_forgotten_and_failures_are_kept_longer():
    old, failed = queue(probe.leave_one, note="old"), queue(probe.be_refused)
    run_jobs(once=True)
    clock.advance(timedelta(days=31))
    young, waiting = queue(probe.leave_one, note="young"), queue(probe.leave_one, note="far", at=timedelta(days=400))
    run_jobs(once=True)
    forget_old_jobs()
    db.session.commit()
    assert set(states()) == {failed, young, waiting}
    assert old not in states()
    clock.advance(timedelta(days=60))
    forget_old_jobs()
    db.session.commit()
    assert set(states()) == {waiting}


# -- declarations -----------------------------------------------------------------------------------------------------


def test_a_job_that_is_declared_wrongly_is_named_when_the_program_starts(monkeypatch):
    monkeypatch.setattr("core.jobs._jobs", {})

    def needs(case_id):
        pass

    def named_key(key):
        pass

    def takes_any(*things):
        pass

    with pytest.raises(Misbuilt, match="top of a file"):
        job(needs)
    for one in (needs, named_key, takes_any):
        one.__qualname__ = one.__name__
    for function, options, sentence in (
        (needs, {"every": "1 day"}, "nobody gives arguments"),
        (named_key, {}, "rename 'key'"),
        (takes_any, {}, "by name"),
        (test_nobody_sees_or_cancels_somebody_elses_job, {"every": "often"}, "is not understood"),
        (test_two_runners_queue_a_repeated_job_once, {"at": "03:00"}, "needs every"),
    ):
        with pytest.raises(Misbuilt, match=sentence):
            job(**options)(function)
