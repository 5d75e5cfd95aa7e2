"""Redis forgets its counters again and again under group traffic on two proxies: nobody is ever shown more unread than there can be."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from dbproxy.testing import Client, ProxyProcess, Stack, seed
from dbproxy.testing.requests import GROUP, message
from dbproxy.testing.waiting import eventually
from dbproxy.wire.pb import base_define_pb2

GROUP_ID = 9
SENDERS, READERS = (1, 2, 3, 4), (5, 6, 7)
MEMBERS = (*SENDERS, *READERS)

ROUNDS = 50
"""How often Redis forgets."""

HISTORY = 3000
"""Messages that everybody has read before it begins; whoever is shown these again stands out."""

ACK_TIMEOUT = 2.0
"""Seconds after which a read ack, which is never answered, must have been carried out."""

pytestmark = pytest.mark.watchdog(90)


@dataclass
class UnreadReply:
    """One answer to "what have I not read?": when it was asked and answered, and since when its asker must have read everything."""

    user_id: int
    read_at: float | None
    answered_at: float
    unread: int


@dataclass
class Observations:
    """When messages were sent and acknowledged, and what readers were told; all times from one monotonic clock."""

    begun: list[float] = field(default_factory=list)
    acknowledged: list[float] = field(default_factory=list)
    replies_seen: list[UnreadReply] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def too_much(self) -> list[str]:
        """Every answer that is above the bound, as a sentence.

        Messages that were acknowledged before the asker said "I have read everything" are read. All others that had been sent by the
        time of the answer may be unread. No other number is an upper bound: what is under way may be counted before or after the ack.
        """
        begun, acknowledged = sorted(self.begun), sorted(self.acknowledged)
        problems = []
        for reply in self.replies_seen:
            read = 0 if reply.read_at is None else bisect_left(acknowledged, reply.read_at)
            most = bisect_right(begun, reply.answered_at) - read
            if reply.unread > most:
                problems.append(f"user {reply.user_id} was told of {reply.unread} unread messages, at most {most} can be")
        return problems


def unread_of(client: Client, user_id: int) -> int:
    """The unread number of the group."""
    entries = client.unread(user_id).unreadinfo_list
    return sum(entry.unread_cnt for entry in entries if (entry.session_type, entry.session_id) == (GROUP, GROUP_ID))


def send_and_ask(client: Client, user_id: int, observed: Observations, stop: threading.Event) -> None:
    """Who writes has read everything that was acknowledged before."""
    number = 0
    while not stop.is_set():
        number += 1
        began = time.monotonic()
        with observed.lock:
            observed.begun.append(began)
        msg_id = client.send_group_message(user_id, GROUP_ID, f"{user_id}:{number}").msg_id
        done = time.monotonic()
        assert msg_id
        with observed.lock:
            observed.acknowledged.append(done)
        if number % 5 == 0:
            unread = unread_of(client, user_id)
            observed.replies_seen.append(UnreadReply(user_id, began, time.monotonic(), unread))


def read_and_ask(client: Client, user_id: int, observed: Observations, stop: threading.Event, *, ack_every: int) -> None:
    """Ask again and again; say "read" with every so many-th reply (0: never)."""
    acks: list[float] = []
    number = 0
    while not stop.is_set():
        number += 1
        if ack_every and number % ack_every == 0:
            acks.append(time.monotonic())
            client.read_ack(user_id, GROUP_ID, GROUP)
        asked = time.monotonic()
        unread = unread_of(client, user_id)
        effective = bisect_right(acks, asked - ACK_TIMEOUT)
        observed.replies_seen.append(UnreadReply(user_id, acks[effective - 1] if effective else None, time.monotonic(), unread))


@pytest.fixture(autouse=True)
def read_group(stack: Stack) -> None:
    """A group with a history that everybody has read."""
    seed.group(stack, GROUP_ID, MEMBERS)
    seed.group_messages(stack, 1, GROUP_ID, (f"old {number}" for number in range(HISTORY)))
    for user_id in MEMBERS:
        seed.redis_key(stack, f"{user_id}_{GROUP_ID}_im_user_group", {"count": HISTORY})


def forget_everything(stack: Stack) -> None:
    with stack.redis() as redis:
        redis.flushall()


def forget_the_group_counter(stack: Stack) -> None:
    with stack.redis() as redis:
        redis.delete(f"{GROUP_ID}_im_group_msg")


def forget_all_counters(stack: Stack) -> None:
    with stack.redis() as redis:
        redis.delete(f"{GROUP_ID}_im_group_msg", *(f"{user_id}_{GROUP_ID}_im_user_group" for user_id in MEMBERS))


@pytest.mark.parametrize("forget", [forget_everything, forget_the_group_counter, forget_all_counters])
def test_unread_numbers_are_never_above_what_was_sent(stack: Stack, forget: Callable[[Stack], None]) -> None:
    observed, stop, failures = Observations(), threading.Event(), []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - the test looks at them
            failures.append(error)
            stop.set()

    with ExitStack() as exits:
        proxies = [exits.enter_context(ProxyProcess(stack)) for _ in range(2)]
        clients = [exits.enter_context(proxies[number % 2].client(timeout=20)) for number in range(len(MEMBERS))]
        threads = [
            threading.Thread(target=run, args=(lambda client=client, user_id=user_id: send_and_ask(client, user_id, observed, stop),))
            for client, user_id in zip(clients, SENDERS, strict=False)
        ]
        threads += [
            threading.Thread(
                target=run,
                args=(lambda client=client, user_id=user_id, every=every: read_and_ask(client, user_id, observed, stop, ack_every=every),),
            )
            for client, user_id, every in zip(clients[len(SENDERS) :], READERS, (0, 1, 7), strict=True)
        ]
        for thread in threads:
            thread.start()
        for _ in range(ROUNDS):
            goal = len(observed.acknowledged) + 10
            eventually(lambda goal=goal: stop.is_set() or len(observed.acknowledged) >= goal, True, timeout=20)  # type: ignore[misc]
            forget(stack)
        stop.set()
        for thread in threads:
            thread.join(30)
        assert failures == []
        assert observed.too_much()[:5] == []
        assert any(reply.unread for reply in observed.replies_seen)


def test_counters_of_many_groups_come_back_together(stack: Stack) -> None:
    """One batch of messages to sixty groups restores sixty counters."""
    groups = range(100, 160)
    for group_id in groups:
        seed.group(stack, group_id, [1, 2])
        seed.group_messages(stack, 1, group_id, ["a", "b", "c"])
    to_all = [message(1, group_id, "d", msg_type=base_define_pb2.MSG_TYPE_GROUP_TEXT) for group_id in groups]
    with ProxyProcess(stack) as proxy, proxy.client() as client:
        forget_everything(stack)
        replies = client.requests(to_all)
        assert min(reply.msg_id for reply in replies) == 4  # type: ignore[attr-defined]
        assert sorted(entry.unread_cnt for entry in client.unread(2).unreadinfo_list) == [1] * 60
        assert client.unread(1).total_cnt == 0
    with stack.redis() as redis:
        assert {redis.hget(f"{group_id}_im_group_msg", "count") for group_id in groups} == {"4"}
