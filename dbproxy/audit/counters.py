"""Unread counters: the hashes ``unread_{user}``, and the counters of every group and of its members."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dbproxy.audit.finding import Finding, Severity, listed
from dbproxy.audit.walk import AuditBackends, batches, scan, split_by_type
from dbproxy.models import names
from dbproxy.models.group_counter_recovery import GroupCounterRecovery, looks_lost
from dbproxy.stores.redis import number, pairs

HASHES_AT_ONCE = 100

_UNREAD = re.compile(rb"unread_\d{1,10}")
_GROUP_COUNT = re.compile(rb"(\d{1,10})_im_group_msg")
_COPY = re.compile(rb"(\d{1,10})_(\d{1,10})_im_user_group")


class Unread:
    """``unread_{user}``: fields that are no user ids, values that are no numbers or below 0; the next message would not be counted."""

    title = "unread counters"

    def __init__(self, backends: AuditBackends) -> None:
        self._unread = backends.caches.unread

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        for keys in scan(self._unread, "unread_*"):
            right, wrong = split_by_type(self._unread, [key for key in keys if _UNREAD.fullmatch(key)], b"hash")
            for key in wrong:
                yield Finding(
                    "wrong-type",
                    Severity.SEVERE,
                    _text(key),
                    "it is no hash; unread messages of this user cannot be counted or listed",
                    "nothing: a proxy does not create such a key, so it is not known what it is for",
                )
            for batch in batches(right, HASHES_AT_ONCE):
                for key, bad in self._bad(batch).items():
                    yield self._finding(key, bad)

    def _bad(self, keys: Sequence[bytes]) -> dict[bytes, dict[bytes, bytes]]:
        """Return key → its invalid fields, for the keys that have some."""
        found: dict[bytes, dict[bytes, bytes]] = {}
        for key, reply in zip(keys, self._unread.execute([("HGETALL", key) for key in keys]), strict=True):
            bad = {field: value for field, value in pairs(reply).items() if not field.isdigit() or not value.isdigit()}
            if bad:
                found[key] = bad
        return found

    def _finding(self, key: bytes, bad: dict[bytes, bytes]) -> Finding:
        def drop() -> str | None:
            still = self._bad([key]).get(key)
            if still is None:
                return None
            self._unread.execute([("HDEL", key, *still)])
            return f"deleted the fields {listed(map(_text, still))}"

        return Finding(
            "unread-counter",
            Severity.WRONG,
            _text(key),
            "no numbers: " + listed(f"{_text(field)}={_text(value)}" for field, value in bad.items()),
            "deletes these fields: a counter that cannot be restored should rather be too low",
            drop,
        )


class GroupCounters:
    """``{group}_im_group_msg`` and the members' copies of it. A copy above the group's hides messages until the group's has caught up."""

    title = "group counters"

    def __init__(self, backends: AuditBackends) -> None:
        self._backends = backends
        self._unread = backends.caches.unread
        self._lost = GroupCounterRecovery(backends.master, backends.caches.unread)

    def run(self) -> Iterator[Finding]:
        """Check everything and yield the findings one by one. Raises StoreError when a backend fails."""
        for pattern, name in (("*_im_group_msg", _GROUP_COUNT), ("*_im_user_group", _COPY)):
            for keys in scan(self._unread, pattern):
                right, wrong = split_by_type(self._unread, [key for key in keys if name.fullmatch(key)], b"hash")
                for key in wrong:
                    yield self._not_a_number(key, "it is no hash")
                counts = self._unread.execute([("HGET", key, names.COUNT_FIELD) for key in right])
                for key, count in zip(right, counts, strict=True):
                    if count is not None and not count.isdigit():
                        yield self._not_a_number(key, f"its count is {_text(count)[:60]}")
        suspects: dict[int, dict[int, None]] = {}
        for keys in scan(self._unread, "*_im_user_group"):
            for user_id, group_id in self._above(self._memberships(keys)):
                suspects.setdefault(group_id, {})[user_id] = None
        self._backends.wait_before_recheck(suspects)
        for group_id, users in suspects.items():
            above = [user_id for user_id, _ in self._above([(user_id, group_id) for user_id in users])]
            if above:
                yield self._describe(group_id, above)

    def _memberships(self, keys: Sequence[bytes]) -> list[tuple[int, int]]:
        right, _ = split_by_type(self._unread, [key for key in keys if _COPY.fullmatch(key)], b"hash")
        return [(int(match[1]), int(match[2])) for key in right if (match := _COPY.fullmatch(key))]

    def _above(self, memberships: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
        """Return the memberships whose copy is above the group's counter. Copies are read first: the counter only rises."""
        copies = self._unread.execute([("HGET", names.user_group_count_key(*membership), names.COUNT_FIELD) for membership in memberships])
        counts = self._counts([group_id for _, group_id in memberships])
        return [membership for membership, copy, count in zip(memberships, copies, counts, strict=True) if number(copy) > number(count)]

    def _counts(self, group_ids: Sequence[int]) -> list[bytes | None]:
        keys = [names.group_count_key(group_id).encode() for group_id in group_ids]
        right = split_by_type(self._unread, list(dict.fromkeys(keys)), b"hash")[0]
        found = dict(zip(right, self._unread.execute([("HGET", key, names.COUNT_FIELD) for key in right]), strict=True))
        return [found.get(key) for key in keys]

    def _last_id(self, group_id: int) -> int:
        rows = self._backends.master.select(f"select max(msgId) from {names.group_message_table(group_id)} where groupId={group_id}")
        return int(rows[0][0] or 0)

    def _describe(self, group_id: int, users: Sequence[int]) -> Finding:
        count = number(self._counts([group_id])[0])
        last_id = self._last_id(group_id)
        lost = looks_lost(count, 0, last_id)
        what = f"it is {count}, the copies of the members {listed(users)} are above it"
        return Finding(
            "group-counter-lost" if lost else "group-copy",
            Severity.MINOR if lost else Severity.WRONG,
            names.group_count_key(group_id),
            f"{what}; Redis has lost it, and it comes back with the group's next message"
            if lost
            else f"{what}: messages of the group are not shown to them as unread",
            f"raises it to {last_id}; what was unread before is no longer shown as unread" if lost else f"sets these copies to {count}",
            lambda: self._repair(group_id, users),
        )

    def _repair(self, group_id: int, users: Sequence[int]) -> str | None:
        done = []
        count = number(self._counts([group_id])[0])
        last_id = self._last_id(group_id)
        if looks_lost(count, 0, last_id):
            restored = self._lost.restore(group_id, last_id, 0)
            if restored is not None:
                done.append(f"raised it to {restored}")
        lowered = []
        for user_id in users:
            if self._above([(user_id, group_id)]):
                # A message that is stored in between is counted as unread for this user, at worst a moment late.
                count = number(self._counts([group_id])[0])
                self._unread.execute([("HSET", names.user_group_count_key(user_id, group_id), names.COUNT_FIELD, count)])
                lowered.append(user_id)
        if lowered:
            done.append(f"set the copies of {listed(lowered)} to it")
        return "; ".join(done) or None

    def _not_a_number(self, key: bytes, what: str) -> Finding:
        def drop() -> str | None:
            if not split_by_type(self._unread, [key], b"hash")[1]:
                count = self._unread.execute([("HGET", key, names.COUNT_FIELD)])[0]
                if count is None or count.isdigit():
                    return None
            group = _COPY.fullmatch(key)
            if group is None:
                self._unread.execute([("DEL", key)])
                return "deleted it"
            count = number(self._counts([int(group[2])])[0])
            self._unread.execute([("DEL", key), ("HSET", key, names.COUNT_FIELD, count)])
            return f"set it to {count}"

        return Finding(
            "group-counter",
            Severity.SEVERE,
            _text(key),
            f"{what}: messages of the group cannot be counted",
            "sets a copy to the group's counter; deletes a group's counter, which comes back with the next message",
            drop,
        )


def _text(data: bytes) -> str:
    return ascii(data.decode(errors="backslashreplace"))[1:-1]
