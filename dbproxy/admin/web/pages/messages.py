"""Pages of conversations: chosen, read, searched, exported; messages are hidden and shown again. The thread of the request.

The services refuse all of it where ``AdminReadMessages`` is off, and record what is read.
"""

from __future__ import annotations

from functools import partial

from flask import render_template, request
from flask_babel import gettext, lazy_gettext
from werkzeug.exceptions import NotFound

from dbproxy.admin.access.roles import Permission
from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.messages.conversations import Conversations
from dbproxy.admin.messages.shown_messages import Conversation
from dbproxy.admin.web.pages.inputs import ID, Answer, beginning_of_day, download, end_of_day, form_id, position, query_id, query_text
from dbproxy.admin.web.views import Pages, administration, check_reading, go_to, say

pages = Pages("messages")

CONVERSATION = f"<any(people, group):kind>/{ID % 'conversation_id'}"

KINDS = {"people": lazy_gettext("two users"), "group": lazy_gettext("group")}

FORMATS = {"html": lazy_gettext("a page"), "jsonl": lazy_gettext("JSON lines")}

MIMETYPES = {"jsonl": "application/x-ndjson", "html": "text/html"}


@pages.page("/messages", Permission.READ)
def index() -> Answer:
    """List the conversations that were used last, and find one by its people or its group."""
    conversations = Conversations(administration())
    values = {name: query_text(name) for name in ("user", "peer", "group")}
    problem = ""
    if values["group"] or values["user"] or values["peer"]:
        try:
            found = _find(conversations, values)
            return go_to("messages.show", kind=found.kind, conversation_id=found.conversation_id)
        except (RefusedError, NotFoundError) as refusal:
            problem = str(refusal)
    after = position()
    page = render_template(
        "messages/index.html", page=conversations.recent(after), values=values, kind_texts=KINDS, after=after, problem=problem
    )
    return page, 400 if problem else 200


@pages.page(f"/messages/{CONVERSATION}", Permission.READ)
def show(kind: str, conversation_id: int) -> Answer:
    """Show the messages of a conversation, or those with a text, newest first."""
    conversations = Conversations(administration())
    conversation = conversations.by_id(kind, conversation_id)
    values = {name: query_text(name) for name in ("text", "since", "until")}
    problem, page, after = "", None, position()
    try:
        since, until = beginning_of_day(values["since"], "first day"), end_of_day(values["until"], "last day")
        read = partial(conversations.search, conversation, values["text"]) if values["text"] else partial(conversations.page, conversation)
        page = read(after=after, since=since, until=until)
    except RefusedError as refusal:
        problem = str(refusal)
    page_text = render_template(
        "messages/show.html", conversation=conversation, page=page, values=values, format_texts=FORMATS, after=after, problem=problem
    )
    return page_text, 400 if problem else 200


@pages.page(f"/messages/{CONVERSATION}/export.<any(jsonl, html):output>", Permission.READ)
def export(kind: str, conversation_id: int, output: str) -> Answer:
    """Answer with the messages of a conversation and a span of days as a file."""
    conversations = Conversations(administration())
    conversation = conversations.by_id(kind, conversation_id)
    since, until = beginning_of_day(query_text("since"), "first day"), end_of_day(query_text("until"), "last day")
    name = f"{kind}-{conversation_id}.{output}"
    return download(name, MIMETYPES[output], lambda stream: conversations.export(conversation, output, stream, since=since, until=until))


@pages.page(f"/messages/{CONVERSATION}/hide", Permission.CHANGE, methods=("GET", "POST"))
def hide(kind: str, conversation_id: int) -> Answer:
    """Let clients not get a message any more, after saying what that means."""
    return _set_hidden(kind, conversation_id, hidden=True)


@pages.page(f"/messages/{CONVERSATION}/unhide", Permission.CHANGE, methods=("GET", "POST"))
def unhide(kind: str, conversation_id: int) -> Answer:
    """Let clients get a hidden message again."""
    return _set_hidden(kind, conversation_id, hidden=False)


def _set_hidden(kind: str, conversation_id: int, *, hidden: bool) -> Answer:
    check_reading()  # the page says whose conversation it is
    conversations = Conversations(administration())
    conversation = conversations.by_id(kind, conversation_id)
    change = conversations.hide if hidden else conversations.unhide
    if request.method == "POST":
        msg_id = form_id("msg_id", "msg_id")
        change(conversation, msg_id)
        text = (
            gettext("Message %(number)s is hidden.", number=msg_id)
            if hidden
            else gettext("Message %(number)s is shown again.", number=msg_id)
        )
        say(text)
        return go_to("messages.show", kind=kind, conversation_id=conversation_id)
    found = query_id("msg_id")
    if found is None:
        raise NotFound
    planned = change(conversation, found, dry_run=True)
    return render_template("messages/hide.html", conversation=conversation, planned=planned, hiding=hidden)


def _find(conversations: Conversations, values: dict[str, str]) -> Conversation:
    group, user, peer = values["group"], values["user"], values["peer"]
    if group:
        number = int(group) if group.isascii() and group.isdigit() and len(group) <= 10 else 0
        return conversations.of_group(number)
    return conversations.between(user, peer)
