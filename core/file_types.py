"""What an uploaded file really is: found by looking at its first bytes, never by believing its name."""

from __future__ import annotations

import codecs

from core.errors import Wrong
from core.i18n import gettext as _

PROGRAMS = {
    "application/x-msdownload", "application/x-executable", "application/x-google-chrome-extension", "application/x-deb",
    "application/x-rpm", "application/wasm", "application/x-mach-binary",
}  # fmt: skip
_OFFICE = {"application/zip", "application/x-ole-storage"}
BY_SUFFIX = {
    "png": {"image/png", "image/apng"}, "jpg": {"image/jpeg"}, "jpeg": {"image/jpeg"}, "gif": {"image/gif"}, "webp": {"image/webp"},
    "bmp": {"image/bmp"}, "tif": {"image/tiff"}, "tiff": {"image/tiff"}, "heic": {"image/heic"},
    "pdf": {"application/pdf"}, "zip": {"application/zip"}, "7z": {"application/x-7z-compressed"}, "gz": {"application/gzip"},
    "docx": {"application/vnd.openxmlformats-officedocument.wordprocessingml.document", *_OFFICE},
    "xlsx": {"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", *_OFFICE},
    "pptx": {"application/vnd.openxmlformats-officedocument.presentationml.presentation", *_OFFICE},
    "mp3": {"audio/mpeg"}, "mp4": {"video/mp4", "audio/mp4", "video/x-m4v", "video/quicktime"},
}  # fmt: skip
"""What a file of this suffix may be; other suffixes promise nothing."""
SHOWN_INLINE = {"image/png", "image/apng", "image/jpeg", "image/gif", "image/webp"}
"""What a browser may show on a page of ours; everything else is only ever saved."""
_MARKS = {"<svg": "image/svg+xml"} | dict.fromkeys(("<!doctype html", "<html", "<script", "<body", "<iframe"), "text/html")
_PLAIN = {"csv": "text/csv", "md": "text/markdown", "json": "application/json", "xml": "text/xml", "eml": "message/rfc822"}


def type_of(head: bytes, name: str) -> str:
    """The media type of a file that begins with ``head``.

    Raises `Wrong` for programs, and when the name promises a picture or a document and the content is something else.
    """
    found = _recognised(head) or _text(head, name)
    suffix = name.rpartition(".")[2].lower() if "." in name else ""
    if found in PROGRAMS:
        raise Wrong(_("“%(name)s” is a program; programs are not stored here.", name=name))
    if suffix in BY_SUFFIX and found not in BY_SUFFIX[suffix]:
        raise Wrong(_("“%(name)s” is not a %(suffix)s file inside: it is %(type)s.", name=name, suffix=suffix.upper(), type=found))
    return found


def _recognised(head: bytes) -> str | None:
    import filetype

    if head[:4] in (b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe"):
        return "application/x-mach-binary"
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        return "application/x-ole-storage"
    kind = filetype.guess(head)
    if kind is None or (kind.mime == "application/x-msdownload" and b"\0" not in head):
        # Two letters, MZ, make a program for the library; a text may begin with them too.
        return None
    return str(kind.mime)


def _text(head: bytes, name: str) -> str:
    wide = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if b"\0" in head and not wide:
        return "application/octet-stream"
    seen = head.decode("utf-16" if wide else "utf-8", errors="ignore").lower()
    for mark, media_type in _MARKS.items():
        if mark in seen:
            return media_type
    return _PLAIN.get(name.rpartition(".")[2].lower(), "text/plain")
