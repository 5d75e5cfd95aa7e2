"""Conversations: shows, searches and exports what people and groups have written, and hides messages. Any thread.

Nothing is read unless ``AdminReadMessages`` is on, and whatever is read leaves a line in the audit log: whose conversation, how many
messages; never what they say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TextIO

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.messages.conversation_finder import ConversationFinder
from dbproxy.admin.messages.message_export import FORMATS
from dbproxy.admin.messages.message_text import MessageTexts
from dbproxy.admin.messages.shown_messages import Conversation, ConversationRow, ShownMessage
from dbproxy.admin.page import LARGEST_PAGE, Page
from dbproxy.admin.people.named_users import LARGEST_ID
from dbproxy.models.history import MSG_TYPES, SOUNDS
from dbproxy.models.message_reader import END_OF_TIME, HIDDEN, KINDS, VISIBLE, MessageReader, MessageRow
from dbproxy.models.message_status import FoundMessage, MessageStatus

SEARCH_ROWS = 20_000
"""Messages that one call of ``search`` looks at, at most."""

STEP_ROWS = 500
"""Messages that are in memory at a time while a conversation is searched or exported."""

RECENT_ROWS = 5_000
"""Newest rows of each table in which ``recent`` looks for conversations."""

_KNOWN_TYPES = frozenset(MSG_TYPES.values())

NOTICE = (
    "clients keep what they have received: a message that somebody has is still shown there, and one that is shown again appears when "
    "they load the history; unread numbers stay as they are"
)


@dataclass(frozen=True, slots=True)
class StatusChange:
    """What became of a message that was to be hidden, or shown again."""

    conversation: Conversation
    msg_id: int
    hidden: bool
    """Whether it is hidden now, or would be (dry run)."""
    changed: bool
    """False: it was so already."""
    notice: str
    """What clients notice."""


class Conversations:
    """The messages of an installation, for a person who may read them. Times are unix seconds: ``since`` <= time < ``until``."""

    def __init__(self, administration: Administration) -> None:
        self._administration = administration
        installation = administration.installation
        self._reader = MessageReader(installation.slave)
        self._finder = ConversationFinder(installation.users, installation.user_lookup, self._reader)
        self._status = MessageStatus(installation.master)
        self._texts = MessageTexts(installation.config.aes_key)

    def between(self, user: int | str, peer: int | str) -> Conversation:
        """Return the conversation of two users; see ``ConversationFinder.between``."""
        return self._finder.between(user, peer)

    def of_group(self, group_id: int) -> Conversation:
        """Return the conversation of a group; see ``ConversationFinder.of_group``."""
        return self._finder.of_group(group_id)

    def by_id(self, kind: str, conversation_id: int) -> Conversation:
        """Return a conversation of a list; see ``ConversationFinder.by_id``."""
        return self._finder.by_id(kind, conversation_id)

    def recent(self, after: int | None = None, limit: int = 50) -> Page[ConversationRow]:
        """Return the conversations that were used last, the last first. They are looked for in the newest ``RECENT_ROWS`` rows of each
        table, so those that have been quiet for long are not listed.

        Raises:
            ForbiddenError: conversations may not be read.

        """
        self._administration.require_reading()
        limit = _checked(limit)
        with self._administration.recorded("messages.list", "recent conversations") as details:
            found = [
                # a number that orders conversations by time, and that each of them has alone
                ((active.last << 64) | (number << 63) | active.conversation_id, name, active)
                for number, (name, kind) in enumerate(KINDS.items())
                for active in self._reader.newest(kind, RECENT_ROWS)[0]
            ]
            listed = sorted((entry for entry in found if after is None or entry[0] < after), reverse=True)
            shown = listed[:limit]
            rows = self._finder.rows([(name, active) for _, name, active in shown])
            details["conversations"] = len(rows)
            return Page(rows, shown[-1][0] if len(listed) > limit else None)

    # reading

    def page(
        self,
        conversation: Conversation,
        after: int | None = None,
        limit: int = 50,
        *,
        since: int | None = None,
        until: int | None = None,
    ) -> Page[ShownMessage]:
        """Return messages, hidden ones too, newest first.

        Raises:
            ForbiddenError: conversations may not be read.

        """
        self._administration.require_reading()
        limit = _checked(limit)
        with self._recorded("messages.read", conversation, since, until) as details:
            rows = self._read(conversation, limit + 1, after, since, until)
            shown = self._shown(rows[:limit])
            details["messages"] = len(shown)
            return Page(shown, shown[-1].position if len(rows) > limit else None)

    def search(
        self,
        conversation: Conversation,
        text: str,
        *,
        since: int | None = None,
        until: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> Page[ShownMessage]:
        """Return messages that contain ``text``, whatever the letter case, newest first. Texts are decrypted before they are compared, so
        it is not the database that searches: one call looks at ``SEARCH_ROWS`` messages at most, and ``following`` is where the next one
        goes on. A page may be empty although more follow.

        Raises:
            ForbiddenError: conversations may not be read.
            RefusedError: the text is empty.

        """
        self._administration.require_reading()
        limit = _checked(limit)
        wanted = text.casefold()
        if not wanted.strip():
            raise RefusedError("the text to search for is empty")
        with self._recorded("messages.search", conversation, since, until) as details:
            found: list[tuple[MessageRow, str, bool]] = []
            scanned, position = 0, after
            more = True
            while more and scanned < SEARCH_ROWS and len(found) < limit:
                rows = self._read(conversation, STEP_ROWS, position, since, until)
                more = len(rows) == STEP_ROWS
                for row in rows:
                    scanned += 1
                    position = row.position
                    if row.msg_type in SOUNDS:
                        continue
                    content, encrypted = self._texts.read(row.content)
                    if wanted in content.casefold():
                        found.append((row, content, encrypted))
                        if len(found) == limit:
                            more = True
                            break
            details.update(searched=scanned, messages=len(found))
            shown = self._shown([row for row, _, _ in found])
            return Page(shown, position if more and scanned else None)

    def export(self, conversation: Conversation, output: str, stream: TextIO, *, since: int | None = None, until: int | None = None) -> int:
        """Write messages to ``stream``, the oldest first, as ``jsonl`` (an object a line) or ``html`` (one page without anything outside of
        it); return how many. A bounded number of them is in memory.

        Raises:
            ForbiddenError: conversations may not be read.
            RefusedError: there is no such format.
            OSError: it cannot be written.

        """
        self._administration.require_reading()
        if output not in FORMATS:
            raise RefusedError(f"{output!r} is no format: give one of {', '.join(FORMATS)}")
        with self._recorded("messages.export", conversation, since, until) as details:
            details.update(format=output, messages=0)
            writer = FORMATS[output](conversation, stream, _bounded(since), _bounded(until))
            count = 0
            for messages in self._all(conversation, since, until):
                for message in messages:
                    writer.write(message)
                count += len(messages)
                details["messages"] = count
            writer.end(count)
            return count

    def _all(self, conversation: Conversation, since: int | None, until: int | None) -> Iterator[list[ShownMessage]]:
        position = None
        while True:
            rows = self._read(conversation, STEP_ROWS, position, since, until, oldest_first=True)
            if rows:
                yield self._shown(rows)
                position = rows[-1].position
            if len(rows) < STEP_ROWS:
                return

    def _read(
        self,
        conversation: Conversation,
        limit: int,
        after: int | None,
        since: int | None,
        until: int | None,
        *,
        oldest_first: bool = False,
    ) -> list[MessageRow]:
        kind = KINDS[conversation.kind]
        begin, end = _bounded(since) or 0, _bounded(until)
        return self._reader.page(
            kind,
            conversation.conversation_id,
            limit,
            after=after,
            since=begin,
            until=END_OF_TIME if end is None else end,
            oldest_first=oldest_first,
        )

    def _shown(self, rows: Sequence[MessageRow]) -> list[ShownMessage]:
        people = self._finder.people(row.from_id for row in rows)
        audio_ids = {row.row_id: int(row.content) for row in rows if row.msg_type in SOUNDS and row.content.isdigit()}
        sounds = self._reader.sounds(audio_ids.values())
        shown = []
        for row in rows:
            is_sound = row.msg_type in SOUNDS
            sound = sounds.get(audio_ids.get(row.row_id, 0))
            content, encrypted = ("", False) if is_sound else self._texts.read(row.content)
            shown.append(
                ShownMessage(
                    row_id=row.row_id,
                    msg_id=row.msg_id,
                    from_id=row.from_id,
                    from_name=people[row.from_id].shown,
                    created=row.created,
                    kind="sound" if is_sound else "text" if row.msg_type in _KNOWN_TYPES else "other",
                    content=content,
                    encrypted=encrypted,
                    hidden=row.status != VISIBLE,
                    size=sound.size if sound else None,
                    seconds=sound.duration if sound else None,
                    path=sound.path.decode(errors="replace") if sound else "",
                    position=row.position,
                )
            )
        return shown

    # hiding

    def hide(self, conversation: Conversation, msg_id: int, *, dry_run: bool = False) -> StatusChange:
        """Let clients not get a message any more. It stays stored, and its id is not given again.

        Raises:
            NotFoundError: the conversation has no message with this id.
            RefusedError: several messages have it, or no message can have it.

        """
        return self._set(conversation, msg_id, HIDDEN, "messages.hide", dry_run=dry_run)

    def unhide(self, conversation: Conversation, msg_id: int, *, dry_run: bool = False) -> StatusChange:
        """Let clients get a hidden message again; errors as ``hide``."""
        return self._set(conversation, msg_id, VISIBLE, "messages.unhide", dry_run=dry_run)

    def _set(self, conversation: Conversation, msg_id: int, status: int, action: str, *, dry_run: bool) -> StatusChange:
        if not 0 < msg_id <= LARGEST_ID:
            raise RefusedError(f"{msg_id} is no msg_id: give a number from 1 to {LARGEST_ID}")
        kind, conversation_id = KINDS[conversation.kind], conversation.conversation_id
        first, second = conversation.first_user, conversation.second_user
        session = (first.user_id, second.user_id) if first and second else (0, conversation_id)
        with self._administration.recorded(action, conversation.target, dry_run=dry_run, msg_id=msg_id) as details:
            found = self._only(conversation, msg_id, self._status.find(kind, conversation_id, msg_id))
            if not dry_run:
                found = self._only(conversation, msg_id, self._status.set(kind, conversation_id, session, msg_id, status))
            # any status but 0 is hidden, and stays what it is
            changed = (found.status == VISIBLE) != (status == VISIBLE)
            details["changed"] = changed
            return StatusChange(conversation, msg_id, status != VISIBLE, changed, NOTICE)

    @staticmethod
    def _only(conversation: Conversation, msg_id: int, found: Sequence[FoundMessage]) -> FoundMessage:
        if not found:
            raise NotFoundError(f"the conversation of {conversation.target} has no message with the msg_id {msg_id}")
        if len(found) > 1:
            rows = ", ".join(str(row.row_id) for row in found)
            raise RefusedError(
                f"{len(found)} messages of {conversation.target} have the msg_id {msg_id} (rows {rows}): "
                "run dbproxy-audit --merge first, which gives all but the first of them new ids"
            )
        return found[0]

    def _recorded(
        self, action: str, conversation: Conversation, since: int | None, until: int | None
    ) -> AbstractContextManager[dict[str, object]]:
        details: dict[str, object] = {"conversation_id": conversation.conversation_id, "since": since, "until": until}
        given = {key: value for key, value in details.items() if value is not None}
        return self._administration.recorded(action, conversation.target, dry_run=False, **given)


def _checked(limit: int) -> int:
    if not 0 < limit <= LARGEST_PAGE:
        raise RefusedError(f"{limit} is no length of a page: give a number from 1 to {LARGEST_PAGE}")
    return limit


def _bounded(time: int | None) -> int | None:
    return None if time is None else max(0, min(time, END_OF_TIME))
