"""In which language a page is: what the person has chosen, else what the browser prefers. The thread of the request."""

from __future__ import annotations

from collections.abc import Mapping

from flask import request

COOKIE = "language"
COOKIE_SECONDS = 365 * 86400

LANGUAGES: Mapping[str, str] = {"en": "English", "zh": "中文"}
"""Code → name in its own language."""


def chosen_language() -> str:
    """Return the code of the language of this request."""
    chosen = request.cookies.get(COOKIE, "")
    # not best_match: of "en-GB, zh;q=0.5" it would take zh, which is there exactly
    wanted = [chosen, *(tag.partition("-")[0].lower() for tag in request.accept_languages.values())]
    return next((code for code in wanted if code in LANGUAGES), "en")
