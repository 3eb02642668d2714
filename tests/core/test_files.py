"""Files lie in the store by their content, tell what they are, and open to whoever may read the record."""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
import zlib
from datetime import timedelta

import pytest
from flask import Flask, current_app, request
from sqlalchemy import select

from core.context import clock, system
from core.custom import CustomField
from core.db import db
from core.errors import Invalid, Missing, Problem, Refused, Wrong
from core.file_jobs import clean_store
from core.files import File, attach, files_of, open_file, place, remove, store, store_folder, tidy_name, versions
from core.people import FieldRight, RoleRow
from core.records import records
from core.settings import set_setting
from core.undo import undo
from core.web.file_routes import files as files_door
from tests.core.boxes import boxes_on_each_database  # noqa: F401  the fixture “boxes”
from tests.core.kernel import acts

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
PDF = b"%PDF-1.7\n" + b"x" * 100


def put(content: bytes = PNG, name: str = "scan.png", **more) -> int:
    """A stored file's id."""
    return store(io.BytesIO(content), name, **more).id


def content_of(file_id: int) -> bytes:
    return open_file(file_id).path.read_bytes()


def box_with_scan(boxes, owner: int, content: bytes = PNG) -> tuple[int, int]:
    """(box, file) of a box with a scan in its field, committed."""
    with acts(owner):
        file_id = put(content)
        box_id = records(boxes.Box).create({"name": "with scan", "scan": file_id}).id
        db.session.commit()
    return box_id, file_id


def test_the_same_content_lies_in_the_store_once_under_its_hash(boxes):
    with acts(boxes.ann):
        first, second = put(b"same words\n", "a.txt"), put(b"same words\n", "b.txt")
        found = [open_file(one) for one in (first, second)]
        expected = hashlib.sha256(b"same words\n").hexdigest()
        assert [one.hash for one in found] == [expected] * 2 and found[0].path == found[1].path == place(expected)
        assert [one.name for one in found] == ["a.txt", "b.txt"] and found[0].media_type == "text/plain"
        assert found[0].path.parent.name == expected[:2] and not list((store_folder() / "incoming").iterdir())
        assert found[0].path.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("content", "name", "media_type"),
    [
        (PNG, "a.png", "image/png"), (PDF, "a.pdf", "application/pdf"), ("a,b\n李,雷".encode("gb18030"), "a.csv", "text/csv"),
        (b"MZ is how this text begins", "a.txt", "text/plain"), (b"<!DOCTYPE html><p>", "a.txt", "text/html"),
        (b"  <svg onload='x()'>", "a.dat", "image/svg+xml"), ("\ufeff<html>".encode("utf-16"), "a", "text/html"),
        (b"\0\1\2\3", "a.bin", "application/octet-stream"), (b"hello <script>", "a.csv", "text/html"),
    ],
)  # fmt: skip
def test_a_file_is_what_its_content_says(boxes, content, name, media_type):
    with acts(boxes.ann):
        assert open_file(put(content, name)).media_type == media_type


@pytest.mark.parametrize(
    ("content", "name", "sentence"),
    [
        (b"MZ\x90\0\3\0\0\0" + b"\0" * 60, "setup.exe", "is a program"), (b"MZ\x90\0\3\0\0\0", "photo.jpg", "is a program"),
        (b"\x7fELF" + b"\0" * 60, "tool", "is a program"), (b"<html><script>", "photo.png", "is not a PNG file"),
        (PNG, "contract.pdf", "is not a PDF file"), (b"", "empty.txt", "is empty"),
    ],
)  # fmt: skip
def test_programs_empty_files_and_false_names_are_refused(boxes, content, name, sentence):
    with acts(boxes.ann), pytest.raises(Wrong, match=sentence):
        put(content, name)


