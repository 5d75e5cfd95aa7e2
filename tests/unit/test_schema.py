"""conf/schema.sql is the schema of tests/data/schema.json, and what the proxy asks of a database is part of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from dbproxy.stores.mysql.schema import (
    COLUMNS_QUERY,
    LOCK_TABLE,
    REQUIRED_TABLES,
    ContentLimits,
    Row,
    content_limits,
    create_statement,
    missing,
    missing_indexes,
)

ROOT = Path(__file__).parents[2]
SQL = (ROOT / "conf" / "schema.sql").read_text(encoding="utf-8")
TABLE = re.compile(r"CREATE TABLE IF NOT EXISTS `(\w+)` \(\n(.*?)\n\) ENGINE=InnoDB DEFAULT CHARSET=(\w+) COLLATE=(\w+);", re.DOTALL)
COLUMN = re.compile(r"`(\w+)` (\w+(?:\(\d+\))?(?: unsigned)?) (NOT NULL|NULL)(?: DEFAULT '(.*)')?( AUTO_INCREMENT)?\Z")
INDEX = re.compile(r"(?:PRIMARY KEY|KEY `(\w+)`) \((.*)\)\Z")


def described() -> dict[str, Any]:
    """schema.json with one entry per shard and without the notes."""
    tables: dict[str, Any] = {}
    for name, table in json.loads((ROOT / "tests" / "data" / "schema.json").read_text(encoding="utf-8")).items():
        table.pop("note", None)
        for shard in range(8) if "{0..7}" in name else (0,):
            tables[name.replace("{0..7}", str(shard))] = table
    return tables


def written() -> dict[str, Any]:
    """schema.sql in the form of schema.json."""
    tables: dict[str, Any] = {}
    for name, body, charset, collate in TABLE.findall(SQL):
        columns: list[list[Any]] = []
        indexes: list[list[str]] = []
        for line in body.split("\n"):
            part = line.strip().removesuffix(",")
            if index := INDEX.match(part):
                indexes.append([index[1] or "PRIMARY", index[2].replace("`", "").replace(" ", "")])
                continue
            column = COLUMN.match(part)
            assert column, part
            entry: list[Any] = [column[1], column[2], column[3].lower()]
            if column[4] is not None:
                entry.append({"default": column[4]})
            if column[5]:
                entry.append("auto_increment")
            columns.append(entry)
        assert name not in tables
        tables[name] = {"charset": charset, "collate": collate, "columns": columns, "indexes": indexes}
    return tables


def complete() -> list[Row]:
    return [
        (table, column[0], int(column[1][8:-1]) if column[1].startswith("varchar") else None)
        for table, content in described().items()
        for column in content["columns"]
    ]


def test_schema_sql_is_the_described_schema() -> None:
    assert SQL.count("CREATE TABLE") == len(described())
    assert written() == described()


def test_the_statement_of_one_table_is_found_in_schema_sql() -> None:
    statement = create_statement(SQL, "IMTransmitFile")
    assert statement.startswith("CREATE TABLE IF NOT EXISTS `IMTransmitFile` (\n  `id`")
    assert statement.count("CREATE TABLE") == 1
    assert statement + ";" in SQL
    with pytest.raises(LookupError):
        create_statement(SQL, "IMTransmit")


def test_everything_that_is_required_is_described_and_only_the_web_admin_and_the_lock_table_are_left_out() -> None:
    tables = described()
    assert set(tables) - set(REQUIRED_TABLES) == {"IMAdmin", "IMDiscovery", LOCK_TABLE}
    for table, columns in REQUIRED_TABLES.items():
        assert list(columns) == [column[0] for column in tables[table]["columns"]]


def test_a_complete_database_misses_nothing() -> None:
    assert missing(complete()) == []


def test_names_may_differ_in_case() -> None:
    assert missing([(table.lower(), column.upper(), length) for table, column, length in complete()]) == []


def test_an_exact_table_name_goes_before_one_in_another_case() -> None:
    rows = [row for row in complete() if row[:2] != ("IMUser", "salt")]
    assert missing([*rows, ("imuser", "salt", 4)]) == ["table IMUser lacks the column salt"]


def test_other_tables_and_columns_do_not_matter() -> None:
    assert missing([*complete(), ("IMUser", "extra", None), ("Other", "id", None)]) == []


def test_missing_tables_and_columns_are_named() -> None:
    gone = {("IMUser", "sign_info"), ("IMUser", "push_shield_status"), ("IMMessage_7", "msgId")}
    rows = [row for row in complete() if row[0] != "IMTransmitFile" and row[:2] not in gone]
    assert missing(rows) == [
        "table IMUser lacks the columns push_shield_status, sign_info",
        "table IMTransmitFile is missing",
        "table IMMessage_7 lacks the column msgId",
    ]


def test_an_empty_database_misses_every_table() -> None:
    assert missing([]) == [f"table {table} is missing" for table in REQUIRED_TABLES]


def test_content_limits_are_the_smallest_of_the_shards() -> None:
    assert content_limits(complete()) == ContentLimits(message=4096, group_message=4096)
    rows = [row for row in complete() if row[:2] != ("IMGroupMessage_3", "content")]
    assert content_limits([*rows, ("IMGroupMessage_3", "content", 1000)]) == ContentLimits(message=4096, group_message=1000)
    assert content_limits([(table.lower(), column, length) for table, column, length in complete()]) == ContentLimits(4096, 4096)


def test_content_limits_need_every_shard() -> None:
    with pytest.raises(ValueError, match="IMMessage_5"):
        content_limits(row for row in complete() if row[0] != "IMMessage_5")


def test_the_query_asks_for_the_values_of_a_row_in_this_database_only() -> None:
    assert re.findall(r" as (\w+)", COLUMNS_QUERY) == ["table_name", "column_name", "length"]
    assert COLUMNS_QUERY.endswith("where table_schema = database()")


def stock_indexes() -> list[tuple[str, str]]:
    return [(name, index) for name, table in described().items() for index, _ in table["indexes"]]


def test_a_stock_database_has_the_indexes_that_queries_name() -> None:
    assert missing_indexes(stock_indexes()) == []
    assert missing_indexes([(table.lower(), index.upper()) for table, index in stock_indexes()]) == []


def test_a_missing_index_is_named_by_the_statement_that_makes_the_stock_one() -> None:
    without = [entry for entry in stock_indexes() if not entry[0].startswith("IMGroupMessage_3") or entry[1] == "PRIMARY"]
    statements = missing_indexes(without)
    stock = {f"ALTER TABLE IMGroupMessage_3 ADD INDEX {name} ({columns})" for name, columns in described()["IMGroupMessage_3"]["indexes"]}
    assert len(statements) == 2
    assert set(statements) <= stock
