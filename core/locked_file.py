"""Files locked with a passphrase: written and read piece by piece, so that neither memory nor disk ever holds the whole in the clear.

The key is scrypt's of the passphrase. Each piece of 256 KiB is sealed by AES-256-GCM under its number and whether it is the last
(the STREAM construction of Hoang, Reyhanitabar, Rogaway and Vizár 2015): a piece that is changed, moved, left out or cut off does
not open. The head is bound to every piece. Source: S1-98.
"""

from __future__ import annotations

import hmac
import io
import os
import struct
from pathlib import Path
from typing import Any, BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from core.errors import Invalid, Problem
from core.i18n import gettext as _

MAGIC = b"MORTISE LOCKED 1\n"
HEAD = struct.Struct(">17sB16s7s16s")
"""Magic, log2 of scrypt's cost, salt, beginning of the nonces, proof of the passphrase."""
PIECE = 256 * 1024
TAG = 16
COST = 16
"""log2 of scrypt's n: some 64 MB of memory and a quarter of a second a guess."""
MOST_COST = 20
SHORTEST = 12
"""Characters of a passphrase at least: whoever has the file may guess as long as he likes."""


def good_passphrase(text: str) -> str:
    """The passphrase as it is used; raises `Invalid` when it is too short."""
    if not SHORTEST <= len(text) <= 1000:
        raise Invalid({"passphrase": _("A passphrase has at least %(count)s characters; some words in a row are good.", count=SHORTEST)})
    return text


def is_locked(path: Path) -> bool:
    """Does this file need a passphrase?"""
    with path.open("rb") as stream:
        return stream.read(len(MAGIC)) == MAGIC


def _keys(passphrase: str, salt: bytes, cost: int) -> tuple[AESGCM, bytes]:
    made = Scrypt(salt=salt, length=48, n=2**cost, r=8, p=1).derive(passphrase.encode())
    return AESGCM(made[:32]), made[32:]


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4) + bytes([last])


class Locking(io.RawIOBase):
    """A stream that is written in the clear; ``target`` gets what is locked, whole only after `close`, and stays open."""

    def __init__(self, target: BinaryIO, passphrase: str) -> None:
        super().__init__()
        salt, self._prefix = os.urandom(16), os.urandom(7)
        self._box, proof = _keys(good_passphrase(passphrase), salt, COST)
        self._head = HEAD.pack(MAGIC, COST, salt, self._prefix, proof)
        self._target, self._waiting, self._number = target, bytearray(), 0
        target.write(self._head)

    def writable(self) -> bool:
        """Yes; but one cannot go back in it."""
        return True

    def write(self, content: Any) -> int:
        """Take ``content``, and lock all pieces that are full and surely not the last."""
        self._waiting += content
        while len(self._waiting) > PIECE:
            self._put(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(content)

    def _put(self, piece: bytes, last: bool) -> None:
        self._target.write(self._box.encrypt(_nonce(self._prefix, self._number, last), piece, self._head))
        self._number += 1

    def close(self) -> None:
        """Lock the last piece."""
        if not self.closed:
            self._put(bytes(self._waiting), last=True)
        super().close()


class Unlocked(io.RawIOBase):
    """A locked file read in the clear from any place in it. Raises `Problem` for a wrong passphrase and for what was changed or cut."""

    def __init__(self, source: BinaryIO, passphrase: str, name: str) -> None:
        super().__init__()
        self._source, self._name, self._at, self._kept = source, name, 0, (-1, b"")
        self._head = source.read(HEAD.size)
        size = source.seek(0, os.SEEK_END) - HEAD.size
        if len(self._head) < HEAD.size or size < TAG:
            raise self._damaged()
        magic, cost, salt, self._prefix, proof = HEAD.unpack(self._head)
        if magic != MAGIC or not 10 <= cost <= MOST_COST:
            raise self._damaged()
        self._box, wanted = _keys(passphrase, salt, cost)
        if not hmac.compare_digest(wanted, proof):
            raise Problem(_("This passphrase does not open %(name)s. Nothing was changed.", name=name))
        self._last = (size - 1) // (PIECE + TAG)
        rest = size - self._last * (PIECE + TAG)
        if rest < TAG:
            raise self._damaged()
        self._size = self._last * PIECE + rest - TAG
        # What was cut off between two pieces shows at once: the last one does not know that it is the last.
        self._piece(self._last)

    def _damaged(self) -> Problem:
        return Problem(_("%(name)s is damaged: it was cut or changed since it was locked. Nothing was changed.", name=self._name))

    def _piece(self, number: int) -> bytes:
        if self._kept[0] != number:
            self._source.seek(HEAD.size + number * (PIECE + TAG))
            try:
                clear = self._box.decrypt(
                    _nonce(self._prefix, number, number == self._last), self._source.read(PIECE + TAG), self._head
                )
            except InvalidTag:
                raise self._damaged() from None
            self._kept = number, clear
        return self._kept[1]

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes: pieces open by themselves."""
        return True

    def tell(self) -> int:
        """The place in the clear content, in bytes."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the clear content."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        if start + offset < 0:
            raise OSError("before the beginning of the file")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from one piece; fewer bytes than asked for at the end of a piece, none at the end of the file."""
        if self._at >= self._size:
            return 0
        number, offset = divmod(self._at, PIECE)
        found = self._piece(number)[offset : offset + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)
