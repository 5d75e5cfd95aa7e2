"""``dbproxy-admin devices``: lists the phones that get push notifications, and forgets one."""

from __future__ import annotations

import argparse
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    Commands,
    add_command,
    add_paging,
    add_topic,
    print_json,
    print_line,
    print_note,
    print_page,
)
from dbproxy.admin.devices import Device, Devices
from dbproxy.admin.page import Page


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    commands = add_topic(topics, "devices", "list the phones that get push notifications, forget one")
    parser = add_command(commands, "list", _list, "list phones, in no particular order")
    parser.add_argument("--user", metavar="USER", help="only that of this user: id or login name")
    add_paging(parser)
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
    print_page(
        page,
        ("user id", "name", "type", "token"),
        lambda device: (device.user_id, device.name, device.client_type, device.token),
        "no phones",
    )
    return EXIT_OK


def _forget(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    device = Devices(administration).forget(options.user, dry_run=options.dry_run)
    if options.json:
        print_json({"dry_run": options.dry_run, "device": device})
        return EXIT_OK
    print_line(
        f"the {device.client_type} phone of user {device.user_id} ({device.name}) {'would be' if options.dry_run else 'is'} forgotten"
    )
    print_note("it gets no pushes until the user logs in with it again")
    return EXIT_OK
