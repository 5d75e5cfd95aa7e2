"""The Chinese texts of the web application: collects what the sources have, keeps what is translated, compiles.

``messages.po`` is for translators, ``messages.mo`` is what the application reads; both are committed. Neither has a date or the numbers of
lines in it, so that they change only with the texts.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[2]
WEB = ROOT / "dbproxy" / "admin" / "web"
FILES = WEB / "translations" / "zh" / "LC_MESSAGES"
PO, MO = FILES / "messages.po", FILES / "messages.mo"

_METHODS = [("**.py", "python"), ("**/templates/**.html", "jinja2")]
_OPTIONS = {"**/templates/**.html": {"trimmed": "true", "encoding": "utf-8"}}
_KEYWORDS: dict[str, tuple[int, ...] | None] = {"_": None, "gettext": None, "lazy_gettext": None, "ngettext": (1, 2)}


class _PlainCatalog(Catalog):
    """A catalog whose header has only what programs read: the rest differs with the day and with the version of Babel."""

    @property
    def mime_headers(self) -> list[tuple[str, str]]:
        return [("Language", "zh"), ("Plural-Forms", self.plural_forms), ("Content-Type", "text/plain; charset=utf-8")]

    @mime_headers.setter
    def mime_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Nothing is taken from what is read."""


def collected() -> Catalog:
    """Return the texts of the sources, with the translations that ``messages.po`` has for them."""
    catalog = _PlainCatalog(locale="zh", fuzzy=False, header_comment="# Chinese texts of dbproxy-admin serve.")
    known = translated() if PO.exists() else Catalog(locale="zh")
    for _, _, message, _, _ in extract_from_dir(WEB, _METHODS, _OPTIONS, _KEYWORDS):
        former = known.get(message if isinstance(message, str) else message[0])
        catalog.add(message, former.string if former is not None else None)
    return catalog


def translated() -> Catalog:
    """Return what ``messages.po`` has."""
    with PO.open("rb") as file:
        return read_po(file, locale="zh")


def untranslated(catalog: Catalog) -> list[str]:
    """Return the texts without a translation, or with one that somebody was not sure of."""
    texts = []
    for message in catalog:
        strings = message.string if isinstance(message.string, (list, tuple)) else [message.string]
        if message.id and (not all(strings) or message.fuzzy):
            texts.append(str(message.id))
    return texts


def po_text(catalog: Catalog) -> bytes:
    """Return the file for translators."""
    buffer = io.BytesIO()
    write_po(buffer, catalog, width=110, no_location=True, sort_output=True)
    return buffer.getvalue()


def mo_text(catalog: Catalog) -> bytes:
    """Return the file for the application."""
    buffer = io.BytesIO()
    write_mo(buffer, catalog)
    return buffer.getvalue()


def main(argv: Sequence[str] | None = None) -> int:
    """Write both files and say what is not translated, or with --check compare only."""
    parser = argparse.ArgumentParser(prog="scripts/generate_translations", description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference or a missing translation")
    check = parser.parse_args(argv).check
    catalog = collected()
    missing = untranslated(catalog)
    made = {PO: po_text(catalog), MO: mo_text(catalog)}
    stale = [path for path, text in made.items() if not path.exists() or path.read_bytes() != text]
    for text in missing:
        print(f"not translated: {text}", file=sys.stderr)
    for path in stale:
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(made[path])
        print(f"{path.relative_to(ROOT)} {'is out of date' if check else 'is written'}")
    return 1 if missing or (check and stale) else 0


if __name__ == "__main__":
    sys.exit(main())
