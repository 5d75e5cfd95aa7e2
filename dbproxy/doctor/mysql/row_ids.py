"""How much of the ids that a table's AUTO_INCREMENT column can hold is used up."""

from __future__ import annotations

from dbproxy.doctor.finding import Subject, listed
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.session import Session, text
from dbproxy.stores.mysql import schema

BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64}
"""Type of a column → bits of its values."""

WARN_FROM, ERROR_FROM = 0.5, 0.9
"""Shares of the ids that are used up."""

_PROTOCOL_IDS = frozenset(("imuser", "imgroup", "imrelationship", "imdepart"))
"""Tables whose ids are also columns of 32 bits elsewhere, or fields of the protocol: these cannot be made longer than that."""

_IDS = (
    "select t.table_name as table_name,t.auto_increment as next_id,c.data_type as data_type,c.column_type as column_type "
    "from information_schema.tables t join information_schema.columns c on c.table_schema=t.table_schema and c.table_name=t.table_name "
    "where t.table_schema=database() and t.auto_increment is not null and c.extra like '%auto_increment%'"
)

_KEPT = "information_schema_stats_expiry"
"""For so many seconds, a day, MySQL answers with the ids as they were when it was last asked; MariaDB has no such variable."""


def check_row_ids(session: Session, subject: Subject) -> None:
    """Report the tables of the proxy whose ids run out. At the last id every insert fails: messages get msg_id 0."""
    required = {table.lower() for table in schema.REQUIRED_TABLES}
    if session.number(_KEPT):
        session.select(f"set session {_KEPT}=0")
    used: dict[str, float] = {}
    for name, next_id, data_type, column_type in session.select(_IDS):
        table, bits = text(name), BITS.get(text(data_type).lower())
        if bits is not None and table.lower() in required:
            largest = 2 ** (bits if "unsigned" in text(column_type).lower() else bits - 1) - 1
            used[table] = int(next_id) / largest
    few = {table: share for table, share in sorted(used.items(), key=lambda item: -item[1]) if share >= WARN_FROM}
    if not few:
        most = max(used.values(), default=0.0)
        subject.ok(Kind.ROW_IDS, f"of the row ids of each table {most:.0%} are used at most")
        return
    what = "row ids are running out, and at the last one nothing more can be stored: " + listed(
        f"{table} {share:.0%} used" for table, share in few.items()
    )
    remedy = "; ".join(
        f"ALTER TABLE {table} MODIFY id {'int' if table.lower() in _PROTOCOL_IDS else 'bigint'} unsigned NOT NULL AUTO_INCREMENT"
        for table in few
    )
    report = subject.error if max(few.values()) >= ERROR_FROM else subject.warning
    report(Kind.ROW_IDS, what, remedy + " (it rebuilds the table, so not while people are writing)")
