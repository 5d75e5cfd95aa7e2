"""The texts of the dashboard: both languages complete, nothing missing, nothing left over."""

from __future__ import annotations

import json
import re

from browser import DASHBOARD

LANGUAGES = ("en", "zh")


def texts(language: str) -> dict[str, str]:
    """The table of a language, read as what it is: a list of keys and JSON strings."""
    source = (DASHBOARD / "js" / f"texts_{language}.js").read_text(encoding="utf-8")
    pairs = re.findall(r'^  (?:"([\w.]+)"|(\w+)):\s*("(?:[^"\\]|\\.)*"),$', source, re.MULTILINE)
    assert len(pairs) == len(re.findall(r'^  ["\w]', source, re.MULTILINE))
    return {quoted or plain: json.loads(value) for quoted, plain, value in pairs}


SCRIPTS = "\n".join(
    path.read_text(encoding="utf-8") for path in sorted((DASHBOARD / "js").glob("*.js")) if not path.name.startswith("texts_")
)
PAGE = (DASHBOARD / "index.html").read_text(encoding="utf-8")


def test_both_languages_have_the_same_keys_in_the_same_order() -> None:
    assert [*texts("en")] == [*texts("zh")]
    assert len(texts("en")) > 100


def test_both_languages_name_the_same_values() -> None:
    for key, english in texts("en").items():
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", texts("zh")[key])), key


def test_every_text_that_is_asked_for_is_there() -> None:
    asked = set(re.findall(r'data-(?:text|label)="([^"]+)"', PAGE))
    asked |= set(re.findall(r'\btext\("([^"]+)"', SCRIPTS)) | set(re.findall(r'\b(?:text|empty): "([^"]+)"', SCRIPTS))
    assert len(asked) > 100
    assert asked - set(texts("en")) == set()


def test_no_text_is_left_over() -> None:
    beginnings = tuple(re.findall(r"text\(`([\w.]+\.)\$\{", SCRIPTS))
    quoted = set(re.findall(r'"([\w.]+)"', PAGE + SCRIPTS))
    assert [key for key in texts("en") if key not in quoted and not key.startswith(beginnings)] == []


def test_scripts_never_make_html_of_text() -> None:
    assert re.findall(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(", SCRIPTS) == []


def test_every_station_names_a_file_and_a_class_that_are_there() -> None:
    source = (DASHBOARD / "js" / "stations.js").read_text(encoding="utf-8")
    named = re.findall(r'name: "(\w+)",\s+file: "([\w/.]+)"', source) + re.findall(r'pool\("\w+", "(\w+)", "\w+", "([\w/.]+)"', source)
    assert len(named) == 12
    for name, file in named:
        text = (DASHBOARD.parents[1] / file).read_text(encoding="utf-8")
        assert re.search(rf"^class {name}\b", text, re.MULTILINE | re.IGNORECASE), (name, file)


def test_nothing_is_loaded_from_elsewhere() -> None:
    styles = "\n".join(path.read_text(encoding="utf-8") for path in DASHBOARD.glob("*.css"))
    assert re.findall(r"https?://|url\(", PAGE + styles) == []
    assert set(re.findall(r"https?://[\w./]+", SCRIPTS)) == {"http://www.w3.org/2000/svg"}
