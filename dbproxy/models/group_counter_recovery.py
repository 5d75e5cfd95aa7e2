"""GroupCounterRecovery: restores the counter of a group that Redis has lost (restart without persistence, FLUSHALL, eviction). Any thread.

A user's unread number of a group is::

    count - max(copy, read_by_all)        nothing below 0

``count`` is the group's counter, raised by every message after its commit and before its reply. ``copy`` is what ``count`` was when the
user last wrote or read, 0 when there is none. ``read_by_all`` is a second field of the group's key that only a restored counter has.

**What is guaranteed.** The number is never larger than that of the messages that were acknowledged after the user last read (plus those
in progress at that moment, which the user may have read or not). Let ``t`` be the moment at which ``count`` was read for the user's last
copy. Since then

1. the key was neither lost nor restored: ``count`` has only been raised, once for each message, so the difference to the copy is the
   number of messages since ``t``;
2. the key was lost and not restored since: it began again at 0 after ``t``, so ``count`` alone is at most the number of messages
   since ``t``, whatever the copy is;
3. the key was restored: in one step (the last, if there were several) ``count`` became C and ``read_by_all`` C - own, where ``own`` is
   the number of messages that the restoring batch itself has stored. These had not been acknowledged then, so they came after ``t`` or
   were in progress. Whatever the copy is, the number is at most ``own`` plus what was counted after that step, which is after ``t`` too.

This does not depend on other keys: it does not matter which copies were lost with the counter, how often it happens, or when a copy of a
former counter is written. So nothing has to be done for each member, and Redis Cluster may store every key on another node: the one step
is a transaction on the group's own key. No lock is needed either: when two processes restore at the same time, the second one discards
what was counted since the first, which makes the number smaller.

**What is not.** A *copy* that is lost alone (evicted, while the group's counter is not) looks like that of a user who has never read: all
messages since the group was created, or since its counter was restored, are unread for that user. And messages that were unread before a
loss are not counted as unread any more.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

from dbproxy.models import names
from dbproxy.models.recoveries import Recoveries
from dbproxy.stores.mysql import DBPool
from dbproxy.stores.redis import LARGEST, CachePool, number

logger = logging.getLogger(__name__)

CHECKS, CHECK_PAUSE = 5, 0.02
"""How often, and at which interval in seconds, a counter that looks lost is checked for being only late: messages are counted after their
commit, so those of another proxy may be stored before ours and counted after them.
"""


def looks_lost(count: int, added: int, last_msg_id: int) -> bool:
    """Whether a group's counter, ``count`` after it was raised by ``added``, lacks most of the messages up to ``last_msg_id``."""
    return (count == added and last_msg_id > added) or 2 * count < last_msg_id


class GroupCounterRecovery:
    """Checks and restores the counters ``{group}_im_group_msg``."""

    def __init__(self, master: DBPool, unread: CachePool, recoveries: Recoveries | None = None) -> None:
        self._recoveries = recoveries or Recoveries()
        self._master = master
        self._unread = unread

    def late(self, last_msg_ids: Mapping[int, int]) -> set[int]:
        """Those of the groups (with the last msg_id of each) whose counters looked lost, but are only late, or were restored by another
        process. Takes up to 0.1 s for all of them together.

        Raises:
            StoreError: Redis failed.

        """
        lost = dict(last_msg_ids)
        for check in range(CHECKS):
            if check:
                time.sleep(CHECK_PAUSE)
            right = self._are_right(lost)
            lost = {group_id: last_msg_id for group_id, last_msg_id in lost.items() if group_id not in right}
            if not lost:
                break
        return last_msg_ids.keys() - lost.keys()

    def restore(self, group_id: int, last_msg_id: int, own: int) -> int | None:
        """Set the group's counter to the number of messages up to ``last_msg_id``, but not below that id, since some may have been deleted.
        Of them ``own`` count as unread for those who have no larger copy; a key with another content is replaced. Returns the counter,
        None when it is right by now.

        Raises:
            StoreError: a backend failed; the next message tries again.

        """
        rows = self._master.select(
            f"select count(*) from {names.group_message_table(group_id)} where groupId={group_id} and msgId<={last_msg_id}"
        )
        # Where rows have been deleted (archived) the last msg_id says more: a copy above the counter would hide messages that come later.
        count = max(int(rows[0][0]), last_msg_id)
        if self._are_right({group_id: count}):
            return None
        key, read = names.group_count_key(group_id), max(0, count - own)
        fields = (names.COUNT_FIELD, count, names.READ_BY_ALL_FIELD, read)
        self._unread.execute([("MULTI",), ("DEL", key), ("HMSET", key, *fields), ("EXEC",)])
        self._recoveries.add("counters")
        logger.warning("group %d: Redis had lost its counter, it continues at %d", group_id, count)
        return count

    def _are_right(self, last_msg_ids: Mapping[int, int]) -> set[int]:
        """Those of the groups whose counters include the messages up to these ids, or have been restored and do not look lost."""
        fields = (names.COUNT_FIELD, names.READ_BY_ALL_FIELD)
        replies = self._unread.read([("HMGET", names.group_count_key(group_id), *fields) for group_id in last_msg_ids])
        right = set()
        for (group_id, last_msg_id), reply in zip(last_msg_ids.items(), replies, strict=True):
            count, read = reply or (None, None)
            restored = read is not None and not looks_lost(number(count), 0, last_msg_id)
            if number(count) < LARGEST and (number(count) >= last_msg_id or restored):
                right.add(group_id)
        return right
