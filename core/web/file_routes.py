"""The door of files: upload one, save one, show a picture; who may read the record may read its files."""

from __future__ import annotations

from typing import Any

from flask import Blueprint, Response, jsonify, request, send_file

from core.errors import Broken, Invalid, Wrong
from core.fields import LARGEST_ID
from core.file_types import SHOWN_INLINE
from core.files import Stored, open_file, store, versions
from core.i18n import gettext as _
from core.reading import saved

files = Blueprint("files", __name__, url_prefix="/file")


@files.get("/<int:file_id>")
def download(file_id: int) -> Response:
    """The file, to be saved; a picture is shown when the address ends in ?show=1."""
    return _send(open_file(min(file_id, LARGEST_ID + 1)), show=request.args.get("show") == "1")


@files.get("/<int:file_id>/versions")
def list_versions(file_id: int) -> Response:
    """All versions of a file, the newest first."""
    return jsonify(files=[_facts(one) for one in versions(min(file_id, LARGEST_ID + 1))])


@files.post("/")
def upload() -> tuple[Response, int]:
    """Take one file (form field “file”); its id is then given to a record. ``version_of`` makes it the next version of a file."""
    given = request.files.get("file")
    if given is None or not given.filename:
        raise Broken(_("Please send one file in the form field “file”."))
    before = request.form.get("version_of")
    if before is not None and not (before.isascii() and before.isdigit()):
        raise Broken(_("version_of has to be the number of a file."))
    try:
        made = store(given.stream, given.filename, version_of=int(before[:12]) if before else None)
    except Wrong as wrong:
        raise Invalid({"file": str(wrong)}) from None
    return jsonify(id=made.id, name=made.name, size=made.size, media_type=made.media_type), 201


def _send(found: Stored, *, show: bool) -> Response:
    inline = show and found.media_type in SHOWN_INLINE
    if not inline:
        saved(found.model, found.record_id, found.name)
    response = send_file(
        found.path,
        # What a browser could run as a page or script of ours leaves as plain bytes.
        mimetype=found.media_type if inline else "application/octet-stream",
        as_attachment=not inline,
        download_name=found.name,
        etag=found.hash,
        conditional=True,
        max_age=0,
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    response.headers["Cache-Control"] = "private, no-cache"
    return response


def _facts(one: Stored) -> dict[str, Any]:
    return {"id": one.id, "name": one.name, "size": one.size, "media_type": one.media_type}