def test_a_file_over_the_limit_is_refused_and_leaves_nothing(boxes):
    with acts(boxes.admin):
        set_setting("files.max_megabytes", 1)
        with pytest.raises(Wrong, match="larger than 1 MB"):
            put(b"x" * (2**20 + 1), "big.txt")
        assert not list((store_folder() / "incoming").iterdir())
        put(b"x" * 2**20, "just.txt")
        db.session.rollback()


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\Users\\li\\合同.pdf", "合同.pdf"), ("a\u202egnp.exe", "agnp.exe"),
        ("", "file"), (None, "file"), ("...", "file"),
        ("a\r\nb.txt", "a_b.txt"), ("x" * 300 + ".pdf", "x" * 139 + ".pdf"), ('a"b<c>.txt', "a_b_c_.txt"),
    ],
)  # fmt: skip
def test_a_name_is_only_a_name(given, kept):
    assert tidy_name(given) == kept


def test_a_file_belongs_to_its_uploader_until_a_record_takes_it(boxes):
    with acts(boxes.ann):
        file_id = put()
        db.session.commit()
    with acts(boxes.ann):
        assert content_of(file_id) == PNG
    for other in (boxes.ben, boxes.admin, None):
        with acts(other), pytest.raises(Missing):
            open_file(file_id)
    with acts(boxes.ben), pytest.raises(Invalid) as refused:
        records(boxes.Box).create({"name": "stolen", "scan": file_id})
    assert "scan" in refused.value.errors


def test_who_may_read_the_record_opens_its_file_and_nobody_else(boxes):
    box_id, file_id = box_with_scan(boxes, boxes.ann)
    for who in (boxes.ann, boxes.admin):
        with acts(who):
            assert content_of(file_id) == PNG
    for who in (boxes.ben, None):
        with acts(who), pytest.raises(Missing):
            open_file(file_id)
    with acts(boxes.admin):
        records(boxes.Box).edit(box_id, {"owner": boxes.ben})
        db.session.commit()
    with acts(boxes.ben):
        assert content_of(file_id) == PNG
    with acts(boxes.ann), pytest.raises(Missing):
        open_file(file_id)


def test_a_hidden_field_hides_its_file(boxes):
    box_id, file_id = box_with_scan(boxes, boxes.ann)
    with acts(boxes.admin):
        role = db.session.execute(select(RoleRow.id).where(RoleRow.name == "Packer")).scalar_one()
        right = records(FieldRight).create({"role": role, "model": "meta_box", "field_name": "scan", "access": "hidden"}).id
        db.session.commit()
    with acts(boxes.ann):
        assert records(boxes.Box).get(box_id)
        with pytest.raises(Missing):
            open_file(file_id)
    with acts(boxes.admin):
        records(FieldRight).delete(right)
        db.session.commit()


def test_a_file_of_one_record_cannot_be_put_into_another(boxes):
    _box_id, file_id = box_with_scan(boxes, boxes.ann)
    with acts(boxes.ann), pytest.raises(Invalid):
        records(boxes.Box).create({"name": "second", "scan": file_id})
    for wrong in (0, -1, 2**31, 10**30, "7 or 1=1", True, {"id": 1}, 999_999):
        with acts(boxes.ann), pytest.raises(Invalid) as refused:
            records(boxes.Box).create({"name": "wrong", "scan": wrong})
        assert "scan" in refused.value.errors


def test_a_custom_file_field_obeys_the_same_rules(boxes):
    with acts(boxes.admin):
        name = records(CustomField).create({"model": "meta_box", "title": "Photo", "kind": "file"}).name
        db.session.commit()
    with acts(boxes.ann):
        file_id = put()
        records(boxes.Box).create({"name": "photo", name: file_id})
        db.session.commit()
    with acts(boxes.admin):
        assert content_of(file_id) == PNG
    with acts(boxes.ben), pytest.raises(Missing):
        open_file(file_id)


def test_versions_keep_what_was_there_before(boxes):
    box_id, first = box_with_scan(boxes, boxes.ann)
    with acts(boxes.ann):
        second = put(PNG + b"2", "new.png", version_of=first)
        third = put(PNG + b"3", "newer.png", version_of=second)
        records(boxes.Box).edit(box_id, {"scan": third})
        db.session.commit()
    with acts(boxes.ann):
        assert [one.id for one in versions(second)] == [third, second, first]
        assert content_of(first) == PNG and content_of(third) == PNG + b"3"
    with acts(boxes.ben), pytest.raises(Missing):
        put(PNG, version_of=first)


