"""The programs that are compared: started here on one private stack, each in its turn, or running already. One thread."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from dbproxy.bench.site import Site
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import Stack


class Contestant(ABC):
    """A program that is measured, under a ``name`` in the report."""

    name: str

    @abstractmethod
    def serving(self) -> contextlib.AbstractContextManager[Site]:
        """Let it serve for the length of the block. StartupError when it does not."""

    @property
    def condition(self) -> str:
        """What can be said of the process from outside; empty if nothing."""
        return ""


class StartedContestant(Contestant):
    """A program that is started for each of its turns; see ``ProxyProcess``."""

    def __init__(self, name: str, stack: Stack, command: Sequence[str], overrides: Mapping[str, object]) -> None:
        self.name = name
        self._stack = stack
        self._proxy = ProxyProcess(stack, {"ThreadNum": 48, **overrides}, command=command)

    @contextlib.contextmanager
    def serving(self) -> Iterator[Site]:
        """See Contestant."""
        self._proxy.start()
        try:
            with Site(self._proxy.config_path, stack=self._stack) as site:
                yield site
        finally:
            with contextlib.suppress(TimeoutError):
                self._proxy.stop(15)

    @property
    def condition(self) -> str:
        """See Contestant."""
        return self._proxy.condition


class RunningContestant(Contestant):
    """A program that runs already, with its configuration."""

    def __init__(self, name: str, address: tuple[str, int], config_path: Path) -> None:
        """``address``: host and port of the program; ``config_path``: its dbproxyserver.conf, which says where its stores are."""
        self.name = name
        self._address = address
        self._config_path = config_path

    @contextlib.contextmanager
    def serving(self) -> Iterator[Site]:
        """See Contestant."""
        with Site(self._config_path, address=self._address) as site:
            yield site


def distinct_names(wanted: Sequence[str]) -> list[str]:
    """Return the names, with a number behind those that are there more than once."""
    return [name if wanted.count(name) == 1 else f"{name} ({wanted[: number + 1].count(name)})" for number, name in enumerate(wanted)]
