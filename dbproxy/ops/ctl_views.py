"""Every command of dbproxy-ctl, and those that steer and trace."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from dbproxy.ops.commands.steering import LEVEL_SECONDS, LEVELS, RELOAD_TIMEOUT, UPGRADE_TIMEOUT
from dbproxy.ops.commands.tracing import LONGEST_TRACE, TRACE_SECONDS
from dbproxy.ops.ctl_state import Connections, Pools, Slow, Status
from dbproxy.ops.ctl_tables import clock, printable, seconds
from dbproxy.ops.ctl_top import Top
from dbproxy.ops.ctl_view import SILENCE, Item, View, finite


class _Drain(View):
    name = "drain"
    help = "stop as after SIGTERM: peers are told, what they have sent is answered"

    def text(self, item: Item) -> str:
        return f"draining: {item['connections']} connections are told to send new work elsewhere"


class _Reload(View):
    name = "reload"
    help = "read the configuration again and apply it, as a whole or not at all"

    def silence(self, options: argparse.Namespace) -> float:
        return RELOAD_TIMEOUT + SILENCE

    def text(self, item: Item) -> str:
        if item["problems"]:
            return "\n".join(map(printable, item["problems"]))
        lines = [f"applied: {', '.join(item['applied'])}"] if item["applied"] else []
        lines += [f"needs a restart or an upgrade: {', '.join(item['restart'])}"] if item["restart"] else []
        return "\n".join(lines) or "nothing has changed"


class _Upgrade(View):
    name = "upgrade"
    help = "have the installed version take over connections and requests without a stop, and wait for the result"

    def silence(self, options: argparse.Namespace) -> float:
        return UPGRADE_TIMEOUT + SILENCE

    def text(self, item: Item) -> str:
        return "upgraded: a new process serves"


class _LogLevel(View):
    name = "log-level"
    help = "write more or less into the log, for a while"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("level", metavar="LEVEL", choices=LEVELS, help=", ".join(LEVELS))
        until = "for how long; 0: until the next reload (default: %(default)g)"
        parser.add_argument("seconds", metavar="SECONDS", nargs="?", type=finite, default=LEVEL_SECONDS, help=until)

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        return {"level": options.level, "seconds": options.seconds}

    def text(self, item: Item) -> str:
        until = f"for {seconds(item['seconds'])}" if item["seconds"] else "until the next reload"
        return f"log level {item['level']} {until}, then {item['configured']}"


class _Trace(View):
    name = "trace"
    help = "show requests and replies as they pass, with the times that they took"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--user", metavar="N", type=int, help="only requests from or about this user id, and logins of this user")
        parser.add_argument("--peer", metavar="ADDRESS", help="only requests of this peer: IP address, or IP address:port")
        names = "only this command: its name (CID_MSG_DATA), message (IMMsgData) or id (0x0301), or the beginning of a name"
        parser.add_argument("--command", metavar="COMMAND", dest="request_command", help=names)
        contents = "show texts and bytes, which otherwise are only counted; passwords and tokens are never shown"
        parser.add_argument("--contents", action="store_true", help=contents)
        parser.add_argument("--seconds", metavar="S", type=finite, default=TRACE_SECONDS, help="for how long (default: %(default)g)")

    def request(self, options: argparse.Namespace) -> dict[str, Any]:
        given = {"user": options.user, "peer": options.peer, "request_command": options.request_command}
        return {
            **{name: value for name, value in given.items() if value is not None},
            "contents": options.contents,
            "seconds": options.seconds,
        }

    def silence(self, options: argparse.Namespace) -> float:
        return min(float(options.seconds), LONGEST_TRACE) + SILENCE

    def text(self, item: Item) -> str:
        if "shown" in item:
            return f"{item['shown']} shown" + (f", {item['dropped']} more did not fit into the queue" if item["dropped"] else "")
        inside = [(name, item[key]) for name, key in (("MySQL", "mysql"), ("Redis", "redis"), ("file server", "file_server")) if item[key]]
        times = f"waited {seconds(item['waited'])}, worked {seconds(item['worked'])}"
        times += f" ({', '.join(f'{name} {seconds(value)}' for name, value in inside)})" if inside else ""
        who = f"{item['peer']} uuid={item['uuid']} seq={item['seq_num']}"
        lines = [f"{clock(item['received'])} {item['command']} {who}: {item['outcome']}, {times}, batch of {item['batch']}"]
        lines += [f"  {arrow} {_body(body)}" for arrow, body in (("->", item["request"]), ("<-", item["reply"])) if body is not None]
        return "\n".join(map(printable, lines))


def _body(body: Item) -> str:
    """One line for a message: its name, its length, its fields as JSON."""
    parts = [f"{body['message']} ({body['bytes']} bytes)"]
    parts += [body["problem"]] if "problem" in body else []
    parts += [json.dumps(body["fields"], ensure_ascii=False)] if "fields" in body else []
    return " ".join(parts)


VIEWS: Sequence[View] = (Status(), Top(), Connections(), Pools(), Slow(), _Trace(), _Reload(), _Upgrade(), _Drain(), _LogLevel())
"""Every command of dbproxy-ctl."""
