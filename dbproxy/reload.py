"""Reload: the configuration is read again and applied to the running proxy, as a whole or not at all.

Everything that can fail comes first: reading the file, opening the log file, connecting to servers, starting threads. Then everything is
applied in one step of the reactor, in which nothing fails. If connections to backends are replaced, no batch and no run of the group
session sync is under way in that moment, so that none of them uses two servers; requests wait for those milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from dbproxy.config import Config, key_warnings
from dbproxy.config_changes import ConfigChanges, changes_between
from dbproxy.errors import ConfigError, DbproxyError
from dbproxy.stores.moves import PoolMoves

logger = logging.getLogger(__name__)

POLL = 0.002
"""Seconds between two checks whether the batches at work are done."""

PATIENCE_SHARE = 0.5
"""Part of RequestTimeout for which requests wait at most until the backends are switched: none is refused because of that."""


@dataclass(frozen=True, slots=True)
class ReloadReport:
    """What a reload has done. ``applied``: keys that have been applied; ``restart``: keys that differ and need a restart or an upgrade;
    ``problems``: why nothing was applied, one sentence each.
    """

    applied: tuple[str, ...] = ()
    restart: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.problems:
            return "configuration not reloaded, everything stays as it was: " + "; ".join(self.problems)
        restart = f"needs a restart or an upgrade: {', '.join(self.restart)}" if self.restart else ""
        if not self.applied:
            return "configuration reloaded: nothing has changed" + (f" that can be applied; {restart}" if restart else "")
        return f"configuration reloaded: {', '.join(self.applied)}" + (f"; {restart}" if restart else "")


class NewLog(Protocol):
    """Where the log goes from now on, opened already."""

    def use(self) -> None:
        """Write there from now on; may wait for the former target."""

    def discard(self) -> None:
        """Close it unused."""


class ConfigSource(Protocol):
    """Where the configuration comes from, and the log that it describes."""

    def load(self) -> Config:
        """Read the configuration again; raises ``ConfigError``."""

    def open_log(self, file: str) -> NewLog:
        """Open a log file (empty: stderr); raises ``ConfigError``."""

    def set_log_level(self, level: str) -> None:
        """Write records from this level on."""


class Workers(Protocol):
    """The pool of worker threads; see ``ThreadPool``."""

    @property
    def batches_at_work(self) -> int:
        """Batches that have been begun and are not done."""

    def stop_taking(self) -> None:
        """Begin no batch."""

    def start_taking(self) -> None:
        """Begin batches again."""

    def resize(self, thread_num: int) -> None:
        """Change the number of threads; raises ``RuntimeError``."""


class Background(Protocol):
    """Work with the backends that is no request's; see ``SyncCenter``."""

    def pause(self, timeout: float) -> bool:
        """Begin nothing, and wait for what is under way."""

    def resume(self) -> None:
        """Go on."""


class Reloadable(Protocol):
    """The running proxy."""

    @property
    def config(self) -> Config:
        """What it works with. Any thread."""

    @property
    def refusal(self) -> str:
        """Why its configuration cannot be changed any more, or not at this moment; empty: it can. Any thread."""

    @property
    def workers(self) -> Workers:
        """Its threads."""

    @property
    def background(self) -> Background:
        """Its background work."""

    def pool_moves(self) -> PoolMoves:
        """For its pools of connections."""

    def apply(self, config: Config, moves: PoolMoves) -> None:
        """Work with this configuration from now on. Reactor thread; does not fail."""

    def call_soon(self, action: Callable[[], None]) -> None:
        """Have the reactor thread call ``action``. Any thread."""


