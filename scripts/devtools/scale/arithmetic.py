"""The arithmetic of large installations: from assumptions about users and measured costs to proxies, servers, memory and disks. Pure.

Costs are CPU per request as ``scripts/scale growth`` and ``proxies`` measure them with ten million messages and 64 requests in flight, and
bytes per row and key as it finds them. Everything is linear, so what does not scale linearly has a line of its own in ``first_to_break``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dbproxy.bench.report import grid

DAY = 86_400
GIB = 1 << 30
MAX_ROW_ID = 2**31 - 1
"""Of the stock tables: ``id int(11)``, signed."""

SHARDS = 8


@dataclass(frozen=True)
class Assumptions:
    """About people. ``peak``: the busiest second against the average; ``acks``: who reads a group message while it is new; rates per user
    and day count all registered users, also those who are never there.
    """

    messages: float = 20.0
    group_share: float = 0.3
    group_size: float = 20.0
    logins: float = 2.0
    peak: float = 3.0
    online: float = 0.2
    conversations: float = 20.0
    memberships: float = 10.0
    phones: float = 0.8
    days_kept: float = 365.0
    messages_per_group_and_interval: float = 2.0
    """Of groups in which somebody writes: messages within SyncInterval."""
    utilisation: float = 0.5
    """How much of its cores a server uses in the busiest second."""


@dataclass(frozen=True)
class Cost:
    """Of one request: microseconds of CPU of the proxy, of MySQL and of Redis, and bytes on the network in all."""

    proxy: float
    mysql: float
    redis: float
    network: float


MEASURED: Mapping[str, Cost] = {
    "single": Cost(108, 424, 6, 1_800),
    "group": Cost(136, 211, 8, 1_900),
    "token": Cost(21, 9, 4, 900),
    "list": Cost(60, 222, 0, 9_000),
    "unread": Cost(50, 149, 4, 2_500),
    "recent": Cost(72, 384, 0, 3_500),
    "users": Cost(25, 28, 0, 1_500),
    "login": Cost(23, 21, 0, 1_000),
    "groupinfo": Cost(29, 7, 3, 1_500),
    "ack": Cost(20, 0, 4, 300),
}
"""Two shared cores, MariaDB 10.11 with 1 GiB of memory for 3 GiB of data, Redis 7.0, Python 3.11, November 2026. ``ack`` is not measured,
but taken from its parts: it has no reply and one or two commands of Redis. Bytes on the network are estimated from the lengths of PDUs,
statements and rows.
"""

LOGIN: Mapping[str, float] = {"login": 1, "recent": 1, "unread": 1, "users": 2, "groupinfo": 2, "list": 5}
"""Requests of one login, and of reading what is new after it."""

BYTES_OF_MESSAGE, BYTES_OF_SESSION, BYTES_OF_RELATION, BYTES_OF_USER, BYTES_OF_MEMBER = 229, 127, 68, 293, 103
"""Of a row with its indexes, in tables of ten million messages of 64 characters."""

BYTES_OF_KEY = 77
"""Of a key of Redis with its value, on average."""

BYTES_OF_LISTED_USER = 130
"""In the list of all users (0x0208)."""

SYNC_SECONDS_PER_GROUP, SYNC_SECONDS_PER_MEMBER = 0.000_3, 0.000_015
"""Half of what was measured for groups of 20 and of 20,000 while fifteen processes shared two cores: it waits for the server only."""


@dataclass(frozen=True)
class Result:
    """Per second in the busiest second, unless a name says otherwise; ``*_cores`` include the reserve of ``utilisation``."""

    users: float
    messages_per_second: float
    requests_per_second: float
    proxy_cores: float
    mysql_write_cores: float
    mysql_read_cores: float
    redis_cores: float
    redis_gib: float
    network_gbit: float
    stored_gib: float
    session_rows_per_second: float
    """Rows of IMRecentSession that the group sync changes."""
    sync_groups_per_second: float
    sync_share: float
    """How much of the time one sync is busy; above 1 it falls behind."""
    days_to_row_limit: float
    """Until the ids of the fullest message table reach ``MAX_ROW_ID``."""
    sessions_of_row_limit: float
    """Rows of IMRecentSession as a share of ``MAX_ROW_ID``."""
    user_list_bytes: float


def requests_per_second(users: float, people: Assumptions) -> dict[str, float]:
    """Return request → how many in the busiest second."""
    messages = users * people.messages / DAY * people.peak
    to_groups = messages * people.group_share
    single = messages - to_groups
    logins = users * people.logins / DAY * people.peak
    found = {name: logins * count for name, count in LOGIN.items()}
    found["single"], found["group"], found["token"] = single, to_groups, messages
    found["ack"] = single + to_groups * people.group_size * people.online
    return found


def calculate(users: float, people: Assumptions, costs: Mapping[str, Cost] = MEASURED) -> Result:
    """Return what an installation with so many users needs."""
    rates = requests_per_second(users, people)

    def cores(which: str, names: Sequence[str]) -> float:
        return float(sum(rates[name] * getattr(costs[name], which) for name in names)) / 1e6 / people.utilisation

    everything = list(rates)
    stores = ["single", "group"]
    groups_written = rates["group"] / people.messages_per_group_and_interval
    session_rows = groups_written * people.group_size
    sync = groups_written * (SYNC_SECONDS_PER_GROUP + people.group_size * SYNC_SECONDS_PER_MEMBER)
    per_day = users * people.messages
    sessions = users * (people.conversations + people.memberships)
    relations = users * people.conversations / 2
    groups = users * people.memberships / people.group_size
    rows = (
        per_day * people.days_kept * BYTES_OF_MESSAGE
        + sessions * BYTES_OF_SESSION
        + relations * BYTES_OF_RELATION
        + users * BYTES_OF_USER
        + users * people.memberships * BYTES_OF_MEMBER
    )
    keys = relations + 2 * groups + users * people.memberships + users * (1 + 2 * people.phones)
    members = users * people.memberships * 24
    busiest = max(1 - people.group_share, people.group_share) * per_day / SHARDS
    return Result(
        users,
        rates["single"] + rates["group"],
        sum(rates.values()),
        cores("proxy", everything),
        cores("mysql", stores),
        cores("mysql", [name for name in everything if name not in stores]),
        cores("redis", everything),
        (keys * BYTES_OF_KEY + members) / GIB,
        sum(rates[name] * costs[name].network for name in everything) * 8 / 1e9,
        rows / GIB,
        session_rows,
        groups_written,
        sync,
        MAX_ROW_ID / busiest,
        sessions / MAX_ROW_ID,
        users * BYTES_OF_LISTED_USER,
    )


@dataclass(frozen=True)
class Limit:
    """Something that ends: the number of users from which on it does, and what it is."""

    users: float
    what: str


def first_to_break(people: Assumptions, *, cores: float = 32.0, redis_gib: float = 24.0, list_bytes: float = 50e6) -> list[Limit]:
    """Return the limits of one installation with one MySQL primary of so many cores, one Redis of one core and so much memory, and clients
    that load a list of users of so many bytes; those that come first first.
    """
    one = calculate(1e6, people)

    def at(value: float, limit: float) -> float:
        return 1e6 * limit / value if value else float("inf")

    limits = [
        Limit(at(one.user_list_bytes, list_bytes), f"the list of all users has {list_bytes / 1e6:.0f} MB, for each new client"),
        Limit(at(one.redis_gib, redis_gib), f"the keys of Redis need {redis_gib:.0f} GiB"),
        Limit(at(one.redis_cores * people.utilisation, 1.0), "the one core of Redis is busy"),
        Limit(at(one.mysql_write_cores * people.utilisation, cores), f"storing alone keeps {cores:.0f} cores of the primary busy"),
        Limit(at(one.sync_share, 1.0), "one group session sync needs all of its time"),
        Limit(at(one.sessions_of_row_limit, 1.0), "IMRecentSession has no ids left"),
        Limit(at(30.0, one.days_to_row_limit), "a message table has no ids left after a month"),
        Limit(at(365.0, one.days_to_row_limit), "a message table has no ids left after a year"),
        Limit(at(one.stored_gib, 4096.0), f"what is kept for {people.days_kept:.0f} days takes 4 TiB"),
    ]
    return sorted(limits, key=lambda limit: limit.users)


def table(people: Assumptions, sizes: Sequence[float]) -> str:
    """Return what installations of these sizes need."""
    results = [calculate(users, people) for users in sizes]
    lines: list[tuple[str, str]] = [
        ("messages/s", "messages_per_second"),
        ("requests/s", "requests_per_second"),
        ("cores of proxies", "proxy_cores"),
        ("cores of MySQL for storing", "mysql_write_cores"),
        ("cores of MySQL for reading", "mysql_read_cores"),
        ("cores of Redis", "redis_cores"),
        ("Redis, GiB", "redis_gib"),
        ("network of the proxies, Gbit/s", "network_gbit"),
        ("rows kept, GiB", "stored_gib"),
        ("sessions changed by the group sync/s", "session_rows_per_second"),
        ("groups written to/s", "sync_groups_per_second"),
        ("share of one sync's time", "sync_share"),
        ("days until message ids end", "days_to_row_limit"),
        ("ids of IMRecentSession used", "sessions_of_row_limit"),
        ("list of all users, MB", "user_list_bytes"),
    ]
    rows = []
    for title, name in lines:
        values = [getattr(result, name) / (1e6 if name == "user_list_bytes" else 1) for result in results]
        rows.append([title, *(f"{value:,.0f}" if value >= 20 else f"{value:,.2f}" for value in values)])
    return grid(["in the busiest second", *(f"{users:,.0f} users" for users in sizes)], rows, gaps=False)


def limits_table(people: Assumptions) -> str:
    """Return what ends first."""
    return grid(["users", "what"], [[f"{limit.users:,.0f}", limit.what] for limit in first_to_break(people)], gaps=False)
