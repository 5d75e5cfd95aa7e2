"""The command dbproxy-init: command line → exit code. Everything here belongs to the main thread."""

from __future__ import annotations

import argparse
import getpass
import logging
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from dbproxy import __version__
from dbproxy.config import load_config
from dbproxy.errors import ConfigError, DbproxyError
from dbproxy.install.database import load_schema
from dbproxy.install.files import CONFIG, PRIVATE, File, command_directory, give_to_group, is_plain, shipped, static_files, write
from dbproxy.install.next_steps import next_steps
from dbproxy.install.settings import PASSWORDS, SETTINGS, ConfigText, Password, SettingError, ask, check_value, variables
from dbproxy.output import write_line

EXIT_OK = 0
EXIT_FILES = 1
EXIT_CONFIG = 2
EXIT_DATABASE = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code.

    0 done, 1 a file cannot be written, 2 mistake in the command line, a variable or the configuration, 3 the database was not filled.
    """
    options = _parser().parse_args(argv)
    logging.basicConfig(level=logging.ERROR, format="%(message)s", stream=sys.stderr)
    directory = Path(os.path.abspath(options.directory))  # noqa: PTH100 - resolve() would replace links that are there on purpose
    asks = not options.yes and sys.stdin.isatty()
    try:
        _write_files(options, directory, os.environ, asks=asks)
        if not options.database:
            write_line(sys.stdout, next_steps(directory, command_directory(), options.service_user))
            return EXIT_OK
        config = load_config(directory / CONFIG)
    except (SettingError, ConfigError) as error:
        for problem in error.problems if isinstance(error, ConfigError) else [str(error)]:
            write_line(sys.stderr, f"dbproxy-init: {problem}")
        return EXIT_CONFIG
    except OSError as error:
        write_line(sys.stderr, f"dbproxy-init: {error.filename or directory}: {error.strerror}")
        return EXIT_FILES
    except (EOFError, KeyboardInterrupt):
        write_line(sys.stderr, "\ndbproxy-init: stopped")
        return EXIT_FILES
    try:
        write_line(sys.stdout, load_schema(config, shipped("schema.sql"), lambda question: options.yes or (asks and _agrees(question))))
    except DbproxyError as error:
        hint = "" if options.yes or asks else " (without a terminal, --yes agrees)"
        write_line(sys.stderr, f"dbproxy-init: {error}{hint}")
        return EXIT_DATABASE
    except KeyboardInterrupt:
        write_line(sys.stderr, "\ndbproxy-init: stopped")
        return EXIT_DATABASE
    return EXIT_OK


def _write_files(options: argparse.Namespace, directory: Path, environ: Mapping[str, str], *, asks: bool) -> None:
    """Write what is not there yet, or everything with ``--force``, and say so. Nothing is written after a mistake in a setting."""
    if not is_plain(directory):
        raise SettingError(f"{directory}: expected a path of letters, digits and the characters _ . / + @ : -")
    given = [setting.option for setting in (*SETTINGS, *PASSWORDS) if getattr(options, setting.attribute) is not None]
    files: list[File] = []
    if options.force or not os.path.lexists(directory / CONFIG):
        files += _configuration(options, directory, environ, asks=asks)
    elif given:
        raise SettingError(
            f"{directory / CONFIG} exists, so {', '.join(given)} would have no effect: edit the file, or replace it with --force"
        )
    else:
        write_line(sys.stdout, f"kept     {directory / CONFIG}")
    files += static_files(directory, command_directory(), options.service_user)
    directory.mkdir(parents=True, exist_ok=True)
    for file in files:
        path = directory / file.name
        written = write(directory, file, force=options.force)
        if written and file.mode == PRIVATE:
            give_to_group(path, options.service_user)
        write_line(sys.stdout, f"{'written ' if written else 'kept    '} {path}")


def _configuration(options: argparse.Namespace, directory: Path, environ: Mapping[str, str], *, asks: bool) -> list[File]:
    """Return the configuration, behind the files of the passwords that it names."""
    config = ConfigText(shipped(CONFIG))
    from_variables = variables(environ)
    for setting in SETTINGS:
        option = getattr(options, setting.attribute)
        if option is not None:
            config.set(setting, check_value(setting, option, setting.option))
        elif setting.attribute in from_variables:
            config.set(setting, check_value(setting, from_variables[setting.attribute], setting.variable))
        elif setting.question and asks:
            config.set(setting, ask(setting, config.value(setting), input, lambda problem: write_line(sys.stdout, problem)))
    files: list[File] = []
    for password in PASSWORDS:
        path, secret = _password(options, password, environ, asks=asks)
        if secret:
            path = directory / password.file
            if os.path.lexists(path) and not options.force:
                raise SettingError(f"{path} exists, and another password is given: remove the file, or replace it with --force")
            files.append(File(password.file, secret + "\n", PRIVATE))
        config.set_password(password, path)
    return [*files, File(CONFIG, config.text, PRIVATE)]


def _password(options: argparse.Namespace, password: Password, environ: Mapping[str, str], *, asks: bool) -> tuple[Path | None, str]:
    """Return the file that was named, and otherwise what was given, if anything was."""
    option = getattr(options, password.attribute)
    if option is not None:
        path = Path(os.path.abspath(option))  # noqa: PTH100 - as above: secrets are often links
        if not is_plain(path):
            raise SettingError(f"{password.option} {path}: expected a path of letters, digits and the characters _ . / + @ : -")
        return path, ""
    if password.variable and environ.get(password.variable):
        return None, environ[password.variable]
    if password.question and asks:
        return None, getpass.getpass(f"{password.question}: ")
    return None, ""


def _agrees(question: str) -> bool:
    try:
        return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dbproxy-init",
        description="Writes a directory with which a proxy can be started: dbproxyserver.conf, schema.sql, indexes.sql and systemd units. "
        "Files that are there already are kept. What no option and no environment variable says is asked for on a terminal; otherwise it "
        "is as in a stock TeamTalk. With --database it fills an empty database too.",
        epilog="Exit status: 0 done, 1 a file cannot be written, 2 mistake in an option, a variable or the configuration, "
        "3 the database was not filled.",
    )
    parser.add_argument("directory", metavar="DIR", help="directory to write to; it is made if it is not there")
    parser.add_argument("--force", action="store_true", help="replace files that are there, the configuration too")
    parser.add_argument(
        "--database",
        action="store_true",
        help="then make the tables in the database of teamtalk_master, as the configuration in DIR says, if it is empty, after asking. "
        "The account needs the right to do that",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing, and agree to --database")
    for setting in SETTINGS:
        variable = f"; variable: {setting.variable}" if setting.variable else ""
        parser.add_argument(setting.option, metavar="VALUE", help=setting.help + variable)
    for password in PASSWORDS:
        parser.add_argument(password.option, metavar="PATH", help=password.help)
    parser.add_argument(
        "--service-user", metavar="NAME", type=_user, default="dbproxy", help="user of the service, for the units (default: %(default)s)"
    )
    version = f"dbproxy-init {__version__}"
    parser.add_argument("-v", "--version", action="version", version=version, help="print the version and exit")
    return parser


def _user(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}", text):
        raise argparse.ArgumentTypeError(f"{text[:100]!r} is no name of a user")
    return text