def test_attachments_come_and_go_with_the_right_to_edit(boxes):
    with acts(boxes.ann):
        box = records(boxes.Box).create({"name": "attachments"})
        db.session.flush()
        file_id = put(PDF, "letter.pdf")
        attach(file_id, box)
        newer = put(PDF + b"2", "letter.pdf", version_of=file_id)
        assert [one.id for one in files_of(box)] == [newer]
        db.session.commit()
        box_id = box.id
    with acts(boxes.ben):
        with pytest.raises(Missing):
            remove(file_id)
        with system():
            box = db.session.get(boxes.Box, box_id)
        with pytest.raises(Refused):
            attach(put(), box)
    with acts(boxes.ann):
        remove(newer)
        assert files_of(records(boxes.Box).get(box_id)) == []
        db.session.rollback()


def test_files_go_and_come_back_with_their_record(boxes):
    box_id, file_id = box_with_scan(boxes, boxes.ann, PNG + b"undo")
    with acts(boxes.ann) as who:
        records(boxes.Box).delete(box_id)
        db.session.flush()
        batch = who.memo["batch_id"]
        db.session.commit()
        assert db.session.execute(select(File.__table__.c.id).where(File.__table__.c.id == file_id)).first() is None
    with acts(boxes.admin):
        undo(batch)
        db.session.commit()
    with acts(boxes.ann):
        assert records(boxes.Box).get(box_id).scan == file_id and content_of(file_id) == PNG + b"undo"


def make_old(path, days: int = 3) -> None:
    os.utime(path, (time.time() - days * 86400,) * 2)


def test_clean_up_takes_what_nobody_needs_and_nothing_else(boxes):
    _box_id, kept = box_with_scan(boxes, boxes.ann, PNG + b"kept")
    gone_box, gone = box_with_scan(boxes, boxes.ann, PNG + b"deleted")
    with acts(boxes.ann):
        unclaimed = put(PNG + b"unclaimed")
        db.session.commit()
        paths = {name: open_file(one).path for name, one in (("kept", kept), ("deleted", gone), ("unclaimed", unclaimed))}
        records(boxes.Box).delete(gone_box)
        db.session.commit()
    stray, fresh = place("ab" + "0" * 62), place("ab" + "1" * 62)
    for path in (stray, fresh):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    draft = store_folder() / "incoming" / "left"
    draft.write_bytes(b"half")
    # A restore of an earlier version that was killed left its drafts beside the content.
    half = stray.with_name(f".{stray.name}.part")
    half.write_bytes(b"half")
    for path in (*paths.values(), stray, draft, half):
        make_old(path)

    def clean() -> dict[str, bool]:
        with acts(None, door="job"), system():
            clean_store()
            db.session.commit()
        return {name: path.exists() for name, path in {**paths, "stray": stray, "fresh": fresh, "draft": draft}.items()}

    assert clean() == {"kept": True, "deleted": True, "unclaimed": True, "stray": False, "fresh": True, "draft": False}
    assert not half.exists()
    clock.advance(timedelta(days=2))
    assert clean()["unclaimed"] is False
    clock.advance(timedelta(days=400))
    with acts(None, door="job"), system():
        set_setting("trash.keep_days", 800)
        db.session.commit()
    assert clean()["deleted"], "as long as its record can be brought back"
    clock.advance(timedelta(days=400))
    after = clean()
    clock.reset()
    assert after == {"kept": True, "deleted": False, "unclaimed": False, "stray": False, "fresh": True, "draft": False}


def test_many_uploads_of_one_content_at_once_leave_one_whole_file(boxes):
    content, failed = zlib.compress(os.urandom(300_000)), []
    app = Flask("uploads")
    with acts(boxes.ann):
        folder = store_folder()
    app.config["MORTISE"] = current_app.config["MORTISE"]

    def upload() -> None:
        try:
            with app.app_context(), acts(boxes.ann):
                put(content, "same.bin")
                db.session.commit()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=upload) for _one in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not failed
    assert (folder / hashlib.sha256(content).hexdigest()[:2] / hashlib.sha256(content).hexdigest()[2:]).read_bytes() == content


