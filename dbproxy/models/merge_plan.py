"""MergePlan: which messages of a conversation keep their msg_ids, and which get new ones, so that order of ids and order of time agree.

Clients read a history from its end: they ask for the messages up to a msg_id, newest first, and go on with the smallest id of the answer
less 1 (0x0309). What the proxy lists is sorted by time. So every message is reached exactly once only if ids rise with time. Of messages
that come from another relation, or whose id is given twice, the right place is between others whose ids leave no room. Therefore

- the oldest messages keep their ids, up to the first one whose id does not rise, or to the first one of another relation;
- all messages behind get new ids, above every id that was ever stored in one of the relations or counted in Redis. So no id ever stands
  for two messages, also in a client that has kept the old ones. The newest message gets the largest of them;
- the newest messages keep their ids too if those rise, and the ids below them, above all others, are free for the messages in between.
  It is so when a merge goes on that was interrupted: it begins with the newest messages, and all that was sent meanwhile is above.

Messages of one second are listed in the order of their rows. Where that disagrees with ids that otherwise rise, which happens when several
threads store at once, the messages of that second are inserted again, with the ids that they have.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from dbproxy.models.message_rows import BEFORE_ALL, NEVER, ListedMessage, MessageRows, Place
from dbproxy.stores.mysql import DBConn, ReadablePool
from dbproxy.stores.redis import LARGEST


@dataclass(frozen=True, slots=True)
class KeptIds:
    """What keeps its ids in the target of a merge."""

    up_to: Place
    """The messages up to this place keep their ids."""
    up_to_id: int
    """The largest msg_id of those, 0 if there are none."""
    seconds: Sequence[int]
    """Of these the ones of these seconds (unix seconds) are to be inserted again in the order of their ids."""
    since: int
    """So may the messages from this second on; NEVER: none."""
    since_id: int
    """The smallest msg_id of those."""


@dataclass(frozen=True, slots=True)
class NewIds:
    """New ids for the messages between those that keep theirs."""

    until: int
    """They are older than this (unix seconds)."""
    count: int
    """How many messages get new ids."""
    largest_before: int
    """The largest msg_id of all messages older than ``until``, and so of all that get new ids."""
    end: int
    """The new ids are the ``count`` ones below this."""
    kept: int
    """How many messages keep their ids; without locks only nearly."""

    @property
    def first(self) -> int:
        """The smallest new id."""
        return self.end - self.count

    @property
    def fit(self) -> bool:
        """Whether the protocol can say them."""
        return self.end - 1 <= LARGEST


def kept_ids(database: ReadablePool | DBConn, target: MessageRows, sources: Sequence[MessageRows]) -> KeptIds:
    """Find what keeps its ids in ``target`` when all messages of ``sources`` are moved there. Reads the index of the conversation twice at
    most, without locks: what is sent meanwhile is the newest.
    """
    oldest = min((time for source in sources if (time := source.oldest(database)) is not None), default=NEVER)
    newest = max((time for source in sources if (time := source.newest(database)) is not None), default=-1)
    up_to, up_to_id, seconds = _rising(target.walk(database, until=oldest + 1))  # in one second those of the target come first
    since, since_id = _with_room_below(target.walk(database, after=up_to, backwards=True), max(newest, up_to[0]))
    return KeptIds(up_to, up_to_id, seconds, since, since_id)


def _rising(messages: Iterator[ListedMessage]) -> tuple[Place, int, Sequence[int]]:
    """Return the last place up to which ids rise, the largest of them, and the seconds in which they do so in another order."""
    up_to, largest, seconds = BEFORE_ALL, 0, array("q")
    for second, group in groupby(messages, lambda message: message.created):
        listed = list(group)
        ids = [message.msg_id for message in listed]
        if min(ids) > largest and len(set(ids)) == len(ids):
            if ids != sorted(ids):
                seconds.append(second)
            up_to, largest = listed[-1][:2], max(ids)
            continue
        for message in listed:  # the first ones of this second may keep theirs
            if message.msg_id <= largest:
                break
            up_to, largest = message[:2], message.msg_id
        break
    return up_to, largest, seconds


def _with_room_below(newest_first: Iterator[ListedMessage], last: int) -> tuple[int, int]:
    """Of the seconds after ``last`` from which on ids rise, return the one below which most ids are free, and its smallest id; NEVER and
    0 if there is none.
    """
    found, most = (NEVER, 0), 1
    since, since_id = NEVER, LARGEST + 1
    for second, group in groupby(newest_first, lambda message: message.created):
        ids = [message.msg_id for message in group][::-1]
        if since != NEVER and since_id - max(ids) > most:
            found, most = (since, since_id), since_id - max(ids)
        if second <= last or any(first >= following for first, following in pairwise([*ids, since_id])):
            return found
        since, since_id = second, ids[0]
    return (since, since_id) if since != NEVER and since_id > most else found


def new_ids(database: ReadablePool | DBConn, target: MessageRows, sources: Sequence[MessageRows], kept: KeptIds, counter: int) -> NewIds:
    """Return the new ids of the messages that keep none, given the counter of the target in Redis. Who is to use them holds the locks of
    all these conversations.
    """
    moved = sum(source.count(database) for source in sources)
    total = moved + target.count(database)
    largest_moved = max((source.largest_id(database) for source in sources), default=0)
    if kept.since != NEVER:
        count = moved + target.count(database, after=kept.up_to, until=kept.since)
        largest = max(largest_moved, target.largest_id(database, until=kept.since))
        if kept.since_id - count > largest:
            return NewIds(kept.since, count, largest, kept.since_id, max(0, total - count))
    count = moved + target.count(database, after=kept.up_to)
    largest = max(largest_moved, target.largest_id(database))
    return NewIds(NEVER, count, largest, above(largest, counter) + count + 1, max(0, total - count))


def above(largest: int, counter: int) -> int:
    """Return the id behind which new ones are free. A counter that the protocol cannot say says nothing; proxies ignore it, too."""
    return max(largest, counter if counter < LARGEST else 0)
