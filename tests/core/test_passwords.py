"""Passwords as ASVS 5.0 chapter 6.2 has them, and where chance and digests come from (chapter 11)."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from core.accounts import check_password, hash_password, password_problem
from core.testing import PASSWORD, both_databases

HOME = Path(__file__).resolve().parents[2]
LONG = "瀑布 correct horse battery staple under the old bridge of Far Hills since 1987 🌉"


def token_of(page: str) -> str:
    return page.split('name="csrf_token" value="')[1].split('"')[0]


def sign_in(browser, login, password):
    token = token_of(browser.get("/login/").text)
    return browser.post("/login/", data={"username": login, "password": password, "csrf_token": token})


def choose(browser, old, new):
    token = token_of(browser.get("/account/password").text)
    data = {"current": old, "new": new, "again": new, "csrf_token": token}
    return browser.post("/account/password", data=data)


def fields_of(page: str) -> list[str]:
    return [one for one in re.findall(r"<input[^>]+>", page) if "password" in one]


@pytest.mark.parametrize(
    "text",
    ["quietly seven lanterns drift", "QUIETLY SEVEN LANTERNS", "38291746550192837465", "七盏灯笼静静漂过河湾", LONG, f"{LONG} {LONG}"],
)
def test_no_kind_of_character_is_asked_for(app, text):
    assert password_problem(text, "li") is None


def test_a_password_of_64_characters_and_more_is_taken_and_one_too_long_is_refused_not_cut(app, client, create_user, login_as):
    li = create_user("li")
    assert len(LONG) > 64
    assert choose(login_as(li), PASSWORD, LONG).status_code == 302
    assert sign_in(client, "li", LONG).status_code == 302
    assert "at most 200" in password_problem("ab cd ef gh " * 20, "li")
    # Neither its beginning alone nor something behind it is the password.
    assert not check_password(hash_password(LONG), LONG[:72]) and not check_password(hash_password(LONG), LONG + "x")


@both_databases
def test_a_password_is_compared_as_it_was_typed(app, client, create_user, login_as):
    li = create_user("li")
    typed = "  Quietly Seven Lanterns ﬁ "
    assert choose(login_as(li), PASSWORD, typed).status_code == 302
    for wrong in (typed.strip(), typed.lower(), typed.replace("ﬁ", "fi")):
        assert sign_in(client, "li", wrong).status_code == 401, wrong
    assert sign_in(client, "li", typed).status_code == 302


def test_password_fields_are_masked_and_open_to_pasting_and_to_password_managers(app, client, create_user, login_as):
    pages = {"/login/": client.get("/login/").text, "/account/password": login_as(create_user("li")).get("/account/password").text}
    for address, page in pages.items():
        found = fields_of(page)
        assert found, address
        for field in found:
            assert 'type="password"' in field, (address, field)
            assert 'autocomplete="current-password"' in field or 'autocomplete="new-password"' in field, (address, field)
            assert "readonly" not in field and "maxlength" not in field, (address, field)
    scripts = "".join(one.read_text(encoding="utf-8") for one in (HOME / "core/web/static/js").glob("*.js"))
    assert not re.search(r"""addEventListener\(\s*["']paste""", scripts), "no script stands between the clipboard and a field"


@both_databases
def test_no_password_ends_by_time(app, client, create_user, clock):
    create_user("li")
    clock.advance(timedelta(days=3650))
    assert sign_in(client, "li", PASSWORD).status_code == 302
    assert client.get("/account").status_code == 200


def test_stored_passwords_are_argon2id_with_19_mib(tmp_path):
    """In a process of its own: tests use a cheaper hasher."""
    program = "from core.accounts import hash_password; print(hash_password('quietly seven lanterns'))"
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=True)
    found = re.match(r"\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$", done.stdout)
    assert found and int(found[1]) >= 19 * 1024 and int(found[2]) >= 2, done.stdout


WEAK = {"md5", "sha1", "des", "rc4", "ECB"}
WITH_CHANCE = {"core/job_runner.py", "core/db.py", "core/demo.py", "core/demo_bulk.py", "core/demo_words.py"}
"""Pauses before another try, and made-up firms: nobody gains by guessing them."""


def test_secrets_come_from_the_system_and_digests_are_strong():
    """No module of the house draws a secret from `random`, and none uses a weak digest or cipher."""
    for path in [*HOME.glob("core/**/*.py"), *HOME.glob("addons/**/*.py")]:
        name = path.relative_to(HOME).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import | ast.ImportFrom):
                words = {one.name for one in node.names} | {getattr(node, "module", "") or ""}
                assert "random" not in words or name in WITH_CHANCE, f"{name}: secrets come from `secrets`"
            if isinstance(node, ast.Attribute):
                assert node.attr not in WEAK, f"{name}:{node.lineno} {node.attr}"


def test_seeds_codes_keys_and_sessions_are_random_and_long(app, create_user, login_as):
    import pyotp

    from core.api_keys import PREFIX
    from core.second_factor import LETTERS

    assert len({pyotp.random_base32() for _turn in range(50)}) == 50 and len(pyotp.random_base32()) * 5 >= 160
    assert "secrets" in Path(pyotp.__file__).read_text() or "SystemRandom" in Path(pyotp.__file__).read_text()
    assert len(LETTERS) ** 10 > 2**46, "a recovery code is worth 46 bits, and tries are braked"
    li = create_user("li")
    cookies = [login_as(li).get_cookie(app.config["SESSION_COOKIE_NAME"]).value for _turn in range(20)]
    assert len(set(cookies)) == 20 and min(len(one) for one in cookies) >= 43
    assert PREFIX
