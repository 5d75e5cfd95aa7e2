"""Types of command line options that several tools have: what argparse calls with the text of a value. Pure functions, any thread."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any


def checked(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Return the type of what ``parse`` makes of a text; argparse then says what a ``ValueError`` of it says."""

    def option_type(text: str) -> Any:  # noqa: ANN401 - what ``parse`` returns
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text[:200]!r}: {error}") from None

    return option_type


def seconds(low: float, high: float) -> Callable[[str], float]:
    """Return the type of a number of seconds in these limits."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not low <= value <= high:
            raise ValueError(f"expected seconds from {low:g} to {high:g}")
        return value

    return checked(parse)


def whole_number(low: int, high: int) -> Callable[[str], int]:
    """Return the type of a whole number in these limits."""

    def parse(text: str) -> int:
        if not (text.isascii() and text.isdigit() and low <= int(text) <= high):
            raise ValueError(f"expected a whole number from {low} to {high}")
        return int(text)

    return checked(parse)
