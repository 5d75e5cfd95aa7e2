"""What a db_proxy_server does when its stores fail. They are killed, so most of these tests need private servers: with
``--dbproxy-mysql`` or ``--dbproxy-redis`` they are skipped.

pytest examples/test_faults.py --dbproxy-command /path/to/your/db_proxy_server
"""

import threading
import time

import pytest

from dbproxy.testing import ConnectionClosedError, ProxyProcess, seed


@pytest.fixture
def proxy(dbproxy_stack):
    """A proxy as a process of its own, with the stores of alice (1) and bob (2)."""
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    with ProxyProcess(dbproxy_stack) as running:
        yield running


def skip_unless_private(server):
    """A server that somebody else runs cannot be killed; a test that did not would pass without any fault."""
    if not server.is_private:
        pytest.skip("the server is not ours to kill: run this test without --dbproxy-mysql and --dbproxy-redis")


def send_until(proxy, stop, acknowledged):
    """Send numbered texts and collect those that were acknowledged with an id, over new connections when one is lost."""
    number = 0
    while not stop.is_set():
        try:
            with proxy.client(timeout=5) as client:
                while not stop.is_set():
                    number += 1
                    reply = client.send_message(1, 2, f"message {number}")
                    if reply.msg_id:
                        acknowledged.append((reply.msg_id, f"message {number}"))
        except (ConnectionClosedError, OSError):
            time.sleep(0.1)


def stored(stack):
    """(id, text) of every message, from all tables."""
    found = []
    for shard in range(8):
        rows = stack.rows(f"select msgId,content from IMMessage_{shard} order by id")
        found += [(row["msgId"], row["content"]) for row in rows]
    return found


def test_what_was_acknowledged_is_there_once_after_mysql_was_killed(dbproxy_stack, proxy):
    skip_unless_private(dbproxy_stack.mariadb)
    stop, acknowledged = threading.Event(), []
    sender = threading.Thread(target=send_until, args=(proxy, stop, acknowledged))
    sender.start()
    try:
        time.sleep(0.5)
        dbproxy_stack.mariadb.kill()
        dbproxy_stack.mariadb.start()
        time.sleep(2)
    finally:
        stop.set()
        sender.join()
    found = stored(dbproxy_stack)
    assert acknowledged, "nothing was acknowledged at all"
    assert [message for message in acknowledged if found.count(message) != 1] == []


def test_no_id_is_given_twice_after_redis_has_lost_its_data(dbproxy_stack, proxy):
    skip_unless_private(dbproxy_stack.redis_server)
    with proxy.client() as client:
        before = [client.send_message(1, 2, f"before {number}").msg_id for number in range(5)]
    dbproxy_stack.redis_server.kill()
    dbproxy_stack.redis_server.start()  # it keeps nothing
    with proxy.client() as client:
        after = [client.send_message(1, 2, f"after {number}").msg_id for number in range(5)]
    given = [msg_id for msg_id in before + after if msg_id]
    assert len(set(given)) == len(given)


def test_a_proxy_answers_again_after_it_was_restarted(proxy):
    with proxy.client() as client:
        first = client.send_message(1, 2, "before").msg_id
    proxy.restart()
    with proxy.client() as client:
        assert client.send_message(1, 2, "after").msg_id == first + 1
