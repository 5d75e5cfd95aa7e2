"""The ledger: what was sent, what was acknowledged, and whether the tables agree."""

from __future__ import annotations

import contextlib
import random
import re
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import pymysql

from dbproxy.testing.seed import SHARDS
from dbproxy.testing.stack import Stack

_TOKEN = re.compile(r"(\d{1,9}\.\d{1,9}):")
_FILLERS = ("hello ", "你好 ", "😀", 'it\'s "quoted" ', "100% \\n %s ", "a|b|c\t", "-- ; drop table ")

SHOWN = 10
"""Problems of one kind that are told one by one."""


def text_of(token: str) -> str:
    """Return the text that a token stands for: mostly short, sometimes long, full of what has to be escaped."""
    chance = random.Random(token)
    length = chance.choice((0, 1, 2, 5, 10, 20, 200))
    return f"{token}:" + "".join(chance.choice(_FILLERS) for _ in range(length))


def token_of(text: str) -> str | None:
    """Return the token of a text that one of our writers may have written."""
    match = _TOKEN.match(text)
    return match[1] if match else None


class Conversation(NamedTuple):
    """Two people (the smaller id first), or a group (its id, 0)."""

    to_group: bool
    one: int
    other: int


class Acknowledged(NamedTuple):
    """A message with the id that its writer was told."""

    connection: int
    conversation: Conversation
    sender: int
    token: str
    msg_id: int


class Sound(NamedTuple):
    """A sound message with the id that its writer was told, and its size in bytes."""

    conversation: Conversation
    sender: int
    msg_id: int
    size: int


@dataclass(slots=True)
class Ledger:
    """What one writer has sent and was told; written by one thread."""

    number: int
    acknowledged: list[Acknowledged] = field(default_factory=list)
    """In the order of sending."""
    sounds: list[Sound] = field(default_factory=list)
    refused: int = 0
    unanswered: int = 0
    _sent: int = 0

    def next_token(self) -> str:
        """A token that nobody has used."""
        self._sent += 1
        return f"{self.number}.{self._sent}"

    @property
    def sent(self) -> int:
        """Texts sent."""
        return self._sent

    def knows(self, token: str) -> bool:
        """Whether this writer has sent it."""
        number, _, count = token.partition(".")
        return int(number) == self.number and 1 <= int(count) <= self._sent


class Stored(NamedTuple):
    """A row of a message table."""

    conversation: Conversation
    msg_id: int
    sender: int
    kind: int
    text: str


def stored_messages(stack: Stack) -> Iterator[Stored]:
    """Read all messages without holding them all at once."""
    queries = [
        f"select 0,smallId,bigId,msgId,fromId,type,content from IMMessage_{shard} m join IMRelationShip r on r.id=m.relateId"
        for shard in range(SHARDS)
    ]
    queries += [f"select 1,groupId,0,msgId,userId,type,content from IMGroupMessage_{shard}" for shard in range(SHARDS)]
    with contextlib.closing(stack.mysql()) as connection, connection.cursor(pymysql.cursors.SSCursor) as cursor:
        for query in queries:
            cursor.execute(query)
            for to_group, one, other, msg_id, sender, kind, text in cursor.fetchall_unbuffered():
                yield Stored(Conversation(bool(to_group), one, other), msg_id, sender, kind, text)


def check(stack: Stack, ledgers: list[Ledger]) -> list[str]:
    """Compare the ledgers with the tables; every difference as a sentence."""
    problems: list[str] = []
    by_number = {ledger.number: ledger for ledger in ledgers}
    places: dict[str, tuple[Conversation, int, int]] = {}
    times: Counter[str] = Counter()
    sounds: dict[tuple[Conversation, int, int], str] = {}
    for row in stored_messages(stack):
        if row.kind in (2, 18):
            sounds[row.conversation, row.sender, row.msg_id] = row.text
            continue
        token = token_of(row.text)
        ledger = by_number.get(int(token.partition(".")[0])) if token else None
        if token is None or ledger is None or not ledger.knows(token):
            continue  # of a peer that misbehaves
        if row.text != text_of(token):
            problems.append(f"message {token} is stored with another text: {row.text[:60]!r}")
        times[token] += 1
        places[token] = (row.conversation, row.msg_id, row.sender)
    problems += [f"message {token} is stored {count} times" for token, count in times.items() if count > 1]
    for ledger in ledgers:
        problems += _check_ledger(ledger, places)
    sizes = {str(row["id"]): row["size"] for row in stack.rows("select id,size from IMAudio")}
    for sound in (sound for ledger in ledgers for sound in ledger.sounds):
        stored = sounds.get((sound.conversation, sound.sender, sound.msg_id))
        if stored is None or sizes.get(stored) != sound.size:
            problems.append(f"{sound} is not stored as it was acknowledged: {stored}, {sizes.get(stored or '')} bytes")
    return shortened(problems)


def _check_ledger(ledger: Ledger, places: dict[str, tuple[Conversation, int, int]]) -> list[str]:
    problems = []
    last: dict[tuple[int, Conversation], int] = defaultdict(int)
    for message in ledger.acknowledged:
        found = places.get(message.token)
        if found != (message.conversation, message.msg_id, message.sender):
            problems.append(f"message {message.token} was acknowledged as {message[1:]} and is stored as {found}")
        key = (message.connection, message.conversation)
        if message.msg_id <= last[key]:
            problems.append(f"message {message.token} of connection {key[0]} got msg_id {message.msg_id} after {last[key]}")
        last[key] = message.msg_id
    return problems


def shortened(problems: list[str]) -> list[str]:
    """The first problems, and how many more there are."""
    return problems if len(problems) <= SHOWN else [*problems[:SHOWN], f"... and {len(problems) - SHOWN} more like these"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """A request that was refused or not answered: when it was sent and when that was clear (seconds of the monotonic clock)."""

    what: str
    sent: float
    noticed: float = field(default_factory=time.monotonic)
