"""``scripts/demo`` (``python -m dbproxy.testing.demo``): a conversation, with every PDU and every row and key that it changes.

For reading along: it talks to the proxy that ``scripts/run`` runs, and looks into its stores with the proxy's own configuration file.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import pymysql
import redis
from google.protobuf import text_format
from google.protobuf.message import Message

from dbproxy.config import Config, load_config
from dbproxy.errors import DbproxyError
from dbproxy.testing.client import BY_REQUEST, Client
from dbproxy.testing.observe import Fields, Snapshot, changes, snapshot
from dbproxy.testing.requests import GROUP
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2

M = TypeVar("M", bound=Message)


class Watched(Client):
    """A client that prints each PDU it sends and gets."""

    _quiet = False

    def send(self, message: Message, *, seq_num: int | None = None) -> int:
        """Send and print a request."""
        command = BY_REQUEST[type(message)]
        number = super().send(message, seq_num=seq_num)
        if not self._quiet:
            _print_pdu("→", command.service_id, command.command_id, number, message)
        return number

    def ask(self, message: Message, kind: type[M]) -> M:
        """Send a request, print it and its reply."""
        reply = super().ask(message, kind)
        command = BY_REQUEST[type(message)]
        _print_pdu("←", command.reply_service_id, command.reply_command_id, None, reply)
        return reply

    def quietly(self, message: Message, kind: type[M]) -> M:
        """Ask without printing anything."""
        self._quiet = True
        try:
            return super().ask(message, kind)
        finally:
            self._quiet = False


class Stores:
    """The stores of a proxy as its configuration names them; remembers what it has seen to show only what is new."""

    def __init__(self, config: Config, exits: contextlib.ExitStack) -> None:
        place = config.db_instances["teamtalk_master"]
        connection = pymysql.connect(
            host=place.host,
            port=place.port,
            user=place.username,
            password=place.password,
            database=place.dbname,
            charset="utf8mb4",
            autocommit=True,
            cursorclass=pymysql.cursors.DictCursor,
            ssl_disabled=True,
        )
        self._connection = exits.enter_context(contextlib.closing(connection))
        caches = {(pool.host, pool.port, pool.db): pool for pool in config.cache_instances.values()}
        self._clients = [
            exits.enter_context(redis.Redis(host=host, port=port, db=db, username=pool.username or None, password=pool.password or None))
            for (host, port, db), pool in caches.items()
        ]
        self._seen = self._look()

    def print_changes(self, wait: float = 0) -> None:
        """Print rows and keys that changed since the last call; wait up to so many seconds for a first change."""
        deadline = time.monotonic() + wait
        while True:
            now = self._look()
            changed = changes(self._seen, now)
            if changed["mysql"] or changed["redis"] or time.monotonic() > deadline:
                break
            time.sleep(0.05)
        self._seen = now
        for table, change in changed["mysql"].items():
            for row in change["rows"]:
                _line("MySQL", f"{table}: " + _fields(row))
            if change["deleted"]:
                _line("MySQL", f"{table}: rows {change['deleted']} are gone")
        for key, value in changed["redis"].items():
            if key == "@deleted":
                _line("Redis", ", ".join(value) + " (gone)")
            else:
                _line("Redis", f"{key} = " + ("{" + _fields(value) + "}" if isinstance(value, dict) else value))
        if not changed["mysql"] and not changed["redis"]:
            _line("stores", "nothing changed")

    def _look(self) -> Snapshot:
        return snapshot(self._connection, self._clients)


def play(client: Watched, stores: Stores) -> None:
    """Play the whole conversation."""
    _title("alice logs in", "msg_server passes her name and md5(password) on; the proxy compares with md5(md5(password) + salt) in IMUser.")
    alice = client.login("alice").user_info.user_id
    stores.print_changes()
    if not alice:
        raise DbproxyError("alice cannot log in: are these the stores of scripts/run?")
    names = {
        user.user_real_name: user.user_id
        for user in client.quietly(buddy_pb2.IMAllUserReq(user_id=alice, latest_update_time=0), buddy_pb2.IMAllUserRsp).user_list
    }
    bob, carol = names["bob"], names["carol"]

    _title(
        "alice writes to bob",
        "The pair's relation gives the message its table (IMMessage_{relateId % 8}) and its counter (msg_id_{relateId}); both get a recent "
        "session, and bob's unread hash counts one more from alice. The reply is the request with its msg_id.",
    )
    sent = client.send_message(alice, bob, "Hello bob, shall we have lunch?")
    stores.print_changes()

    _title("bob asks what he has not read", "One counter per sender, and the last message of each, to be shown in the list.")
    client.unread(bob)
    stores.print_changes()

    _title("bob has read it", "The acknowledgement is not answered; the counter's field just disappears.")
    client.read_ack(bob, alice, msg_id=sent.msg_id)
    stores.print_changes(wait=2)

    _title("bob asks again", "Nothing is left.")
    client.unread(bob)
    stores.print_changes()

    _title("alice makes a group", "Members are rows (to be kept) and a Redis hash (to be asked for every message).")
    made = client.create_group(alice, [alice, bob, carol], name="lunch", avatar="", group_type=base.GROUP_TYPE_NORMAL)
    stores.print_changes()

    _title(
        "bob writes to the group",
        "One counter for the group goes up, whatever its size; bob's own copy follows, because he has read what he wrote. "
        "What a member has not read is the difference of the two.",
    )
    client.send_group_message(bob, made.group_id, "Noodles at noon?")
    stores.print_changes()

    _title("carol asks what she has not read", "She has no copy of the counter yet: everything since she joined is new to her.")
    client.unread(carol)
    stores.print_changes()

    _title("carol has read it", "Her copy of the counter catches up.")
    client.read_ack(carol, made.group_id, GROUP)
    stores.print_changes(wait=2)
    client.unread(carol)

    _title(
        "a few seconds later",
        "A background thread (SyncCenter) puts the group on its members' recent lists, once per 5 s, not once per message.",
    )
    stores.print_changes(wait=7)
    client.recent_sessions(carol)
    print("\nThat was it. ARCHITECTURE.md says how it works; dbproxy.testing.Client is what this program used.")  # noqa: T201 - a command


def main(argv: Sequence[str] | None = None) -> int:
    """Play the demonstration against the proxy of a configuration file; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Show a running proxy at work.")
    default = Path(".stack/proxy/dbproxyserver.conf")
    parser.add_argument("--config", type=Path, default=default, help="configuration of the running proxy (default: %(default)s)")
    options = parser.parse_args(argv)
    if not options.config.exists():
        return _fail(f"{options.config} does not exist: type scripts/run in another terminal first")
    try:
        config = load_config(options.config)
        with contextlib.ExitStack() as exits:
            client = exits.enter_context(Watched(config.listen_ips[0], config.listen_port))
            play(client, Stores(config, exits))
    except ConnectionRefusedError:
        return _fail(f"nothing answers on port {config.listen_port}: type scripts/run in another terminal first")
    except (DbproxyError, OSError, pymysql.MySQLError, redis.RedisError) as error:
        return _fail(str(error))
    return 0


def _title(title: str, explanation: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n== {title}")  # noqa: T201 - a command
    print(textwrap.indent(textwrap.fill(explanation, 110), "   "))  # noqa: T201


def _print_pdu(arrow: str, service_id: int, command_id: int, seq_num: int | None, message: Message) -> None:
    body = text_format.MessageToString(message, as_one_line=True, as_utf8=True)
    number = "" if seq_num is None else f" seq {seq_num}"
    _line(f"{arrow} PDU", f"service {service_id} command 0x{command_id:04x}{number} {type(message).__name__} {{ {body} }}")


def _line(label: str, text: str) -> None:
    lines = textwrap.wrap(text, 120, break_long_words=False) or [""]
    for k, line in enumerate(lines):
        print(f"   {label if not k else '':7}{line}")  # noqa: T201 - a command


def _fields(row: Fields) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())


def _fail(reason: str) -> int:
    print(f"scripts/demo: {reason}", file=sys.stderr)  # noqa: T201 - a command
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
