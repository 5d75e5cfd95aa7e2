"""The command dbproxy-admin: command line → exit code."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from dbproxy import __version__
from dbproxy.admin.access.audit_log import AuditLog, command_line_actor
from dbproxy.admin.administration import Administration
from dbproxy.admin.commands import accounts, audit_log, departments, devices, groups, messages, prune, serve, stats, users
from dbproxy.admin.commands.frame import EXIT_BACKEND, EXIT_CONFIG, EXIT_REFUSED, Topic, print_error
from dbproxy.admin.errors import AdminError, SettingsError
from dbproxy.admin.installation import Installation
from dbproxy.config_options import DEFAULT_CONFIG, add_config_options, config_of
from dbproxy.errors import ConfigError, DbproxyError

TOPICS: tuple[Topic, ...] = (
    users,
    departments,
    groups,
    devices,
    messages,
    prune,
    stats,
    accounts,
    audit_log,
    serve,
)
"""In the order of ``--help``."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 done, 1 refused or not found, 2 mistake in configuration or command line, 3 a backend failed.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    try:
        config = config_of(options)
    except ConfigError as error:
        for problem in error.problems:
            print_error(problem)
        if options.config == DEFAULT_CONFIG and not Path(DEFAULT_CONFIG).exists():
            print_error(f"dbproxy-admin: there is no {DEFAULT_CONFIG} in the working directory; --config PATH names the proxy's file")
        return EXIT_CONFIG
    try:
        if getattr(options, "without_backends", False):
            return int(options.run(config, options))
        with Installation(config) as installation:
            log = AuditLog(installation.data_directory)
            return int(options.run(Administration(installation, command_line_actor(), log), options))
    except SettingsError as error:
        print_error(f"dbproxy-admin: {error}")
        return EXIT_CONFIG
    except AdminError as error:
        print_error(f"dbproxy-admin: {error}")
        return EXIT_REFUSED
    except DbproxyError as error:
        print_error(f"dbproxy-admin: {error}")
        return EXIT_BACKEND
    except KeyboardInterrupt:
        print_error("dbproxy-admin: interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-admin",
        description="Manages the users, departments, groups and messages of a TeamTalk installation while its servers are running.",
        epilog="Exit status: 0 done, 1 refused or not found, 2 mistake in the configuration or the command line, 3 a backend failed.",
    )
    add_config_options(parser)
    version = f"dbproxy-admin {__version__}"
    parser.add_argument("-v", "--version", action="version", version=version, help="print the version and exit")
    topics = parser.add_subparsers(metavar="TOPIC", required=True)
    for topic in TOPICS:
        topic.add_commands(topics)
    return parser
