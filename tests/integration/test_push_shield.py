"""At night an iOS user who wants it is left in peace: with real stores, and an hour that the test gives."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import pytest

from dbproxy.backends import Backends
from dbproxy.config import load_config
from dbproxy.models.device import ANDROID, IOS, DeviceModel
from dbproxy.models.unread import UnreadModel
from dbproxy.models.user import UserModel
from dbproxy.testing import InProcessProxy, Stack, seed

NIGHT = [22, 23, 0, 1, 2, 3, 4, 5, 6, 7]
DAY = list(range(8, 22))


class NothingUnread:
    """Stands in for the counters: what is unread is not what is tested here."""

    def totals(self, user_ids: Iterable[int]) -> dict[int, int]:
        return dict.fromkeys(user_ids, 0)


@pytest.fixture
def tokens_at(stack: Stack) -> Iterator[Callable[[int], list[int]]]:
    """Who of the users 1 to 5 can be pushed to at an hour."""
    with Backends(load_config(stack.write_config())) as backends:
        hour = 0
        users = UserModel(backends.master, backends.slave, backends.caches.unread)
        unread: UnreadModel = NothingUnread()  # type: ignore[assignment]
        devices = DeviceModel(backends.caches.token, users, unread, local_hour=lambda: hour)

        def tokens(at: int) -> list[int]:
            nonlocal hour
            hour = at
            return list(devices.tokens([1, 2, 3, 4, 5]))

        for user_id, client_type, shield in ((1, IOS, 1), (2, IOS, 0), (3, ANDROID, 1), (4, ANDROID, 0)):
            seed.user(stack, user_id, f"user{user_id}", push_shield_status=shield)
            devices.register(user_id, b"token", client_type)
        devices.register(5, b"token", IOS)  # a phone of somebody who is no user (any more)
        yield tokens


def test_shielded_ios_users_are_left_out_from_22_to_7_and_nobody_else(tokens_at: Callable[[int], list[int]]) -> None:
    assert [hour for hour in range(24) if tokens_at(hour) == [2, 3, 4, 5]] == sorted(NIGHT)
    assert [hour for hour in range(24) if tokens_at(hour) == [1, 2, 3, 4, 5]] == DAY


def test_a_shield_is_set_asked_for_and_taken_away(dbproxy_proxy: InProcessProxy, dbproxy_stack: Stack) -> None:
    seed.users(dbproxy_stack, "alice")
    with dbproxy_proxy.client() as client:
        for status in (1, 0):
            reply = client.set_push_shield(1, status)
            assert (reply.result_code, reply.HasField("shield_status"), reply.shield_status) == (0, True, status)
            query = client.push_shield(1)
            assert (query.result_code, query.HasField("shield_status"), query.shield_status) == (0, True, status)
