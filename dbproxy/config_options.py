"""The options of the command line that say where the configuration is: the same for every command that reads it."""

from __future__ import annotations

import argparse
from typing import Any

from dbproxy.config import Config, load_config

DEFAULT_CONFIG = "dbproxyserver.conf"


def add_config_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--config PATH`` and ``--set KEY=VALUE``."""
    where = "the proxy's configuration file (default: %(default)s in the working directory)"
    parser.add_argument("--config", metavar="PATH", default=DEFAULT_CONFIG, help=where)
    instead = "use this value instead of the one in the configuration file; may be given several times. Everybody on the machine can see it"
    parser.add_argument("--set", metavar="KEY=VALUE", dest="overrides", action="append", type=_assignment, default=[], help=instead)


def overrides_of(options: argparse.Namespace) -> dict[str, str]:
    """Return key → value of every ``--set`` in parsed options; the last of equal keys counts."""
    assignments: list[tuple[str, str]] = options.overrides
    return dict(assignments)


def config_of(options: argparse.Namespace) -> Config:
    """Return the configuration that parsed options name.

    Raises:
        ConfigError: it cannot be used.

    """
    path: Any = options.config
    return load_config(path, overrides_of(options))


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError("expected KEY=VALUE")  # without the text: it may be a password
    return name.strip(), value.strip()