# -- the door ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def door(boxes):
    """A browser at the door of files; it acts as the person in the header, and errors answer as the house's do."""
    app = Flask("door")
    app.config["MORTISE"] = current_app.config["MORTISE"]
    app.register_blueprint(files_door)
    people: list = []

    @app.before_request
    def arrive() -> None:
        who = request.headers.get("Who")
        people.append(acts(int(who) if who else None))
        people[-1].__enter__()

    @app.after_request
    def leave(response):
        if request.method == "POST" and response.status_code < 400:
            db.session.commit()
        people.pop().__exit__(None, None, None)
        return response

    app.register_error_handler(Problem, lambda problem: ({"sentence": problem.sentence}, problem.status))
    return app.test_client()


def test_a_file_is_uploaded_and_saved_over_http_and_never_run(boxes, door):
    html = b"<html><script>alert(1)</script>"
    answer = door.post("/file/", data={"file": (io.BytesIO(html), "页.html")}, headers={"Who": boxes.ann})
    assert answer.status_code == 201 and answer.json["media_type"] == "text/html"
    for query in ("", "?show=1"):
        saved = door.get(f"/file/{answer.json['id']}{query}", headers={"Who": boxes.ann}, buffered=True)
        assert saved.data == html and saved.mimetype == "application/octet-stream"
        how = saved.headers["Content-Disposition"]
        assert how.startswith("attachment") and "UTF-8''%E9%A1%B5.html" in how
        assert saved.headers["X-Content-Type-Options"] == "nosniff" and "sandbox" in saved.headers["Content-Security-Policy"]
        assert "private" in saved.headers["Cache-Control"]
    again = door.get(f"/file/{answer.json['id']}", headers={"Who": boxes.ann, "If-None-Match": saved.headers["ETag"]}, buffered=True)
    assert again.status_code == 304
    assert door.get(f"/file/{answer.json['id']}", headers={"Who": boxes.ben}, buffered=True).status_code == 404


def test_a_picture_is_shown_when_asked_for(boxes, door):
    number = door.post("/file/", data={"file": (io.BytesIO(PNG), "a.png")}, headers={"Who": boxes.ann}).json["id"]
    shown = door.get(f"/file/{number}?show=1", headers={"Who": boxes.ann}, buffered=True)
    assert shown.mimetype == "image/png" and not shown.headers.get("Content-Disposition", "").startswith("attachment")
    sent = {"file": (io.BytesIO(PNG), "b.png"), "version_of": str(number)}
    newer = door.post("/file/", data=sent, headers={"Who": boxes.ann}).json["id"]
    listed = door.get(f"/file/{number}/versions", headers={"Who": boxes.ann}, buffered=True).json["files"]
    assert [one["id"] for one in listed] == [newer, number]


@pytest.mark.parametrize(
    ("data", "status"),
    [
        ({}, 400), ({"file": (io.BytesIO(b""), "a.txt")}, 422), ({"file": (io.BytesIO(b"MZ\0\0"), "a.exe")}, 422),
        ({"file": (io.BytesIO(b"x"), "a.txt"), "version_of": "one"}, 400),
        ({"file": (io.BytesIO(b"x"), "a.txt"), "version_of": "99999999999999"}, 404),
    ],
)  # fmt: skip
def test_a_bad_upload_is_answered_with_a_sentence(boxes, door, data, status):
    copies = {name: (io.BytesIO(value[0].getvalue()), value[1]) if isinstance(value, tuple) else value for name, value in data.items()}
    answer = door.post("/file/", data=copies, headers={"Who": boxes.ann})
    assert answer.status_code == status and answer.json["sentence"].endswith(".")


def test_a_stranger_uploads_and_reads_nothing(boxes, door):
    assert door.post("/file/", data={"file": (io.BytesIO(b"x"), "a.txt")}).status_code == 403
    for number in ("1", "0", "9" * 40):
        assert door.get(f"/file/{number}").status_code == 404
