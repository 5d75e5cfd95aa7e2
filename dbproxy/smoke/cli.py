"""The command dbproxy-smoke: command line → exit code."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from dbproxy import __version__
from dbproxy.addresses import split_address
from dbproxy.option_types import checked, seconds
from dbproxy.output import write_line
from dbproxy.smoke.passwords import PasswordError, password_of, read_secret
from dbproxy.smoke.plan import CLIENT_TYPES, Account, Plan
from dbproxy.smoke.report import as_json, heading, line, summary
from dbproxy.smoke.scenario import Scenario
from dbproxy.smoke.steps import Outcome, Result, run_steps
from dbproxy.testing.login_server import check_login_url
from dbproxy.testing.stack import AES_KEY

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3
EXIT_INTERRUPTED = 130

PASSWORD_VARIABLE = "DBPROXY_SMOKE_PASSWORD"
PEER_PASSWORD_VARIABLE = "DBPROXY_SMOKE_PEER_PASSWORD"
MAX_TIMEOUT = 3600.0

DESCRIPTION = f"""\
Try a whole TeamTalk installation as its users do: ask login_server, log in at msg_server, send messages, read lists and counters, be logged
out by a second login. Each step is shown with its time. Use accounts that are made for this: a login ends the session of whoever uses the
same account with the same kind of program, and logging out forgets the account's token for push notifications. What is written stays: with
--peer two messages, with --group a temporary group without members. Without --password-file the password is taken from
{PASSWORD_VARIABLE} (the peer's from {PEER_PASSWORD_VARIABLE}), or asked for at the terminal."""

EPILOG = "Exit status: 0 all steps passed, 1 a step failed, 2 mistake in the command line, 3 login_server or msg_server cannot be reached."


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code: see ``EPILOG``; 130 when it was interrupted."""
    parser = _parser()
    options = parser.parse_args(argv)
    if options.login is None and options.msg_server is None:
        parser.error("--login is needed, or --msg-server")
    try:
        plan = _plan(options)
    except (PasswordError, EOFError) as error:
        parser.error(str(error) or "no user name or password was typed")
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    return _run(plan, as_object=options.json)


def _plan(options: argparse.Namespace) -> Plan:
    name = options.user if options.user is not None else _asked("user: ")
    user = Account(name, password_of(name, options.password_file, PASSWORD_VARIABLE, "--password-file", os.environ))
    peer = None
    if options.peer is not None:
        if options.peer == name:
            raise PasswordError("--peer must be another user: msg_server drops messages to oneself")
        password = password_of(options.peer, options.peer_password_file, PEER_PASSWORD_VARIABLE, "--peer-password-file", os.environ)
        peer = Account(options.peer, password)
    key = AES_KEY if options.aes_key_file is None else read_secret(options.aes_key_file)
    if len(key.encode()) != len(AES_KEY):
        raise PasswordError(f"--aes-key-file: the key has {len(key.encode())} characters; expected {len(AES_KEY)}")
    return Plan(
        login_url=options.login or "",
        user=user,
        peer=peer,
        group=options.group,
        msg_server=options.msg_server,
        client_type=options.client_type,
        aes_key=key,
        timeout=options.timeout,
    )


def _asked(question: str) -> str:
    if sys.stdin is None or not sys.stdin.isatty():
        raise PasswordError("--user is needed")
    return input(question)


def _run(plan: Plan, *, as_object: bool) -> int:
    def tell(outcome: Outcome) -> None:
        if not as_object:
            write_line(sys.stdout, line(outcome))

    if not as_object:
        write_line(sys.stdout, heading(plan))
    scenario = Scenario(plan)
    began = time.monotonic()
    try:
        outcomes = run_steps(scenario.steps(), tell)
    except KeyboardInterrupt:
        write_line(sys.stderr, "interrupted")
        return EXIT_INTERRUPTED
    finally:
        scenario.close()
    seconds = time.monotonic() - began
    write_line(sys.stdout, as_json(plan, outcomes, seconds) if as_object else summary(outcomes, seconds))
    if any(outcome.unreachable for outcome in outcomes):
        return EXIT_UNREACHABLE
    return EXIT_OK if all(outcome.result is Result.OK for outcome in outcomes) else EXIT_FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="dbproxy-smoke", description=DESCRIPTION, epilog=EPILOG)
    parser.add_argument("--version", action="version", version=f"dbproxy-smoke {__version__}")
    parser.add_argument(
        "--login", type=checked(_login_url), metavar="URL",
        help="login_server's HttpPort, http://host:8080; tcp://host:8008 for a ClientPort that answers, which the original's does not",
    )  # fmt: skip
    parser.add_argument(
        "--msg-server", type=checked(split_address), metavar="HOST:PORT",
        help="log in there, whatever address login_server names; login_server is not asked",
    )  # fmt: skip
    parser.add_argument("--user", metavar="NAME", help="who logs in; asked for at a terminal")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="the first line is the user's password")
    parser.add_argument("--peer", metavar="NAME", help="a second user, with whom messages are exchanged")
    parser.add_argument("--peer-password-file", type=Path, metavar="FILE", help="the first line is the second user's password")
    parser.add_argument("--group", action="store_true", help="create a temporary group, too, send a message there, remove its members")
    parser.add_argument("--client-type", choices=CLIENT_TYPES, default=CLIENT_TYPES[0], help="log in as this program (%(default)s)")
    parser.add_argument(
        "--aes-key-file",
        type=Path,
        metavar="FILE",
        help="the first line is the installation's aesKey; without it: that of a stock TeamTalk",
    )
    parser.add_argument("--timeout", type=seconds(0.001, MAX_TIMEOUT), default=10.0, metavar="SECONDS", help="for each step (%(default)g)")
    parser.add_argument("--json", action="store_true", help="print one JSON object in place of the lines")
    return parser


def _login_url(text: str) -> str:
    check_login_url(text)
    return text
