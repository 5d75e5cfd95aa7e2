"""The Chinese texts of the web application are complete and compiled."""

from __future__ import annotations

import re

from devtools import translations


def test_the_files_are_up_to_date() -> None:
    """If not: scripts/generate_translations."""
    catalog = translations.collected()
    assert translations.PO.read_bytes() == translations.po_text(catalog)
    assert translations.MO.read_bytes() == translations.mo_text(catalog)


def test_every_text_is_translated() -> None:
    catalog = translations.collected()
    assert len(catalog) > 80
    assert translations.untranslated(catalog) == []


def test_translations_have_the_placeholders_of_their_texts() -> None:
    def placeholders(text: object) -> set[str]:
        return set(re.findall(r"%\(\w+\)s", str(text)))

    assert [
        message.id for message in translations.collected() if message.id and placeholders(message.id) != placeholders(message.string)
    ] == []


def test_no_text_of_a_template_is_left_out() -> None:
    """Words between tags have to go through gettext; names and signs need not."""
    allowed = {"dbproxy-admin", "dbproxy", "ok", "HTTP"}
    found = {}
    for path in translations.WEB.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        for pattern in (r"\{#.*?#\}", r"\{%.*?%\}", r"\{\{.*?\}\}", r"<[^>]*>"):
            text = re.sub(pattern, "\n", text, flags=re.DOTALL)
        words = set(re.findall(r"[A-Za-z][\w-]+", text)) - allowed
        if words:
            found[path.name] = words
    assert found == {}
