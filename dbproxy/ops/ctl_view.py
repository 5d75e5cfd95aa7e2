"""View: what dbproxy-ctl knows of one command: its arguments, the request that they make, and how the answer is shown."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

Item = Mapping[str, Any]
"""One item of an answer."""

SILENCE = 30.0
"""Seconds in which a proxy that works answers any question."""


def finite(text: str) -> float:
    """Return seconds that can be waited for; how many a command takes is the proxy's business."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1e9:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a number of seconds")
    return value


class View(ABC):
    """One command as users see it."""

    name: str
    help: str
    endless = False
    """Whether it goes on until it is interrupted, so that an interruption is its usual end."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:  # noqa: B027 - most commands have none
        """Add the arguments of this command."""

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        """Return the arguments of the request."""
        return {}

    def silence(self, options: argparse.Namespace) -> float:
        """Return for how many seconds the proxy may say nothing."""
        return SILENCE

    def printer(self, options: argparse.Namespace) -> Callable[[Item], str]:
        """Return what makes text of an item. For streams that compare an item with the one before, it keeps that."""
        return self.text

    @abstractmethod
    def text(self, item: Item) -> str:
        """Return an item as text; empty: nothing is printed."""