class Reloader:
    """Reloads one at a time, each in a thread named "reload". Any thread may ask for one."""

    def __init__(self, proxy: Reloadable, source: ConfigSource) -> None:
        self._proxy = proxy
        self._source = source
        self._lock = threading.Lock()
        self._asked: list[Callable[[ReloadReport], None]] = []
        self._at_work = False

    def request(self, done: Callable[[ReloadReport], None]) -> None:
        """Reload, after the one that is under way; those who ask during that get the report of the same one. ``done`` is called by the
        thread that reloads. Does not block.
        """
        with self._lock:
            self._asked.append(done)
            if self._at_work:
                return
            self._at_work = True
        try:
            threading.Thread(target=self._run, name="reload", daemon=True).start()
        except RuntimeError as error:  # the system has no more threads
            self._finish(ReloadReport(problems=(str(error),)), self._take_asked())

    def _take_asked(self) -> list[Callable[[ReloadReport], None]]:
        with self._lock:
            asked, self._asked = self._asked, []
            self._at_work = bool(asked)
            return asked

    def _run(self) -> None:
        while asked := self._take_asked():
            try:
                report = self._reload()
            except Exception as error:
                logger.exception("the reload failed")
                report = ReloadReport(problems=(f"unexpected error: {type(error).__name__}",))
            self._finish(report, asked)

    @staticmethod
    def _finish(report: ReloadReport, asked: list[Callable[[ReloadReport], None]]) -> None:
        # not as an argument: the lines of each text are limited for themselves
        logger.log(logging.ERROR if report.problems else logging.INFO, str(report))
        for done in asked:
            try:
                done(report)
            except Exception:
                logger.exception("who asked for a reload could not be told")

    def _reload(self) -> ReloadReport:
        if self._proxy.refusal:
            return ReloadReport(problems=(self._proxy.refusal,))
        running = self._proxy.config
        try:
            wanted = self._source.load()
        except ConfigError as error:
            return ReloadReport(problems=tuple(error.problems))
        for warning in key_warnings(wanted):
            logger.warning("%s", warning)
        return self._change(running, changes_between(running, wanted))

    def _change(self, running: Config, changes: ConfigChanges) -> ReloadReport:
        moves = self._proxy.pool_moves()
        new_log: NewLog | None = None
        config = changes.config
        try:
            problems = moves.prepare(running, config)
            if config.log_file != running.log_file:
                try:
                    new_log = self._source.open_log(config.log_file)
                except ConfigError as error:
                    problems += error.problems
            applied = (*changes.applied, *(name for name in moves.certificates if name not in changes.applied))
            if not problems and (applied or changes.restart):
                problems = self._switch(running, config, moves)
            if problems:
                return ReloadReport(problems=tuple(problems))
            if new_log is not None:
                new_log.use()
                new_log = None
            if config.log_level != running.log_level:
                self._source.set_log_level(config.log_level)
            return ReloadReport(applied, changes.restart)
        finally:
            moves.close()
            if new_log is not None:
                new_log.discard()

    def _switch(self, running: Config, config: Config, moves: PoolMoves) -> list[str]:
        """Apply everything but the log; returns why that was not possible."""
        workers = self._proxy.workers
        if config.thread_num > running.thread_num:
            try:
                workers.resize(config.thread_num)
            except RuntimeError as error:
                return [f"ThreadNum={config.thread_num}: {error}"]
        try:
            if moves:
                self._pause(running.request_timeout * PATIENCE_SHARE)
            refusal = self._apply(config, moves)
        finally:
            if moves:
                self._proxy.background.resume()
                workers.start_taking()
        wanted = running.thread_num if refusal else config.thread_num
        workers.resize(wanted)  # smaller or the same, which starts no thread
        return [refusal] if refusal else []

    def _pause(self, patience: float) -> None:
        """Wait until nobody uses a backend, or for ``patience`` seconds, or until the configuration cannot be changed any more."""
        workers = self._proxy.workers
        deadline = time.monotonic() + patience
        workers.stop_taking()
        synced = self._proxy.background.pause(patience)
        while workers.batches_at_work and time.monotonic() < deadline and not self._proxy.refusal:
            time.sleep(POLL)
        left = workers.batches_at_work
        if (left or not synced) and not self._proxy.refusal:
            what = f"{left} batches are" if left else "the group session sync is"
            logger.warning("%s still at work after %.1f s and will be done by the former and the new backends", what, patience)

    def _apply(self, config: Config, moves: PoolMoves) -> str:
        """Have the reactor apply ``config``; returns why it did not."""
        done = threading.Event()
        outcome: list[str] = []

        def apply() -> None:
            try:
                refusal = self._proxy.refusal
                if not refusal:
                    moves.switch()
                    self._proxy.apply(config, moves)
                outcome.append(refusal)
            finally:
                done.set()

        self._proxy.call_soon(apply)
        while not done.wait(0.1):
            if self._proxy.refusal:  # the reactor may have ended; if it has not, it will see the same
                done.wait(1.0)
                break
        if not outcome and not self._proxy.refusal:
            raise DbproxyError("the configuration could not be applied")
        return outcome[0] if outcome else self._proxy.refusal
