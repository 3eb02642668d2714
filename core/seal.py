"""The seal: committed rows of the journal get consecutive numbers and a chain of hashes, so that nothing is altered unseen."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from sqlalchemy import bindparam, literal_column, select, update

from core.db import TURN_OF_SEALS, db
from core.journal import canonical, journal


def seal(limit: int = 5000) -> int:
    """Give committed rows their consecutive seal number and hash; returns how many.

    PostgreSQL commits ids out of order, so rows of transactions that may still be open are left for the next time.
    """
    session = db.session()
    db.one_at_a_time(TURN_OF_SEALS)
    query = select(journal).where(journal.c.seal.is_(None)).order_by(journal.c.id).limit(limit)
    if not db.is_sqlite:
        query = query.where(journal.c.tx < literal_column("pg_snapshot_xmin(pg_current_snapshot())::text::bigint"))
    rows = session.execute(query).mappings().all()
    if not rows:
        return 0
    last = session.execute(
        select(journal.c.seal, journal.c.hash).where(journal.c.seal.is_not(None)).order_by(journal.c.seal.desc()).limit(1)
    ).first()
    number, chain = (last.seal, last.hash) if last else (0, "")
    sealed = []
    for row in rows:
        number += 1
        veils = {"veil": secrets.token_hex(8), "address_veil": secrets.token_hex(8)}
        chain = row_hash({**row, **veils}, number, chain)
        sealed.append({"row": row["id"], "number": number, "chain": chain, **{f"new_{name}": value for name, value in veils.items()}})
    names = {"seal": "number", "hash": "chain", "veil": "new_veil", "address_veil": "new_address_veil"}
    put = update(journal).where(journal.c.id == bindparam("row")).values({name: bindparam(key) for name, key in names.items()})
    session.connection().execute(put, sealed)
    return len(rows)


def digest_of(changes: str) -> str:
    """SHA-256 of what a row of the journal says, which stands for it once its values are erased."""
    return hashlib.sha256(changes.encode()).hexdigest()


def row_hash(row: Any, number: int, before: str) -> str:
    """SHA-256 over the row's facts, its seal number and the hash of the row sealed before it.

    Who it was, which record and from where go in by their `veiled` digests, so that they can be taken away and the hash holds.
    """
    told = row["digest"] or digest_of(row["changes"])
    if row.get("veil") is None:
        # Sealed before there were veils.
        facts = [
            row["id"], row["tx"], row["batch_id"], row["at"], row["user_id"], row["behalf_id"], row["door"], row["address"],
            row["request_id"], row["model"], row["record_id"], row["verb"], row["part_of_id"], told,
        ]  # fmt: skip
    else:
        facts = [
            row["id"], row["tx"], row["batch_id"], row["at"], row["door"], row["request_id"], row["model"], row["verb"], told,
            veiled(row["veil"], whom(row)), veiled(row["address_veil"], row["address"]),
        ]  # fmt: skip
    return hashlib.sha256(f"{before}\n{number}\n{canonical(facts)}".encode()).hexdigest()


def whom(row: Any) -> list[Any]:
    """What a row says of persons and of the record."""
    return [row["user_id"], row["behalf_id"], row["record_id"], row["part_of_id"]]


def veiled(veil: str, facts: Any) -> str:
    """The digest of some facts and a random number beside them, without which nobody can try out what they may have been.

    Once the facts are taken away, this digest stands in the place of the number.
    """
    return veil if lifted(veil) else digest_of(f"{veil}\n{canonical(facts)}")


def lifted(veil: str | None) -> bool:
    """Were the facts behind this veil taken away?"""
    return veil is not None and len(veil) == 64
