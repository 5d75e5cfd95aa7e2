"""What dbproxy-ctl knows of each command: its arguments, the request that they make, and how the answer is shown."""

from __future__ import annotations

import argparse
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from dbproxy.ops.commands.steering import LEVEL_SECONDS, LEVELS, RELOAD_TIMEOUT
from dbproxy.ops.ctl_tables import printable, seconds

Item = Mapping[str, Any]

SILENCE = 30.0
"""Seconds in which a proxy that works answers any question."""


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


class _Drain(View):
    name = "drain"
    help = "stop as after SIGTERM: peers are told, what they have sent is answered"

    def text(self, item: Item) -> str:
        return f"draining: {item['connections']} connections are told to send new work elsewhere"


class _Reload(View):
    name = "reload"
    help = "read the configuration again and apply it, as a whole or not at all"

    def silence(self, options: argparse.Namespace) -> float:
        return RELOAD_TIMEOUT + SILENCE

    def text(self, item: Item) -> str:
        if item["problems"]:
            return "\n".join(map(printable, item["problems"]))
        applied = "applied: " + (", ".join(item["applied"]) or "nothing has changed")
        return applied + (f"\nneeds a restart: {', '.join(item['restart'])}" if item["restart"] else "")


class _LogLevel(View):
    name = "log-level"
    help = "write more or less into the log, for a while"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("level", metavar="LEVEL", choices=LEVELS, help=", ".join(LEVELS))
        until = "for how long; 0: until the next reload (default: %(default)g)"
        parser.add_argument("seconds", metavar="SECONDS", nargs="?", type=float, default=LEVEL_SECONDS, help=until)

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        return {"level": options.level, "seconds": options.seconds}

    def text(self, item: Item) -> str:
        until = f"for {seconds(item['seconds'])}" if item["seconds"] else "until the next reload"
        return f"log level {item['level']} {until}, then {item['configured']}"


VIEWS: Sequence[View] = (_Reload(), _Drain(), _LogLevel())
"""Every command of dbproxy-ctl."""
