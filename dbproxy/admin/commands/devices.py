"""``dbproxy-admin devices``: lists the phones that get push notifications, and forgets one."""

from __future__ import annotations

import argparse
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import EXIT_OK, add_command, print_error, print_json, print_line, print_table
from dbproxy.admin.devices import Device, Devices
from dbproxy.admin.page import LARGEST_PAGE, Page
from dbproxy.option_types import whole_number


def add_commands(topics: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    summary = "list the phones that get push notifications, forget one"
    topic = topics.add_parser("devices", help=summary, description=summary[:1].upper() + summary[1:] + ".")
    commands = topic.add_subparsers(metavar="COMMAND", required=True)
    parser = add_command(commands, "list", _list, "list phones, in no particular order")
    parser.add_argument("--user", metavar="USER", help="only that of this user: id or login name")
    parser.add_argument("--limit", metavar="N", type=whole_number(1, LARGEST_PAGE), default=50, help="about so many (default: %(default)s)")
    parser.add_argument("--after", metavar="POSITION", type=whole_number(0, 2**80), help="go on where the former page has ended")
    parser = add_command(commands, "forget", _forget, "send no more pushes to the phone of a user, until it logs in again", changes=True)
    parser.add_argument("user", metavar="USER", help="id or login name")


def _list(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    devices = Devices(administration)
    page: Page[Device]
    if options.user is None:
        page = devices.find(options.after, options.limit)
    else:
        device = devices.of_user(options.user)
        page = Page([] if device is None else [device], None)
    if options.json:
        print_json(page)
        return EXIT_OK
    rows = [(device.user_id, device.name, device.client_type, device.token) for device in page.entries]
    print_table(("user", "name", "type", "token"), rows)
    if page.following is not None:
        print_error(f"more may follow: --after {page.following}")
    return EXIT_OK


def _forget(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    device = Devices(administration).forget(options.user, dry_run=options.dry_run)
    if options.json:
        print_json({"dry_run": options.dry_run, "device": device})
        return EXIT_OK
    print_line(
        f"the {device.client_type} phone of user {device.user_id} ({device.name}) {'would be' if options.dry_run else 'is'} forgotten"
    )
    print_line("note: it gets no pushes until the user logs in with it again")
    return EXIT_OK
