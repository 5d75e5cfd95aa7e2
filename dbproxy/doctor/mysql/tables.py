"""Tables, columns, indexes, engines, character sets and collations of one database."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from dbproxy.doctor.finding import Subject, listed
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.grants import OFFLINE_FILES, may_create_offline_files
from dbproxy.doctor.mysql.row_ids import check_row_ids
from dbproxy.doctor.mysql.session import Session, text
from dbproxy.stores.mysql import schema

TEXT_OF_PEOPLE = {
    **{f"{kind}_{shard}": ("content",) for kind in ("IMMessage", "IMGroupMessage") for shard in range(schema.SHARDS)},
    "IMUser": ("name", "domain", "nick", "sign_info"),
    "IMGroup": ("name",),
    "IMDepart": ("departName",),
    OFFLINE_FILES: ("fileName",),
}
"""Table → columns with what people write."""

OPTIONAL_INDEXES = (
    ("IMUser", "idx_updated", 10_000, "every login reads all users"),
    ("IMGroup", "idx_lastChated", 10_000, "the background sync reads all groups every SyncInterval"),
)
"""Table, index of conf/indexes.sql, rows from which on it is worth having, and what happens without it."""

_ENGINES = "select table_name as table_name,engine as engine,table_rows as table_rows from information_schema.tables"
_TEXTS = (
    "select table_name as table_name,column_name as column_name,character_set_name as name,collation_name as collation"
    " from information_schema.columns"
)
_HERE = " where table_schema=database()"


@dataclass(frozen=True, slots=True)
class _Text:
    """A column with text."""

    table: str
    column: str
    character_set: str
    collation: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


def check(session: Session, subject: Subject, unreadable: Collection[str]) -> schema.ContentLimits | None:
    """Check the tables of one database. ``unreadable``: tables of which the account sees nothing, which are reported already.

    Returns what the columns of the messages take; None when they are not all there.
    """
    columns = [
        (text(table), text(column), None if length is None else int(length))
        for table, column, length in session.select(schema.COLUMNS_QUERY)
    ]
    indexes = [(text(table), text(index)) for table, index in session.select(schema.INDEXES_QUERY)]
    hidden = {table.lower() for table in unreadable}
    _check_columns(session, subject, columns, hidden)
    _check_indexes(subject, indexes, {table.lower() for table, _, _ in columns} - hidden)
    described = session.select(_ENGINES + _HERE)
    engines = {text(table): text(engine) for table, engine, _ in described}
    _check_engines(subject, engines)
    _check_optional_indexes(subject, {text(table).lower(): int(rows or 0) for table, _, rows in described}, indexes)
    check_row_ids(session, subject)
    _check_texts(subject, [_Text(*map(text, row)) for row in session.select(f"{_TEXTS}{_HERE} and character_set_name is not null")])
    try:
        return schema.content_limits(columns)
    except ValueError:
        return None


def _check_columns(session: Session, subject: Subject, columns: Sequence[schema.Row], hidden: Collection[str]) -> None:
    missing = [sentence for sentence in schema.missing(columns) if sentence.split()[1].lower() not in hidden]
    files = [sentence for sentence in missing if OFFLINE_FILES in sentence]
    others = [sentence for sentence in missing if sentence not in files]
    if others:
        subject.error(Kind.TABLES, "; ".join(others), "load what is missing from conf/schema.sql; without it the proxy does not start")
    else:
        subject.ok(Kind.TABLES, f"the {len(schema.REQUIRED_TABLES)} tables have every column that the proxy uses")
    if not files:
        return
    if any(table.lower() == OFFLINE_FILES.lower() for table, _, _ in columns):
        subject.warning(Kind.OFFLINE_FILES, f"{files[0]}: offline files will fail", f"make {OFFLINE_FILES} as in conf/schema.sql")
    elif may_create_offline_files(session):
        subject.info(Kind.OFFLINE_FILES, f"{files[0]}; the account may create it, and the start of the proxy will")
    else:
        subject.warning(
            Kind.OFFLINE_FILES,
            f"{files[0]} and the account may not create it (CREATE): offline files will fail",
            f"make the table as in conf/schema.sql, or GRANT CREATE ON `{session.values('database()')[0]}`.* for the first start",
        )


def _check_indexes(subject: Subject, indexes: Sequence[tuple[str, str]], present: Collection[str]) -> None:
    lacking = [statement for statement in schema.missing_indexes(indexes) if statement.split()[2].lower() in present]
    if lacking:
        subject.error(
            Kind.INDEXES,
            f"{len(lacking)} of the indexes that queries name are missing, so the proxy does not start: "
            + listed(f"{statement.split()[2]}.{statement.split()[5]}" for statement in lacking),
            "; ".join(lacking),
        )
    else:
        subject.ok(Kind.INDEXES, "the indexes that queries name are there")


def _check_optional_indexes(subject: Subject, rows: dict[str, int], indexes: Sequence[tuple[str, str]]) -> None:
    present = {(table.lower(), index.lower()) for table, index in indexes}
    for table, index, from_rows, without in OPTIONAL_INDEXES:
        if rows.get(table.lower(), 0) >= from_rows and (table.lower(), index.lower()) not in present:
            subject.info(
                Kind.OPTIONAL_INDEXES,
                f"{table} has about {rows[table.lower()]} rows and not the optional index {index}: {without}",
                f"conf/indexes.sql has the statement that makes {index}, and what it costs",
            )


def _check_engines(subject: Subject, engines: dict[str, str]) -> None:
    required = {table.lower() for table in schema.REQUIRED_TABLES}
    wrong = {table: engine for table, engine in engines.items() if table.lower() in required and engine.lower() != "innodb"}
    if wrong:
        subject.error(
            Kind.ENGINE,
            "not InnoDB: " + listed(f"{table} ({engine or 'none'})" for table, engine in sorted(wrong.items())) + ". Such a table knows no "
            "transactions and no row locks: messages can be stored twice or by half, and msg_ids be given twice",
            "; ".join(f"ALTER TABLE {table} ENGINE=InnoDB" for table in sorted(wrong)),
        )
    else:
        subject.ok(Kind.ENGINE, "all tables are InnoDB")


def _check_texts(subject: Subject, columns: Sequence[_Text]) -> None:
    wanted = {(table.lower(), column.lower()) for table, names in TEXT_OF_PEOPLE.items() for column in names}
    texts = [column for column in columns if (column.table.lower(), column.column.lower()) in wanted]
    three_bytes = [column for column in texts if column.character_set in ("utf8", "utf8mb3")]
    narrow = [column for column in texts if column.character_set not in ("utf8", "utf8mb3", "utf8mb4", "utf16", "utf32", "gb18030")]
    if three_bytes:
        subject.warning(
            Kind.CHARACTER_SET,
            f"{listed(three_bytes)}: character set utf8 (utf8mb3), which has no emoji and no rare Chinese characters; a text with one "
            "is refused",
            _convert(three_bytes),
        )
    if narrow:
        names = ", ".join(sorted({column.character_set for column in narrow}))
        subject.error(
            Kind.CHARACTER_SET,
            f"{listed(narrow)}: character set {names}, which does not hold every character; a text with another one is refused",
            _convert(narrow),
        )
    if not three_bytes and not narrow:
        subject.ok(Kind.CHARACTER_SET, "what people write is kept in utf8mb4")
    _check_collations(subject, texts)


def _convert(columns: Sequence[_Text]) -> str:
    tables = sorted({column.table for column in columns})
    return "; ".join(f"ALTER TABLE {table} CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" for table in tables) + (
        " (it rebuilds the table, so not while people are writing)"
    )


def _check_collations(subject: Subject, texts: Sequence[_Text]) -> None:
    folding = [column for column in texts if column.table.lower() == "imuser" and column.column.lower() == "name" and not _is_exact(column)]
    if folding:
        subject.info(
            Kind.COLLATION,
            f"IMUser.name has the collation {folding[0].collation}: 'alice' and 'Alice' are the same name at a login, and whatever "
            "else the "
            "collation takes for equal",
            "leave it if that is wanted; with COLLATE utf8mb4_bin, as in conf/schema.sql, names must be spelt exactly",
        )
    for kind in ("immessage_", "imgroupmessage_"):
        collations = sorted({column.collation for column in texts if column.table.lower().startswith(kind)})
        if len(collations) > 1:
            subject.warning(
                Kind.COLLATION,
                f"the shards of {'IMGroupMessage' if 'group' in kind else 'IMMessage'} have different collations "
                f"({', '.join(collations)}): "
                "what can be stored depends on the conversation",
                "convert all of them to utf8mb4_bin, as in conf/schema.sql",
            )


def _is_exact(column: _Text) -> bool:
    return column.collation.endswith(("_bin", "_cs", "_as_cs")) or column.collation == "binary"
