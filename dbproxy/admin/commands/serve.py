"""``dbproxy-admin serve``: the web application, until SIGTERM or SIGINT."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dbproxy.addresses import split_address
from dbproxy.admin.commands.frame import EXIT_OK, Commands, add_command, print_error, print_line
from dbproxy.admin.errors import RefusedError, SettingsError
from dbproxy.config import Config
from dbproxy.option_types import checked

if TYPE_CHECKING:  # needs libraries that only the extra installs
    from dbproxy.admin.web.site import Site

_BACKENDS_WAIT = 3.0
"""Seconds after which it is said that MySQL or Redis is not there."""


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add ``serve``."""
    command = add_command(topics, "serve", _serve, "serve the web application until SIGTERM or SIGINT", prints=False)
    listen = "where to listen instead of WebAdminListen (an IPv6 address in brackets; port 0: any free one)"
    command.add_argument("--listen", metavar="ADDRESS:PORT", type=checked(split_address), help=listen)
    command.set_defaults(without_backends=True)


def _serve(config: Config, options: argparse.Namespace) -> int:
    address = options.listen or config.admin.web_listen
    if address is None:
        raise SettingsError("WebAdminListen is off; --listen ADDRESS:PORT says where to listen")
    try:
        from dbproxy.admin.web.server import WebServer
        from dbproxy.admin.web.site import Site
    except ImportError as error:
        raise RefusedError(f"the web application is not installed ({error}); install it with: pip install dbproxy[admin]") from None
    logging.getLogger("dbproxy").setLevel(logging.WARNING)
    with _stop_signals() as stopped:
        site = Site(config)
        try:
            server = WebServer(site, address)
            site.backends.start()
            url = server.start()
            try:
                print_line(f"dbproxy-admin serves {url}")
                _say_what_is_missing(site)
                sys.stdout.flush()
                stopped.wait()
            finally:
                server.stop()
        finally:
            site.close()
    return EXIT_OK


def _say_what_is_missing(site: Site) -> None:
    if not site.accounts.all():
        print_line("there is no account yet; make one with: dbproxy-admin accounts add NAME --role owner")
    if not site.backends.wait(_BACKENDS_WAIT):
        print_error(f"dbproxy-admin: {site.backends.problem}; trying again until it works")


@contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Give an event that SIGTERM and SIGINT set."""
    stopped = threading.Event()
    former = {number: signal.signal(number, lambda *_: stopped.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stopped
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
