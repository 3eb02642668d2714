"""The seal: committed rows of the journal get consecutive numbers and a chain of hashes, so that nothing is altered unseen."""

from __future__ import annotations

import hashlib
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
        chain = row_hash(row, number, chain)
        sealed.append({"row": row["id"], "number": number, "chain": chain})
    put = update(journal).where(journal.c.id == bindparam("row")).values(seal=bindparam("number"), hash=bindparam("chain"))
    session.connection().execute(put, sealed)
    return len(rows)


def digest_of(changes: str) -> str:
    """SHA-256 of what a row of the journal says, which stands for it once its values are erased."""
    return hashlib.sha256(changes.encode()).hexdigest()


def row_hash(row: Any, number: int, before: str) -> str:
    """SHA-256 over the row's facts, its seal number and the hash of the row sealed before it."""
    facts = [
        row["id"], row["tx"], row["batch_id"], row["at"], row["user_id"], row["behalf_id"], row["door"], row["address"],
        row["request_id"], row["model"], row["record_id"], row["verb"], row["part_of_id"], row["digest"] or digest_of(row["changes"]),
    ]  # fmt: skip
    return hashlib.sha256(f"{before}\n{number}\n{canonical(facts)}".encode()).hexdigest()
