"""The recorded cases that come with the package, by profile and topic. Any thread."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from dbproxy.errors import DbproxyError
from dbproxy.testing.observe import Fields

ORIGINAL, BETTER = "original", "better"

PROFILES: Mapping[str, str] = {
    ORIGINAL: "what the original db_proxy_server answers and stores",
    BETTER: "where a proxy may be better than the original: nothing is acknowledged that is not stored, no id is given twice, and more",
}
"""Name → what its cases are about. A program that is held to ``better`` is held to ``original``, too."""

RECORDED_SITE = "127.0.0.1:18700"
"""The file server's address in the recordings of both profiles."""


class RecordingError(DbproxyError):
    """A file that cannot be used as a recording; the text says why."""


def recorded(profile: str) -> list[Fields]:
    """Return the cases of a profile and, before them, of those that it includes; each has its ``profile``."""
    names = [ORIGINAL] if profile == ORIGINAL else [ORIGINAL, BETTER]
    return [
        {**case, "profile": name}
        for name in names
        for case in json.loads((files(__package__) / "data" / f"{name}.json").read_text(encoding="utf-8"))
    ]


def read_cases(path: Path | str) -> list[Fields]:
    """Return the cases of a recording that somebody has made; their profile is the file's name.

    Raises:
        RecordingError: the file cannot be read or is no list of cases.

    """
    try:
        cases = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordingError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise RecordingError(f"{path}: no recording: {error}") from None
    if not isinstance(cases, list):
        raise RecordingError(f"{path}: no recording: a list of cases is expected")
    for number, case in enumerate(cases, 1):
        if not isinstance(case, dict) or not {"name", "steps", "expect"} <= case.keys() or len(case["steps"]) != len(case["expect"]):
            raise RecordingError(f"{path}: case {number} needs name, steps, and one expectation for each step")
    return [{"topic": "own", **case, "profile": Path(path).stem} for case in cases]


def chosen(cases: Sequence[Fields], patterns: Sequence[str]) -> list[Fields]:
    """Return the cases whose name or topic contains one of the patterns; all if there are none."""
    return [case for case in cases if not patterns or any(pattern in case["name"] or pattern in case["topic"] for pattern in patterns)]


def with_site(case: Fields, site: str) -> Fields:
    """Return the case with another file server's address (host:port)."""
    moved: Fields = json.loads(json.dumps(case).replace(RECORDED_SITE, site))
    return moved
