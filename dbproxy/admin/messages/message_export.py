"""The formats in which conversations are exported: message by message, so that the length of a conversation does not matter. One thread."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timezone
from html import escape
from pathlib import Path
from typing import Protocol, TextIO

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.messages.shown_messages import Conversation, ShownMessage

_STYLE = """
body { font: 1rem/1.45 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; color: #1c1c1c; background: #fff; }
h1 { font-size: 1.4rem; } p.about { color: #555; }
article { border-top: 1px solid #ddd; padding: .5rem 0; }
article header { color: #555; font-size: .85rem; } article b { color: #1c1c1c; }
article p { margin: .2rem 0 0; white-space: pre-wrap; overflow-wrap: anywhere; unicode-bidi: isolate; }
article.hidden { background: #f5f0e6; }
em { color: #555; }
@media (prefers-color-scheme: dark) {
body, article b { color: #e8e8e8; background: #1c1c1c; } article { border-color: #444; }
article.hidden, article.hidden b { background: #3a3426; }
article header, p.about, em { color: #aaa; } }
"""

_CONTROL_PICTURES = {code: 0x2400 + code for code in range(0x20) if code not in (0x09, 0x0A)} | {0x7F: 0x2421}
_CONTROL_PICTURES |= dict.fromkeys((*range(0x80, 0xA0), 0xFFFE, 0xFFFF), 0xFFFD)
"""What HTML does not allow: control characters become the pictures of them."""


class ExportFormat(Protocol):
    """Writes the messages of one conversation, the oldest first."""

    def write(self, message: ShownMessage) -> None:
        """Write the next message. Raises OSError."""

    def end(self, count: int) -> None:
        """Write what comes after the last of ``count`` messages. Raises OSError."""


class JsonLines:
    """An object a line: the fields of ``ShownMessage`` and ``time`` (UTC, ISO 8601), without ``position``."""

    def __init__(self, conversation: Conversation, stream: TextIO, since: int | None, until: int | None) -> None:
        self._stream = stream

    def write(self, message: ShownMessage) -> None:
        """See ExportFormat."""
        fields = {
            "msg_id": message.msg_id,
            "time": _utc(message.created),
            "created": message.created,
            "from_id": message.from_id,
            "from_name": message.from_name,
            "kind": message.kind,
            "content": message.content,
            "encrypted": message.encrypted,
            "hidden": message.hidden,
            "row_id": message.row_id,
        }
        if message.kind == "sound":
            fields |= {"size": message.size, "seconds": message.seconds, "path": message.path}
        # what ends a line elsewhere (U+2028) is escaped, so that a line is a line for every reader
        text = json.dumps(fields, ensure_ascii=False).replace("\x85", "\\u0085").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
        self._stream.write(text + "\n")

    def end(self, count: int) -> None:
        """See ExportFormat."""


class HtmlPage:
    """One page that needs nothing else: no scripts, no pictures, no links; and may load nothing."""

    def __init__(self, conversation: Conversation, stream: TextIO, since: int | None, until: int | None) -> None:
        self._stream = stream
        title = _html(conversation.title)
        span = [f"from {_utc(since)}"] if since is not None else []
        span += [f"before {_utc(until)}"] if until is not None else []
        stream.write(
            '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1 dir="auto">{title}</h1>\n'
            f'<p class="about">Conversation of {conversation.target}{", " if span else ""}{" and ".join(span)}. Times are UTC.</p>\n'
        )

    def write(self, message: ShownMessage) -> None:
        """See ExportFormat."""
        hidden = " · hidden" if message.hidden else ""
        if message.kind == "sound":
            known = message.size is not None
            body = f"<em>[sound, {message.seconds} s, {message.size} bytes]</em>" if known else "<em>[sound, not found]</em>"
        else:
            body = _html(message.content)
        self._stream.write(
            f"<article{' class=hidden' if hidden else ''}><header><b><bdi>{_html(message.from_name)}</bdi></b> "
            f'<time datetime="{_utc(message.created)}">{_utc(message.created)}</time> #{message.msg_id}{hidden}</header>'
            f'<p dir="auto">{body}</p></article>\n'
        )

    def end(self, count: int) -> None:
        """See ExportFormat."""
        self._stream.write(f'<p class="about">{count} message{"" if count == 1 else "s"}.</p>\n</body>\n</html>\n')


FORMATS: Mapping[str, Callable[[Conversation, TextIO, int | None, int | None], ExportFormat]] = {"jsonl": JsonLines, "html": HtmlPage}
"""Name of a format → what writes it."""


@contextmanager
def new_file(path: Path) -> Iterator[TextIO]:
    """Write a file that only its owner may read: it has its name once it is complete and synced, and what had the name before is replaced.
    If the block fails, nothing is left.

    Raises:
        RefusedError: it cannot be written.

    """
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise RefusedError(f"{path} cannot be written: {error.strerror}") from None
    written = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="\n") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        written.replace(path)
    except OSError as error:
        written.unlink(missing_ok=True)
        raise RefusedError(f"{path} cannot be written: {error.strerror}") from None
    except BaseException:
        written.unlink(missing_ok=True)
        raise


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _html(text: str) -> str:
    return escape(text.translate(_CONTROL_PICTURES))
