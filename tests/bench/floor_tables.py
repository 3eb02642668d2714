"""The floor's own tables: the same columns as ours, with just the indexes that its hand-written statements want."""

from __future__ import annotations

import sqlalchemy as sa

COLUMNS = [
    "id", "name", "code", "category", "source", "status", "level", "region", "phones", "email", "address", "remarks", "birthday",
    "owner_id", "department_id", "created_at", "changed_at", "version", "title_key", "tokens",
]  # fmt: skip

SCHEMA = """
CREATE TABLE client (id {serial}, name varchar(200) NOT NULL, code varchar(60), category varchar(64), source varchar(64),
  status varchar(64), level varchar(64), region varchar(64), phones varchar(200), email varchar(320), address varchar(200),
  remarks text, birthday date,
  owner_id integer, department_id integer, created_at timestamp NOT NULL, changed_at timestamp NOT NULL, version integer NOT NULL,
  title_key varchar(120) {bytewise}, tokens {vector});
CREATE TABLE contact (id {serial}, client_id integer, name varchar(200), phones varchar(200), email varchar(320));
CREATE TABLE person (id integer PRIMARY KEY, name varchar(130));
CREATE TABLE audit (id {serial}, client_id integer, who integer, at timestamp, what text)
"""
INDEXES = """
CREATE INDEX client_changed ON client (changed_at, id);
CREATE INDEX client_title ON client (title_key, id);
CREATE INDEX client_owner_changed ON client (owner_id, changed_at, id);
CREATE INDEX client_owner_title ON client (owner_id, title_key, id);
CREATE INDEX client_department ON client (department_id, changed_at, id);
CREATE INDEX client_combo ON client (owner_id, category, source, changed_at, id);
CREATE UNIQUE INDEX client_code ON client (code);
CREATE INDEX client_report ON client (source, category);
CREATE INDEX contact_client ON contact (client_id)
"""
SEARCH = {
    "postgresql": "CREATE INDEX client_tokens ON client USING gin (tokens)",
    "sqlite": "CREATE VIRTUAL TABLE client_fts USING fts5("
    "tokens, content='client', content_rowid='id', tokenize='ascii', detail=none, columnsize=0)",
}


def create(engine: sa.Engine) -> None:
    """Make the tables, without indexes."""
    sqlite = engine.dialect.name == "sqlite"
    words = {
        "serial": "integer PRIMARY KEY" if sqlite else "serial PRIMARY KEY",
        "bytewise": "" if sqlite else 'COLLATE "C"',
        "vector": "text" if sqlite else "tsvector",
    }
    with engine.begin() as connection:
        for statement in SCHEMA.format(**words).split(";"):
            connection.exec_driver_sql(statement)


def finish(engine: sa.Engine) -> None:
    """Make the indexes, and let the database know its rows."""
    name = engine.dialect.name
    with engine.begin() as connection:
        if name == "postgresql":
            connection.exec_driver_sql("SET maintenance_work_mem = '512MB'")
            for table in ("client", "contact"):
                connection.exec_driver_sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT max(id) FROM {table}))")
        for statement in [*INDEXES.split(";"), SEARCH[name]]:
            connection.exec_driver_sql(statement)
        if name == "sqlite":
            connection.exec_driver_sql("INSERT INTO client_fts (client_fts) VALUES ('rebuild')")
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("ANALYZE" if name == "sqlite" else "VACUUM ANALYZE")
