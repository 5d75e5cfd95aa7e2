"""Two operators of dbproxy-admin and two proxies on two nodes of a Galera cluster change the same groups at once."""

from __future__ import annotations

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest
from administering import administration_of

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.groups.groups import Groups
from dbproxy.testing import Client, GaleraStack, ProxyProcess, seed

pytestmark = pytest.mark.watchdog(300)

CHANGES = 20


def test_rows_and_hashes_agree_and_a_dismissed_group_has_no_members(dbproxy_galera: GaleraStack) -> None:
    stack = dbproxy_galera
    stack.reset()
    seed.users(stack, *(f"user{number}" for number in range(30)))
    for group_id in (8, 9):
        seed.group(stack, group_id, [1, 2, 3])
    with ExitStack() as exits:
        proxies = [exits.enter_context(ProxyProcess(stack, stack.on(node, {"DBTimeout": 6}))) for node in range(2)]
        clients = [exits.enter_context(proxy.client(timeout=60)) for proxy in proxies]
        operators = [Groups(exits.enter_context(administration_of(stack, stack.on(node, {"DBTimeout": 6})))) for node in range(2)]

        refused: list[str] = []

        def administer(groups: Groups, number: int) -> None:
            choose = random.Random(number)
            for step in range(CHANGES):
                users = choose.sample(range(4, 30), 3)
                choose.choice((groups.add_members, groups.remove_members))(8, users)
                groups.rename(8, f"name {number} {step}")
                try:
                    groups.add_members(9, users)
                    if step == CHANGES // 2:
                        groups.dismiss(9)
                except RefusedError as error:
                    refused.append(str(error))

        def use(client: Client, number: int) -> None:
            choose = random.Random(number)
            for _ in range(CHANGES):
                for group_id in (8, 9):
                    if client.group_info({group_id: 0}).group_info_list:
                        change: Callable[..., object] = choose.choice((client.add_members, client.remove_members))
                        change(1, 8, choose.sample(range(4, 30), 3))

        with ThreadPoolExecutor(4) as threads:
            tasks = [threads.submit(administer, groups, number) for number, groups in enumerate(operators)]
            tasks += [threads.submit(use, client, number + 2) for number, client in enumerate(clients)]
            for task in tasks:
                task.result(250)
        assert [text for text in refused if "dismissed" not in text] == []
        stack.wait_until_equal()
        assert stack.rows("select groupId,userId from IMGroupMember group by groupId,userId having count(*)>1") == []
        assert stack.rows("select userId from IMGroupMember where groupId=9 and status=0") == []
        assert stack.rows("select status,userCnt from IMGroup where id=9") == [{"status": 1, "userCnt": 0}]
        assert list(clients[1].group_info({9: 0}).group_info_list) == []
        clients[0].group_info({8: 0})
        members = stack.rows("select userId,updated from IMGroupMember where groupId=8 and status=0")
        assert stack.rows("select userCnt from IMGroup where id=8") == [{"userCnt": len(members)}]
        with stack.redis("group_member") as redis:
            assert redis.hgetall("group_member_8") == {str(member["userId"]): str(member["updated"]) for member in members}
            assert redis.exists("group_member_9") == 0
