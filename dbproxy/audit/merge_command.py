"""``dbproxy-audit --merge`` and ``--restore``: what they print, and how they end."""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from dbproxy import __version__
from dbproxy.audit.auditor import open_stores
from dbproxy.audit.backup import Backup
from dbproxy.audit.finding import listed
from dbproxy.audit.merge import Merger, MergeResult
from dbproxy.audit.restore import Restored, restore
from dbproxy.config import Config
from dbproxy.errors import DbproxyError
from dbproxy.output import write_line

NOTICE = """\
What clients notice: a message that gets a new msg_id is a new message for a client that has kept the old one. It is shown twice there, once
from the local store and once from the server, until that conversation is deleted from the local store. No new msg_id ever stood for another
message. Moved messages, which nobody could read, appear in the history at their time. Unread numbers and the list of conversations stay.
No C++ db_proxy_server may be running: it takes no locks."""

PROGRESS_EVERY = 2.0
"""Seconds between two lines about one conversation."""


def default_backup() -> Path:
    """Return the directory of a backup that begins now."""
    return Path(time.strftime("audit-backup-%Y%m%dT%H%M%SZ", time.gmtime()))


class MergeCommand:
    """Merges, or says what would be merged. ``backup``: the directory, None for a dry run."""

    def __init__(self, config: Config, *, backup: Path | None, as_json: bool, examples: int) -> None:
        self._config = config
        self._directory = backup
        self._as_json = as_json
        self._examples = examples
        self._counts = dict.fromkeys(("found", "merged", "left", "moved", "renumbered"), 0)
        self._shown: list[MergeResult] = []
        self._told = time.monotonic()

    def run(self) -> tuple[bool, str]:
        """Return whether something is left, and why it is not complete (empty: it is)."""
        failure = ""
        backup = None if self._directory is None else Backup(self._directory)
        try:
            with ExitStack() as exits:
                backends = exits.enter_context(open_stores(self._config))
                if backup is not None:
                    exits.enter_context(backup)
                mode = "merging" if backup else "dry run of a merge, nothing is changed"
                self._say(f"dbproxy-audit {__version__}: {backends.master}, {mode}")
                for result in Merger(backends, backup, self._progress).run():
                    self._add(result)
        except DbproxyError as error:
            failure = f"the merge is not complete, and may be started again: {error}"
        written = backup is not None and backup.rows
        if self._as_json:
            write_line(sys.stdout, json.dumps(self._document(failure, backup), indent=2, ensure_ascii=False))
        elif not failure or self._counts["found"]:
            self._say(self._summary())
            if written and backup is not None:
                self._say(f"backup of {backup.rows} rows: {backup.path}")
        return self._counts["left"] > 0, failure

    def _add(self, result: MergeResult) -> None:
        counts = self._counts
        counts["found"] += 1
        counts["left" if result.error or self._directory is None else "merged"] += 1
        counts["moved"] += result.moved
        counts["renumbered"] += result.renumbered
        if counts["found"] <= self._examples:
            self._shown.append(result)
            self._say(f"  {result.where}: {describe(result)}")

    def _progress(self, where: str, done: int, of: int) -> None:
        if time.monotonic() - self._told > PROGRESS_EVERY:
            self._told = time.monotonic()
            if not self._as_json:
                write_line(sys.stderr, f"  {where}: {done} of {of} messages")

    def _summary(self) -> str:
        counts = self._counts
        if not counts["found"]:
            return "nothing to merge"
        hidden = counts["found"] - len(self._shown)
        more = f" ({hidden} are not shown: --examples 0 shows all)" if hidden else ""
        messages = f"{counts['renumbered']} messages get new msg_ids, {counts['moved']} of them come from other relations"
        if self._directory is None:
            return f"{counts['found']} conversations to merge: {messages}{more}\n{NOTICE}\n--merge --apply does it."
        return f"{counts['found']} conversations, {counts['merged']} merged, {counts['left']} left: {messages}{more}\n{NOTICE}"

    def _document(self, failure: str, backup: Backup | None) -> dict[str, Any]:
        return {
            "version": __version__,
            "apply": backup is not None,
            "complete": not failure,
            "error": failure or None,
            **self._counts,
            "backup": str(backup.path) if backup and backup.rows else None,
            "backup_rows": backup.rows if backup else 0,
            "conversations": [asdict(result) for result in self._shown],
            "notice": NOTICE.replace("\n", " "),
        }

    def _say(self, text: str) -> None:
        if not self._as_json:
            write_line(sys.stdout, text)


def describe(result: MergeResult) -> str:
    """Return what was done to a conversation, or would be, as a sentence."""
    if result.error:
        return f"left: {result.error}"
    if not result.renumbered:
        return "nothing to do any more"
    text = f"{result.renumbered} messages get the msg_ids {result.first_id} to {result.last_id}, {result.kept} keep theirs"
    if result.hidden:
        text = f"{result.moved} messages move to the first relation; {text}; hides {listed(result.hidden)}"
    return text


def run_restore(config: Config, directory: Path, *, apply: bool, as_json: bool) -> tuple[bool, str]:
    """Undo a merge with its backup; return whether messages were not found, and why it is not complete (empty: it is)."""
    restored, failure = Restored(), ""
    told = time.monotonic()
    try:
        with open_stores(config) as backends:
            for figures in restore(backends, directory, restored, apply=apply):
                if time.monotonic() - told > PROGRESS_EVERY and not as_json:
                    told = time.monotonic()
                    write_line(sys.stderr, f"  {figures.rows} rows")
    except DbproxyError as error:
        failure = f"the restoring is not complete, and may be started again: {error}"
    if as_json:
        document = {"version": __version__, "apply": apply, "complete": not failure, "error": failure or None, **asdict(restored)}
        write_line(sys.stdout, json.dumps(document, indent=2, ensure_ascii=False))
    else:
        verb = "restored" if apply else "would be restored (--apply does it)"
        more = f", {restored.missing} messages are not where the merge has put them" if restored.missing else ""
        write_line(sys.stdout, f"{restored.rows} rows {verb}, {restored.unchanged} need not be{more}")
    return restored.missing > 0, failure
