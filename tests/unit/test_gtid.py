"""GTID positions of both engines: whether a server has what another one had committed."""

from __future__ import annotations

import pytest

from dbproxy.stores.mysql.gtid import has_reached, without_blanks

ONE, TWO = "3e11fa47-71ca-11e1-9e33-c80aa9429562", "4e11fa47-71ca-11e1-9e33-c80aa9429562"


@pytest.mark.parametrize(
    ("applied", "wanted"),
    [
        ("", ""),
        ("0-1-17", ""),
        ("0-1-17", "0-1-17"),
        ("0-2-18", "0-1-17"),  # another server goes on in the same domain
        ("0-1-17,1-1-3", "0-1-17"),
        ("1-1-3,0-1-17", "0-1-17,1-1-3"),
        (f"{ONE}:1-5", f"{ONE}:1-5"),
        (f"{ONE}:1-9", f"{ONE}:3-5:7"),
        (f"{ONE}:1-3:4-9", f"{ONE}:2-8"),
        (f"{ONE}:1-5,\n{TWO}:1-9", f"{TWO}:1-9"),
        (f"{ONE.upper()}:1-5", f"{ONE}:4"),
        (f"{ONE}:1-5:blue:1-2", f"{ONE}:3:blue:2"),
    ],
)
def test_reached(applied: str, wanted: str) -> None:
    assert has_reached(applied, wanted)


@pytest.mark.parametrize(
    ("applied", "wanted"),
    [
        ("", "0-1-1"),
        ("0-1-16", "0-1-17"),
        ("0-1-17", "0-1-17,1-1-3"),
        ("", f"{ONE}:1"),
        (f"{ONE}:1-5", f"{ONE}:1-6"),
        (f"{ONE}:1-3:5-9", f"{ONE}:2-8"),
        (f"{TWO}:1-5", f"{ONE}:1-5"),
        (f"{ONE}:1-5", f"{ONE}:blue:1"),
    ],
)
def test_not_reached(applied: str, wanted: str) -> None:
    assert not has_reached(applied, wanted)


@pytest.mark.parametrize(("applied", "wanted"), [("what", "0-1-1"), (f"{ONE}:1", "0-1-1"), ("0-1-x", "0-1-1")])
def test_what_is_no_position_of_that_engine(applied: str, wanted: str) -> None:
    with pytest.raises(ValueError):
        has_reached(applied, wanted)


def test_a_position_in_one_line() -> None:
    assert without_blanks(f"{ONE}:1-5,\n{TWO}:1") == f"{ONE}:1-5,{TWO}:1"
