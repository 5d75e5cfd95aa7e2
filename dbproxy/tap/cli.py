"""The command dbproxy-tap: command line → exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from dbproxy import __version__
from dbproxy.addresses import split_address
from dbproxy.option_types import checked, seconds, whole_number
from dbproxy.output import write_line
from dbproxy.tap.live import TapError, tap
from dbproxy.tap.replay import Outcome, Replay
from dbproxy.tap.selection import Criteria
from dbproxy.tap.session_file import SessionFileError, read_session
from dbproxy.tap.viewer import clock
from dbproxy.wire.command_names import find_pdu_kind

EXIT_OK = 0
EXIT_DIFFERENT = 1
EXIT_USAGE = 2
EXIT_FAILED = 3

DESCRIPTION = """\
Stand between two TeamTalk servers: forward every byte untouched, and show the PDUs that pass, decoded. Point the server that connects
(for instance dbserver_port1 of msg_server) to the address of --listen, and --to to the one that it used before. It works for every port
that speaks TeamTalk's protocol: db_proxy_server, msg_server, login_server, route_server, file_server. What users have written is hidden
unless --contents is given."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 done, 1 a replay has found differences, 2 mistake in the command line, 3 an address or a file cannot be used.
    """
    parser = _parser()
    options = parser.parse_args(argv)
    if options.replay is not None:
        return _replay(options)
    if options.listen is None:
        parser.error("--listen is needed, or --replay")
    criteria = Criteria(
        command_ids=frozenset(options.command or ()),
        user=options.user,
        connection=options.connection,
        slower=options.slower,
        heartbeats=options.heartbeats,
    )
    try:
        tap(options.listen, options.to, criteria, contents=options.contents, as_lines_of_json=options.json, save=options.save)
    except TapError as error:
        write_line(sys.stderr, f"dbproxy-tap: {error}")
        return EXIT_FAILED
    return EXIT_OK


def _replay(options: argparse.Namespace) -> int:
    replay = Replay(options.to, options.timeout, frozenset(options.ignore or ()), contents=options.contents)
    compared = different = 0
    try:
        for outcome in replay.run(read_session(options.replay)):
            compared += 1
            different += not outcome.agrees
            if not outcome.agrees:
                write_line(sys.stdout, _shown(outcome))
    except (SessionFileError, OSError) as error:
        write_line(sys.stderr, f"dbproxy-tap: {getattr(error, 'strerror', None) or error}")
        return EXIT_FAILED
    except KeyboardInterrupt:
        write_line(sys.stderr, "interrupted")
    write_line(sys.stdout, f"{replay.sent} PDUs sent, {compared} answers compared, {different} differ")
    if not compared:
        write_line(sys.stderr, f"dbproxy-tap: {options.replay} has no answers to compare with")
        return EXIT_FAILED
    return EXIT_DIFFERENT if different else EXIT_OK


def _shown(outcome: Outcome) -> str:
    request = outcome.request
    head = f"{clock(request.time)} #{request.connection} {request.name} seq={request.pdu.seq_num}"
    return "\n".join([f"{head}: {outcome.problem}" if outcome.problem else head, *(f"  {one}" for one in outcome.differences)])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dbproxy-tap", description=DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"dbproxy-tap {__version__}")
    parser.add_argument("--listen", type=checked(split_address), metavar="HOST:PORT", help="where clients connect to")
    parser.add_argument("--to", type=checked(split_address), metavar="HOST:PORT", required=True, help="the server to forward to")
    shown = parser.add_argument_group("what is shown, and saved")
    shown.add_argument(
        "--command", type=checked(_command_id), action="append", metavar="NAME",
        help="only this command and its answers, as name (CID_MSG_DATA, IMMsgData, or the beginning of one) or id; may be repeated",
    )  # fmt: skip
    shown.add_argument("--user", type=whole_number(0, 0xFFFFFFFF), metavar="ID", help="only what is from or about this user, and answers")
    shown.add_argument("--connection", type=whole_number(0, 0xFFFFFFFF), metavar="N", help="only this connection; they count from 1")
    shown.add_argument("--slower", type=seconds(0, 1e6), metavar="SECONDS", help="only answers that took longer")
    shown.add_argument("--heartbeats", action="store_true", help="heartbeats, too")
    parser.add_argument("--contents", action="store_true", help="show what users have written; passwords and tokens stay hidden")
    parser.add_argument("--json", action="store_true", help="print a JSON object for each PDU")
    parser.add_argument("--save", metavar="FILE", help="save what is selected, bodies included; only the owner may read the file")
    replayed = parser.add_argument_group("replaying a saved session")
    replayed.add_argument("--replay", metavar="FILE", help="send the requests of a saved session to --to and compare the answers")
    replayed.add_argument(
        "--ignore", action="append", metavar="FIELD", help="a field that may differ, for instance create_time; may be repeated"
    )
    replayed.add_argument("--timeout", type=seconds(0, 1e6), default=10.0, metavar="SECONDS", help="for each answer (%(default)g)")
    return parser


def _command_id(text: str) -> int:
    return find_pdu_kind(text).command_id
