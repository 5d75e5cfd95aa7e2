"""What is large within one installation: groups of 20,000, users with thousands of sessions, long histories, the audit, the caches.

The data is added to a population, with ids of its own above all others, and kept with it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from google.protobuf.message import Message

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.bench import dataset
from dbproxy.bench.generator import Job, quantile
from dbproxy.bench.load import measure
from dbproxy.bench.report import grid
from dbproxy.bench.requests import REQUESTS, Subject, frame
from dbproxy.bench.site import PROXY, Site
from dbproxy.bench.usage import memory_bytes
from dbproxy.models import names
from dbproxy.models.group_members import GroupMembers
from dbproxy.stores.mysql import DBConn
from dbproxy.sync_center import SyncCenter
from dbproxy.testing import Client
from dbproxy.testing.seed import T0
from devtools.scale.installations import MEGABYTE, Installation
from devtools.scale.population import Population

GROUP_SIZES = (20, 5_000, 20_000)
SESSIONS = (10, 200, 2_000)
HISTORIES = (4, 20_000, 200_000)

FIRST_ID = 100_000_000
"""The first id of groups and relations here."""

REQUESTS_OF_EACH, SLOW_REQUESTS, ENOUGH_SECONDS = 100, 15, 2.0
"""So many of each, or of those that take long, fewer, after so many seconds."""
GROUP_HISTORY = 200
SMALL_GROUPS = 500


@dataclass(frozen=True)
class Line:
    """One measurement: what was done, with what size; milliseconds; ``rows`` read by MariaDB for each."""

    what: str
    size: int
    p50_ms: float
    p99_ms: float
    rows: float
    per_second: float = 0.0
    megabytes: float = 0.0
    """Of the reply, where that matters."""


def add_data(installation: Installation) -> None:
    """Create the groups, sessions and histories that are missing."""
    population, site = installation.population, installation.site
    with site.master.connection() as connection:
        done = {row[0].decode() for row in connection.select("select step from scale_done")}
        for number, size in enumerate(GROUP_SIZES):
            if size <= population.users and f"group of {size}" not in done:
                connection.execute("begin")
                _add_group(connection, FIRST_ID + number, size)
                _finish(connection, f"group of {size}")
        for number, size in enumerate(SESSIONS):
            if size * 2 <= population.users and f"{size} sessions" not in done:
                connection.execute("begin")
                user_id = _user_with_sessions(population, number)
                _add_conversations(connection, FIRST_ID + 10_000 * number, user_id, range(1, size + 1), 5)
                _finish(connection, f"{size} sessions")
        for number, size in enumerate(HISTORIES):
            if f"history of {size}" not in done:
                connection.execute("begin")
                relate_id = FIRST_ID + 100_000 + number
                _add_conversations(connection, relate_id, population.users - 20, [population.users - 30 - number], 0)
                for first in range(1, size + 1, 50_000):
                    dataset.make_messages(connection, [relate_id], first, min(50_000, size + 1 - first))
                _finish(connection, f"history of {size}")
    _add_keys(installation)


def _finish(connection: DBConn, step: str) -> None:
    connection.execute("insert into scale_done values (%s)", (step,))
    connection.execute("commit")


def _user_with_sessions(population: Population, number: int) -> int:
    return population.users - 10 - number


def _add_group(connection: DBConn, group_id: int, size: int) -> None:
    connection.execute(
        "insert into IMGroup (id,name,avatar,creator,type,userCnt,status,version,lastChated,updated,created) "
        f"values ({group_id},'{dataset.PREFIX}{size}','',1,1,{size},0,1,0,{T0},{T0})"
    )
    dataset.make_members(connection, group_id, range(1, size + 1))
    dataset.make_group_messages(connection, group_id, range(1, size + 1), 1, GROUP_HISTORY)


def _add_conversations(connection: DBConn, first_id: int, user_id: int, peers: range | list[int], messages: int) -> None:
    """Conversations of a user with peers of smaller ids."""
    for part in dataset.chunks(list(enumerate(peers, first_id))):
        rows = ",".join(f"({relate_id},{peer},{user_id},0,{T0},{T0})" for relate_id, peer in part)
        connection.execute(f"insert into IMRelationShip (id,smallId,bigId,status,created,updated) values {rows}")
        sessions = ",".join(f"({one},{other},1,0,{T0},{T0})" for _, peer in part for one, other in ((user_id, peer), (peer, user_id)))
        connection.execute(f"insert into IMRecentSession (userId,peerId,type,status,created,updated) values {sessions}")
        dataset.make_messages(connection, [relate_id for relate_id, _ in part], 1, messages)


def _add_keys(installation: Installation) -> None:
    population, caches = installation.population, installation.site.caches
    for number, size in enumerate(GROUP_SIZES):
        if size <= population.users:
            dataset.make_member_keys(installation.site, FIRST_ID + number, range(1, size + 1))
            caches.unread.execute([("SET", names.group_msg_id_key(FIRST_ID + number), GROUP_HISTORY)])
            caches.unread.execute([("HSET", names.group_count_key(FIRST_ID + number), names.COUNT_FIELD, GROUP_HISTORY)])
    for number, size in enumerate(SESSIONS):
        user_id = _user_with_sessions(population, number)
        dataset.make_device_tokens(installation.site, [user_id])
        fields = [part for peer in range(1, size + 1, 2) for part in (peer, 1)]
        caches.unread.execute([("HSET", names.unread_key(user_id), *fields)])
        caches.unread.execute([("SET", names.msg_id_key(FIRST_ID + 10_000 * number + peer - 1), 5) for peer in range(1, size + 1)])
    for number, size in enumerate(HISTORIES):
        caches.unread.execute([("SET", names.msg_id_key(FIRST_ID + 100_000 + number), size)])


def run(installation: Installation, show: Callable[[str], None]) -> list[Line]:
    """Measure everything, one request at a time.

    Raises:
        StoreError: a backend failed.

    """
    show("creating groups, sessions and histories")
    add_data(installation)
    lines: list[Line] = []
    with Client(installation.site.host, installation.site.port, timeout=120) as client:
        show("all users")
        lines += _of_all_users(installation, client)
        show(f"sync of {SMALL_GROUPS} groups")
        count = min(SMALL_GROUPS, installation.population.groups)
        total = _timed(installation.site, "group sync, per small group", count, lambda: _sync_small(installation.site, count), 3)
        lines.append(Line(total.what, count, round(total.p50_ms / count, 3), round(total.p99_ms / count, 3), round(total.rows / count, 1)))
        for number, size in enumerate(GROUP_SIZES):
            if size <= installation.population.users:
                show(f"group of {size}")
                lines += _of_group(installation, client, FIRST_ID + number, size)
        for number, size in enumerate(SESSIONS):
            show(f"{size} sessions")
            user_id = _user_with_sessions(installation.population, number)
            subject = _subject(user_id, 1, FIRST_ID + 10_000 * number)
            for name in ("unread", "recent", "token", "send", "list, newest"):
                lines.append(_line(installation.site, client, f"{name}, by sessions of the user", size, REQUESTS[name](subject)))
        for number, size in enumerate(HISTORIES):
            show(f"history of {size}")
            users = installation.population.users
            subject = _subject(users - 20, users - 30 - number, FIRST_ID + 100_000 + number, middle=max(1, size // 2))
            for name in ("list, newest", "list, middle", "list, oldest", "by id", "latest id"):
                lines.append(_line(installation.site, client, f"{name}, by messages of the conversation", size, REQUESTS[name](subject)))
    return lines


def _of_all_users(installation: Installation, client: Client) -> list[Line]:
    """The list of all users (0x0208), of those who have changed lately (nobody) and of everybody; ``per_second`` is its MB."""
    site, users = installation.site, installation.population.users
    asked = (("changed users, by users", int(time.time()), REQUESTS_OF_EACH), ("all users, by users", 0, 1))
    lines = []
    for what, since, count in asked:
        request = REQUESTS["changed users"](Subject(1, "", 2, 1, 1, 1, since=since))
        received = 0

        def ask(request: Message = request) -> None:
            nonlocal received
            client.send(request)
            received = client.receive().length

        line = _timed(site, what, users, ask, count, minimum=min(count, SLOW_REQUESTS), first=count > 1)
        lines.append(dataclasses.replace(line, megabytes=received / 1e6))
    return lines


def _subject(user_id: int, peer_id: int, relate_id: int, middle: int = 1) -> Subject:
    return Subject(user_id, dataset.user_name(user_id), peer_id, relate_id, 1, 1, middle=middle)


def _of_group(installation: Installation, client: Client, group_id: int, size: int) -> list[Line]:
    site = installation.site
    subject = Subject(1, dataset.user_name(1), 2, 1, group_id, 1, middle=GROUP_HISTORY // 2)
    lines = [
        _line(site, client, f"{name}, by members of the group", size, REQUESTS[name](subject))
        for name in ("group send", "group list, newest", "group latest id", "group info", "mute", "who muted")
    ]
    stranger = installation.population.users

    def change() -> None:
        client.add_members(1, group_id, [stranger])
        client.remove_members(1, group_id, [stranger])

    lines.append(_timed(site, "a member added and removed again", size, change, SLOW_REQUESTS))
    lines.append(_timed(site, "group sync, by members of the group", size, lambda: _sync(site, group_id), SLOW_REQUESTS))
    lines.append(_timed(site, "the same by a further proxy", size, lambda: _sync(site, group_id, again=True), SLOW_REQUESTS))
    job = Job(site.host, site.port, 4, 64, 0.3, 2.0)
    outcome = measure(site, job, [frame(REQUESTS["group send"](subject))], {}).outcome
    lines.append(Line("group send, 64 at once to one group", size, 1000 * outcome.p50, 1000 * outcome.p99, 0.0, outcome.per_second))
    return lines


def _sync(site: Site, group_id: int, *, again: bool = False) -> None:
    """Let the background sync do this one group, as after a message."""
    now = int(time.time())
    site.caches.unread.execute([("SET", names.LAST_UPDATE_GROUP_KEY, now)])
    with site.master.connection() as connection:
        if not again:
            connection.execute(f"update IMGroup set lastChated=greatest(lastChated+1,{now}) where id={group_id}")
        connection.execute(f"update IMGroup set lastChated={T0} where id<>{group_id} and lastChated>={now - 300}")
    members = GroupMembers(site.master, site.caches.group_member)
    SyncCenter(site.master, site.caches.unread, members, 3600).sync()


def _sync_small(site: Site, count: int) -> None:
    """Let the background sync do the first groups of the population, as after a message in each."""
    now = int(time.time())
    site.caches.unread.execute([("SET", names.LAST_UPDATE_GROUP_KEY, now)])
    with site.master.connection() as connection:
        connection.execute(f"update IMGroup set lastChated=greatest(lastChated+1,{now}) where id<={count}")
    SyncCenter(site.master, site.caches.unread, GroupMembers(site.master, site.caches.group_member), 3600).sync()


def _line(site: Site, client: Client, what: str, size: int, request: Message) -> Line:
    def ask() -> None:
        client.send(request)
        client.receive()

    return _timed(site, what, size, ask, REQUESTS_OF_EACH)


def _timed(
    site: Site, what: str, size: int, action: Callable[[], None], count: int, *, minimum: int = SLOW_REQUESTS, first: bool = True
) -> Line:
    """Time ``count`` actions, or fewer if they take long, but ``minimum``; with ``first`` after one that does not count."""
    if first:
        action()
    before = _rows_read(site)
    times: list[float] = []
    while len(times) < count and (len(times) < minimum or sum(times) < ENOUGH_SECONDS):
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    rows = (_rows_read(site) - before) / len(times)
    times.sort()
    return Line(what, size, round(1000 * quantile(times, 0.5), 3), round(1000 * quantile(times, 0.99), 3), round(rows, 1))


def _rows_read(site: Site) -> int:
    return sum(value for name, value in site.status().items() if name.startswith("Handler_read"))


def audit_seconds(installation: Installation) -> tuple[float, int]:
    """Return how long an audit takes, and how much it finds."""
    with open_stores(installation.site.config) as backends:
        begin = time.perf_counter()
        report = audit(backends)
        return time.perf_counter() - begin, report.found


def memory_of_caches(installation: Installation, counts: Mapping[str, int]) -> dict[str, float]:
    """Let the proxy store messages in so many different conversations; return its memory in MiB at the start and after each."""
    site = installation.site
    pids = site.processes()[PROXY]
    found = {"start": memory_bytes(pids) / MEGABYTE}
    for name, count in counts.items():
        frames = []
        for relate_id in range(1, min(count, installation.population.relations) + 1):
            small, big = installation.population.pair(relate_id)
            frames.append(frame(REQUESTS["send"](Subject(small, "", big, relate_id, 1, 1))))
        measure(site, Job(site.host, site.port, 4, 256, 0.0, 600.0, count=len(frames)), frames, {})
        found[name] = memory_bytes(pids) / MEGABYTE
    return found


def table(lines: list[Line]) -> str:
    """Return the lines as a table, the sizes of one thing side by side."""
    by_name: dict[str, list[Line]] = {}
    for line in lines:
        by_name.setdefault(line.what, []).append(line)
    rows = []
    for what, group in by_name.items():
        for line in group:
            ratio = line.p50_ms / group[0].p50_ms if group[0].p50_ms else 0.0
            rate = f"{line.per_second:,.0f} a second" if line.per_second else f"{line.megabytes:.1f} MB" if line.megabytes else ""
            rows.append([what, f"{line.size:,}", f"{line.p50_ms:.2f}", f"{line.p99_ms:.2f}", f"{ratio:.1f}", f"{line.rows:,.0f}", rate])
    return grid(["what", "size", "p50 ms", "p99 ms", "to the smallest", "rows", ""], rows)
