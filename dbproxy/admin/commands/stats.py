"""``dbproxy-admin stats``: how many users, groups and messages there are, and where most is going on."""

from __future__ import annotations

import argparse
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import EXIT_OK, Commands, add_command, print_details, print_json, print_line, print_rows, print_table
from dbproxy.admin.commands.times import shown_time
from dbproxy.admin.statistics import MOST_DAYS, MOST_LISTED, Statistics
from dbproxy.option_types import whole_number

_MIB = 1 << 20


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = add_command(topics, "stats", _stats, "show how many users, groups and messages there are")
    parser.add_argument("--days", metavar="N", type=whole_number(1, MOST_DAYS), default=14, help="days of messages (default: %(default)s)")
    most = "the biggest groups and the most active conversations, so many of each (default: %(default)s)"
    parser.add_argument("--top", metavar="N", type=whole_number(1, MOST_LISTED), default=10, help=most)
    parser.add_argument(
        "--hours", metavar="N", type=whole_number(1, 24 * MOST_DAYS), default=24, help="active in so many last hours (default: %(default)s)"
    )


def _stats(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    statistics = Statistics(administration)
    overview = statistics.overview()
    days = statistics.messages_per_day(options.days)
    groups = statistics.biggest_groups(options.top)
    active = statistics.active_conversations(options.top, options.hours)
    if options.json:
        print_json({"overview": overview, "messages_per_day": days, "biggest_groups": groups, "active_conversations": active})
        return EXIT_OK
    size = sum(table.data_bytes + table.index_bytes for table in overview.tables)
    values = {
        "users": f"{overview.users_active} active, {overview.users_disabled} disabled",
        "groups": f"{overview.groups} active, {overview.groups_dismissed} dismissed",
        "messages": f"about {overview.messages_single} between people, about {overview.messages_group} to groups",
        "tables": f"about {size / _MIB:.1f} MiB with their indexes",
    }
    print_details(values)
    print_line("")
    print_table(
        ("table", "rows (about)", "MiB", "indexes MiB"),
        [(table.name, table.rows, f"{table.data_bytes / _MIB:.1f}", f"{table.index_bytes / _MIB:.1f}") for table in overview.tables],
    )
    print_line("")
    print_table(
        ("day", "between people", "to groups", ""), [(day.day, day.single, day.group, "about" if day.estimated else "") for day in days]
    )
    print_line("")
    print_rows(("group id", "name", "members"), [(group.group_id, group.name, group.members) for group in groups], "no groups")
    print_line("")
    print_rows(
        (f"active in {options.hours} h", "conversation", "messages", "last message"),
        [(row.kind, row.title, f"{row.messages}{'+' if row.at_least else ''}", shown_time(row.last)) for row in active],
        f"no conversation was active in {options.hours} h",
    )
    return EXIT_OK
