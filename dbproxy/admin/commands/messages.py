"""``dbproxy-admin messages``: shows, searches and exports conversations, and hides messages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dbproxy.admin.administration import Administration
from dbproxy.admin.commands.frame import (
    EXIT_OK,
    Commands,
    Run,
    add_command,
    add_paging,
    add_topic,
    print_error,
    print_following,
    print_json,
    print_line,
    print_note,
    print_page,
    printable,
)
from dbproxy.admin.commands.times import ACCEPTED, point_in_time, shown_time
from dbproxy.admin.commands.users_csv import STANDARD
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.messages.conversations import SEARCH_ROWS, Conversations, StatusChange
from dbproxy.admin.messages.message_export import FORMATS, new_file
from dbproxy.admin.messages.shown_messages import Conversation, ConversationRow, ShownMessage
from dbproxy.admin.page import Page
from dbproxy.admin.people.named_users import LARGEST_ID
from dbproxy.models.message_reader import time_of
from dbproxy.option_types import whole_number


def add_commands(topics: Commands[argparse.ArgumentParser]) -> None:
    """Add the topic."""
    commands = add_topic(topics, "messages", "show, search and export conversations, hide messages")
    parser = add_command(commands, "recent", _recent, "list the conversations that were used last")
    add_paging(parser)
    parser = _add(commands, "show", _show, "show the messages of a conversation, newest first", ())
    _add_span(parser)
    add_paging(parser)
    parser = _add(commands, "search", _search, "search for a text in a conversation, whatever the letter case", ("TEXT",))
    _add_span(parser)
    add_paging(parser)
    parser = _add(commands, "export", _export, "write a conversation to a file, oldest message first", ())
    _add_span(parser)
    parser.add_argument("--format", choices=list(FORMATS), default="jsonl", help="JSON lines or one HTML page (default: %(default)s)")
    parser.add_argument("--output", metavar="FILE", type=Path, required=True, help="the file; an existing one is replaced")
    _add(commands, "hide", _hide, "let clients not get a message any more", ("MSG_ID",), changes=True)
    _add(commands, "unhide", _unhide, "let clients get a hidden message again", ("MSG_ID",), changes=True)


def _add(
    commands: Commands[argparse.ArgumentParser], name: str, run: Run, summary: str, further: Sequence[str], *, changes: bool = False
) -> argparse.ArgumentParser:
    """Add a command about one conversation: ``USER PEER`` or ``--group ID``, and then the arguments ``further``."""
    parser = add_command(commands, name, run, summary, changes=changes)
    words = " ".join(further)
    parser.usage = f"%(prog)s [options] {f'(USER PEER | --group ID) {words}'.strip()}"
    what = f"two users, by id or login name{f'; and {words}' if words else ''}"
    parser.add_argument("words", metavar="USER PEER", nargs="*", help=what)
    parser.add_argument("--group", metavar="ID", type=whole_number(1, LARGEST_ID), help="the conversation of this group")
    parser.set_defaults(further=further, usage_error=parser.error)
    return parser


def _add_span(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="TIME", type=point_in_time, help=f"no older messages: {ACCEPTED}")
    parser.add_argument("--until", metavar="TIME", type=point_in_time, help="only messages from before then")


def _recent(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    page = Conversations(administration).recent(options.after, options.limit)
    if options.json:
        print_json(page)
        return EXIT_OK
    columns = ("kind", "id", "conversation", "users", "last message")
    print_page(
        page, columns, lambda row: (row.kind, row.conversation_id, row.title, _login_names(row), shown_time(row.last)), "no conversations"
    )
    return EXIT_OK


def _login_names(row: ConversationRow) -> str:
    """The two users of a conversation as other commands take them."""
    return " ".join(person.name or str(person.user_id) for person in (row.first_user, row.second_user) if person is not None)


def _show(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    conversations = Conversations(administration)
    conversation, _ = _conversation(conversations, options)
    page = conversations.page(conversation, options.after, options.limit, since=options.since, until=options.until)
    return _print_page(conversation, page, options)


def _search(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    conversations = Conversations(administration)
    conversation, (text,) = _conversation(conversations, options)
    page = conversations.search(conversation, text, since=options.since, until=options.until, after=options.after, limit=options.limit)
    return _print_page(conversation, page, options, searched=True)


def _export(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    conversations = Conversations(administration)
    conversation, _ = _conversation(conversations, options)
    administration.require_reading()
    if str(options.output) == STANDARD:
        raise RefusedError(f"a conversation is written to a file that only its owner may read, not to the standard output ({STANDARD})")
    with new_file(options.output) as stream:
        count = conversations.export(conversation, options.format, stream, since=options.since, until=options.until)
    if options.json:
        print_json({"conversation": conversation, "messages": count, "file": options.output})
    else:
        _say_others(conversation)
        print_line(f"{count} messages of {conversation.title} written to {options.output}")
    return EXIT_OK


def _hide(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    return _set_status(administration, options, hide=True)


def _unhide(administration: Administration, options: Any) -> int:  # noqa: ANN401 - argparse
    return _set_status(administration, options, hide=False)


def _set_status(administration: Administration, options: Any, *, hide: bool) -> int:  # noqa: ANN401 - argparse
    conversations = Conversations(administration)
    conversation, (number,) = _conversation(conversations, options)
    try:
        msg_id = whole_number(1, LARGEST_ID)(number)
    except argparse.ArgumentTypeError as error:
        options.usage_error(f"MSG_ID: {error}")
    change = (conversations.hide if hide else conversations.unhide)(conversation, msg_id, dry_run=options.dry_run)
    if options.json:
        print_json({**_plain(change), "dry_run": options.dry_run})
        return EXIT_OK
    state = "hidden" if change.hidden else "visible"
    if not change.changed:
        print_line(f"message {msg_id} of {conversation.title} is {state} already")
    else:
        print_line(f"message {msg_id} of {conversation.title} {'would be' if options.dry_run else 'is now'} {state}")
        print_note(change.notice)
    return EXIT_OK


def _plain(change: StatusChange) -> dict[str, object]:
    return {
        "conversation": change.conversation,
        "msg_id": change.msg_id,
        "hidden": change.hidden,
        "changed": change.changed,
        "notice": change.notice,
    }


def _conversation(conversations: Conversations, options: Any) -> tuple[Conversation, list[str]]:  # noqa: ANN401 - argparse
    """Return the conversation that the command line names, and the further arguments."""
    words: list[str] = options.words
    expected = len(options.further) + (0 if options.group is not None else 2)
    if len(words) != expected:
        needed = " ".join([*([] if options.group is not None else ["USER", "PEER"]), *options.further]) or "no further argument"
        options.usage_error(f"{len(words)} arguments given, expected {needed}")
    if options.group is not None:
        return conversations.of_group(options.group), words
    return conversations.between(words[0], words[1]), words[2:]


def _print_page(conversation: Conversation, page: Page[ShownMessage], options: Any, *, searched: bool = False) -> int:  # noqa: ANN401
    if options.json:
        print_json({"conversation": conversation, "messages": page.entries, "following": page.following})
        return EXIT_OK
    _say_others(conversation)
    print_line(f"{conversation.title} ({conversation.target})")
    if not page.entries:
        print_line("no messages")
    for message in page.entries:
        marks = "".join([" [hidden]" if message.hidden else "", " [not shown by clients]" if message.kind == "other" else ""])
        print_line(f"{shown_time(message.created)}  #{message.msg_id}  {message.from_name}{marks}")
        for line in _content(message).split("\n"):
            print_line(f"    {printable(line)}")
    if searched and page.following is not None and len(page.entries) < options.limit:
        print_error(f"{SEARCH_ROWS} messages searched, back to {shown_time(time_of(page.following))}; more are left")
    print_following(page.following)
    return EXIT_OK


def _content(message: ShownMessage) -> str:
    if message.kind != "sound":
        return message.content
    if message.size is None:
        return "[sound, not found]"
    return f"[sound, {message.seconds} s, {message.size} bytes, {message.path}]"


def _say_others(conversation: Conversation) -> None:
    if conversation.others:
        also = ", ".join(map(str, conversation.others))
        print_error(
            f"these two have further relations ({also}), whose messages clients cannot read and which are not here: "
            "dbproxy-audit --merge brings them together"
        )
