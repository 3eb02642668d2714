"""Makes a screenshot's PNG small: at most 256 colours, which is all that a page of text and lines needs."""

from __future__ import annotations

import struct
import zlib
from collections import Counter

MARK = b"\x89PNG\r\n\x1a\n"


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels."""
    return struct.unpack(">II", png[16:24])


def smaller(png: bytes) -> bytes:
    """The same picture with a palette; a colour that is too rare for it becomes the nearest one that is in it."""
    width, height = size(png)
    depth, colour, *_rest = png[24:29]
    assert png.startswith(MARK) and depth == 8 and colour in (2, 6), "only 8-bit RGB and RGBA, as browsers write them"
    step = 3 if colour == 2 else 4
    data = _unfiltered(zlib.decompress(b"".join(body for name, body in _chunks(png) if name == b"IDAT")), width * step, step)
    points = [data[place : place + 3] for place in range(0, len(data), step)]
    often = Counter(points)
    palette = [one for one, _count in often.most_common(256)]
    number = {one: place for place, one in enumerate(palette)}
    for one in often.keys() - number.keys():
        number[one] = min(range(len(palette)), key=lambda place: sum((a - b) ** 2 for a, b in zip(one, palette[place], strict=True)))
    rows = (bytes(number[one] for one in points[place : place + width]) for place in range(0, len(points), width))
    body = zlib.compress(b"".join(b"\0" + row for row in rows), 9)
    head = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)
    return MARK + b"".join(_chunk(*one) for one in ((b"IHDR", head), (b"PLTE", b"".join(palette)), (b"IDAT", body), (b"IEND", b"")))


def _chunks(png: bytes) -> list[tuple[bytes, bytes]]:
    found, place = [], len(MARK)
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        found.append((png[place + 4 : place + 8], png[place + 8 : place + 8 + length]))
        place += length + 12
    return found


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def _unfiltered(raw: bytes, width: int, step: int) -> bytes:
    """The bytes of all rows, without what PNG does to each row so that it packs better (PNG specification, 9)."""
    above, whole = bytearray(width), bytearray()
    for start in range(0, len(raw), width + 1):
        kind, row = raw[start], bytearray(raw[start + 1 : start + 1 + width])
        if kind == 2:
            row = bytearray((a + b) & 255 for a, b in zip(row, above, strict=True))
        elif kind:
            for place in range(width):
                left = row[place - step] if place >= step else 0
                corner = above[place - step] if place >= step else 0
                row[place] = (row[place] + _guess(kind, left, above[place], corner)) & 255
        whole += row
        above = row
    return bytes(whole)


def _guess(kind: int, left: int, up: int, corner: int) -> int:
    if kind == 1:
        return left
    if kind == 3:
        return (left + up) // 2
    near = left + up - corner
    return min((abs(near - left), 0, left), (abs(near - up), 1, up), (abs(near - corner), 2, corner))[2]
