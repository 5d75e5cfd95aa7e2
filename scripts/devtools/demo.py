"""``scripts/demo``: a conversation, with every PDU and every row and key that it changes.

It sends requests to the proxy that ``scripts/run`` has started, and reads its backends, which it finds in the proxy's configuration file.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import textwrap
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
from dbproxy.testing.waiting import poll
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import buddy_pb2

M = TypeVar("M", bound=Message)


class PrintingClient(Client):
    """A client that prints each PDU that it sends and receives."""

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
        """Send a request and return its reply without printing anything."""
        self._quiet = True
        try:
            return super().ask(message, kind)
        finally:
            self._quiet = False


class StoreChanges:
    """Prints the rows and keys that have changed in the backends that a configuration names."""

    def __init__(self, config: Config, exits: contextlib.ExitStack) -> None:
        instance = config.db_instances["teamtalk_master"]
        connection = pymysql.connect(
            host=instance.host,
            port=instance.port,
            user=instance.username,
            password=instance.password,
            database=instance.dbname,
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
        self._last = self._snapshot()

    def print_changes(self, wait: float = 0) -> None:
        """Print rows and keys that changed since the last call; wait up to so many seconds for a first change."""
        before = self._last
        self._last = poll(self._snapshot, lambda now: any(changes(before, now).values()), wait)
        changed = changes(before, self._last)
        for table, change in changed["mysql"].items():
            for row in change["rows"]:
                _line("MySQL", f"{table}: " + _fields(row))
            if change["deleted"]:
                _line("MySQL", f"{table}: rows {change['deleted']} deleted")
        for key, value in changed["redis"].items():
            if key == "@deleted":
                _line("Redis", ", ".join(value) + " (deleted)")
            else:
                _line("Redis", f"{key} = " + ("{" + _fields(value) + "}" if isinstance(value, dict) else value))
        if not changed["mysql"] and not changed["redis"]:
            _line("stores", "nothing changed")

    def _snapshot(self) -> Snapshot:
        return snapshot(self._connection, self._clients)


def run(client: PrintingClient, stores: StoreChanges) -> None:
    """Send the requests of the conversation and print their effects."""
    _title("alice logs in", "msg_server passes her name and md5(password) on; the proxy compares with md5(md5(password) + salt) in IMUser.")
    alice = client.login("alice").user_info.user_id
    stores.print_changes()
    if not alice:
        raise DbproxyError("alice cannot log in: are these the backends of scripts/run?")
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

    _title("bob has read it", "The acknowledgement is not answered; the field of the counter is deleted.")
    client.read_ack(bob, alice, msg_id=sent.msg_id)
    stores.print_changes(wait=2)

    _title("bob asks again", "Nothing is left.")
    client.unread(bob)
    stores.print_changes()

    _title("alice creates a group", "Members are rows in MySQL and a Redis hash, which is read for every message.")
    made = client.create_group(alice, [alice, bob, carol], name="lunch", avatar="", group_type=base.GROUP_TYPE_NORMAL)
    stores.print_changes()

    _title(
        "bob writes to the group",
        "One counter for the group is incremented, whatever its size, and bob's own copy of it too, because he has read his message. "
        "The number of unread messages of a member is the difference of the two.",
    )
    client.send_group_message(bob, made.group_id, "Noodles at noon?")
    stores.print_changes()

    _title("carol asks what she has not read", "She has no copy of the counter yet: everything since she joined is unread.")
    client.unread(carol)
    stores.print_changes()

    _title("carol has read it", "Her copy of the counter gets the value of the group's counter.")
    client.read_ack(carol, made.group_id, GROUP)
    stores.print_changes(wait=2)
    client.unread(carol)

    _title(
        "a few seconds later",
        "A background thread (SyncCenter) adds the group to the recent sessions of its members, every 5 s and not for every message.",
    )
    stores.print_changes(wait=7)
    client.recent_sessions(carol)
    print("\nThe end. ARCHITECTURE.md explains how it works; this program uses dbproxy.testing.Client.")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demonstration with the proxy of a configuration file; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/demo", description="Show a running proxy at work.")
    default = Path(".stack/proxy/dbproxyserver.conf")
    parser.add_argument("--config", type=Path, default=default, help="configuration of the running proxy (default: %(default)s)")
    options = parser.parse_args(argv)
    if not options.config.exists():
        return _fail(f"{options.config} does not exist: type scripts/run in another terminal first")
    try:
        config = load_config(options.config)
        with contextlib.ExitStack() as exits:
            client = exits.enter_context(PrintingClient(config.listen_ips[0], config.listen_port))
            run(client, StoreChanges(config, exits))
    except ConnectionRefusedError:
        return _fail(f"nothing answers on port {config.listen_port}: type scripts/run in another terminal first")
    except (DbproxyError, OSError, pymysql.MySQLError, redis.RedisError) as error:
        return _fail(str(error))
    return 0


def _title(title: str, explanation: str) -> None:
    print(f"\n\033[1m{title}\033[0m" if sys.stdout.isatty() else f"\n== {title}")
    print(textwrap.indent(textwrap.fill(explanation, 110), "   "))


def _print_pdu(arrow: str, service_id: int, command_id: int, seq_num: int | None, message: Message) -> None:
    body = text_format.MessageToString(message, as_one_line=True, as_utf8=True)
    number = "" if seq_num is None else f" seq {seq_num}"
    _line(f"{arrow} PDU", f"service {service_id} command 0x{command_id:04x}{number} {type(message).__name__} {{ {body} }}")


def _line(label: str, text: str) -> None:
    lines = textwrap.wrap(text, 120, break_long_words=False) or [""]
    for k, line in enumerate(lines):
        print(f"   {label if not k else '':7}{line}")


def _fields(row: Fields) -> str:
    return ", ".join(f"{name}={value}" for name, value in row.items())


def _fail(reason: str) -> int:
    print(f"scripts/demo: {reason}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
