"""Conversations of dbproxy-admin: what is shown, found and hidden, on what a proxy has stored."""

from __future__ import annotations

from typing import Any

import pytest
from administering import administration_of, recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import ForbiddenError, NotFoundError, RefusedError
from dbproxy.admin.messages.conversations import Conversations
from dbproxy.admin.messages.shown_messages import Conversation, ConversationRow, ShownMessage
from dbproxy.models import message_status
from dbproxy.models.message_status import FoundMessage
from dbproxy.testing import Client, Stack, seed
from dbproxy.testing.chat_text import encrypt_text
from dbproxy.testing.requests import GROUP, SINGLE
from dbproxy.testing.stack import AES_KEY

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

HOSTILE = (
    "<script>alert(1)</script>",
    "'; drop table IMUser; -- %s %d {0}",
    "😀🧵𠮷",
    "\u202eright to left\u202c שלום",
    "nul \x00 and \x1b[31m escapes \r\n\t\x7f\x85\u2028",
    " ",
    "100%_\\",
)


@pytest.fixture
def conversations(administration: Administration) -> Conversations:
    return Conversations(administration)


def everything(conversations: Conversations, conversation: Conversation, limit: int = 50) -> list[ShownMessage]:
    found: list[ShownMessage] = []
    after = None
    while True:
        page = conversations.page(conversation, after, limit)
        assert len(page.entries) <= limit
        found += page.entries
        after = page.following
        if after is None:
            return found


def texts(messages: list[ShownMessage]) -> list[str]:
    return [message.content for message in messages]


def test_a_conversation_is_shown_as_its_people_see_it(conversations: Conversations, dbproxy_client: Client) -> None:
    for number in range(5):
        dbproxy_client.send_message(1 + number % 2, 2 - number % 2, f"text {number}", create_time=1000 + number)
    by_id, by_name = conversations.between(1, 2), conversations.between("bob", "alice")
    assert by_id == by_name
    assert by_id.title == "Alice — Bob"
    assert by_id.others == ()
    shown = everything(conversations, by_id, limit=2)
    assert [(m.msg_id, m.from_id, m.from_name, m.created, m.kind, m.content, m.hidden) for m in shown] == [
        (5, 1, "Alice", 1004, "text", "text 4", False),
        (4, 2, "Bob", 1003, "text", "text 3", False),
        (3, 1, "Alice", 1002, "text", "text 2", False),
        (2, 2, "Bob", 1001, "text", "text 1", False),
        (1, 1, "Alice", 1000, "text", "text 0", False),
    ]
    assert [m.msg_id for m in dbproxy_client.messages(1, 2).msg_list] == [m.msg_id for m in shown]


def test_what_clients_have_encrypted_is_shown_as_text_and_other_text_as_it_is(conversations: Conversations, dbproxy_client: Client) -> None:
    sent = [*HOSTILE[:5], "x" * 16, "y" * 12, "z" * 13, "", "长" * 200]
    for text in sent:
        dbproxy_client.send_message(1, 2, encrypt_text(text, AES_KEY))
    for text in ("aGVsbG8=", "A" * 24, encrypt_text("of another key", AES_KEY[::-1]).decode()):
        dbproxy_client.send_message(1, 2, text)
    shown = everything(conversations, conversations.between(1, 2))[::-1]
    assert [(m.content, m.encrypted) for m in shown[: len(sent)]] == [(text, True) for text in sent]
    assert texts(shown[len(sent) :])[:2] == ["aGVsbG8=", "A" * 24]
    assert [m.encrypted for m in shown[len(sent) :]] == [False] * 3


def test_whatever_a_message_contains_it_is_shown_unchanged(conversations: Conversations, dbproxy_client: Client) -> None:
    for text in HOSTILE:
        assert dbproxy_client.send_group_message(1, 9, text).msg_id
    assert texts(everything(conversations, conversations.of_group(9), limit=3)) == list(reversed(HOSTILE))


def test_pages_follow_the_order_of_the_proxy_where_ids_and_times_disagree(stack: Stack, conversations: Conversations) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    for first, created in ((1, 500), (4, 100), (7, 300), (10, 100), (13, 500)):
        seed.messages(stack, 1, 2, ["a", "b", "c"], relate_id=1, first_msg_id=first, created=created)
    stack.rows("update IMMessage_1 set status=1 where msgId in (2, 8, 13)")
    stack.rows("update IMMessage_1 set status=7 where msgId=5")
    expected = [row["msgId"] for row in stack.rows("select msgId from IMMessage_1 order by created desc,id desc")]
    conversation = conversations.between(1, 2)
    for limit in (1, 2, 4, 50):
        shown = everything(conversations, conversation, limit)
        assert [m.msg_id for m in shown] == expected
        assert {m.msg_id for m in shown if m.hidden} == {2, 5, 8, 13}


def test_a_time_span_has_its_first_second_and_not_its_last(stack: Stack, conversations: Conversations) -> None:
    seed.group_messages(stack, 1, 9, [f"m{number}" for number in range(10)], created=1000)
    page = conversations.page(conversations.of_group(9), since=1003, until=1006)
    assert texts(list(page.entries)) == ["m5", "m4", "m3"]
    assert page.following is None
    assert conversations.page(conversations.of_group(9), since=1 << 70).entries == []


def test_messages_that_arrive_between_two_pages_shift_nothing(conversations: Conversations, dbproxy_client: Client) -> None:
    for number in range(4):
        dbproxy_client.send_group_message(1, 9, f"{number}")
    conversation = conversations.of_group(9)
    first = conversations.page(conversation, limit=2)
    dbproxy_client.send_group_message(1, 9, "late")
    second = conversations.page(conversation, first.following, limit=2)
    assert texts([*first.entries, *second.entries]) == ["3", "2", "1", "0"]
    assert second.following is None


def test_sounds_are_shown_with_their_size_and_duration(stack: Stack, conversations: Conversations) -> None:
    seed.insert(stack, "IMAudio", [{"id": 77, "fromId": 1, "toId": 9, "path": "g0/1/x", "size": 321, "duration": 4, "created": seed.T0}])
    seed.group_messages(stack, 1, 9, ["77", "78", "no id"])
    stack.rows("update IMGroupMessage_1 set type=18")
    stack.rows("update IMGroupMessage_1 set type=99 where msgId=3")
    shown = everything(conversations, conversations.of_group(9))[::-1]
    assert [(m.kind, m.content, m.size, m.seconds, m.path) for m in shown] == [
        ("sound", "", 321, 4, "g0/1/x"),
        ("sound", "", None, None, ""),
        ("other", "no id", None, None, ""),
    ]


def test_of_several_relations_the_one_that_clients_read_is_shown_and_the_others_are_named(
    stack: Stack, conversations: Conversations, dbproxy_client: Client
) -> None:
    seed.relation(stack, 1, 2, relate_id=11)
    seed.relation(stack, 1, 2, relate_id=12)
    seed.relation(stack, 1, 2, relate_id=13)
    stack.rows("update IMRelationShip set status=1 where id=11")
    for relate_id in (11, 12, 13):
        seed.messages(stack, 1, 2, [f"of {relate_id}"], relate_id=relate_id)
    conversation = conversations.between(1, 2)
    assert (conversation.conversation_id, conversation.others) == (13, (12, 11))
    assert texts(everything(conversations, conversation)) == ["of 13"]
    assert [m.msg_data for m in dbproxy_client.messages(1, 2).msg_list] == [b"of 13"]
    assert conversation.is_read
    assert conversations.by_id("people", 13) == conversation
    other = conversations.by_id("people", 12)
    assert not other.is_read
    assert (texts(everything(conversations, other)), other.others) == (["of 12"], (13, 11))


def test_what_does_not_exist_is_said_with_what_was_given(stack: Stack, conversations: Conversations) -> None:
    with pytest.raises(NotFoundError, match="no user with this id or login name: 'nobody'"):
        conversations.between("nobody", 1)
    with pytest.raises(NotFoundError, match="1 and 'bob' have no conversation"):
        conversations.between(1, "bob")
    with pytest.raises(RefusedError, match="the same user"):
        conversations.between(1, "alice")
    with pytest.raises(RefusedError, match="0 is no user id"):
        conversations.between(0, 1)
    with pytest.raises(NotFoundError, match="no group 10"):
        conversations.of_group(10)
    with pytest.raises(RefusedError, match="no kind of conversation"):
        conversations.by_id("letters", 1)
    with pytest.raises(NotFoundError, match="no conversation 5"):
        conversations.by_id("people", 5)
    with pytest.raises(RefusedError, match="no length of a page"):
        conversations.page(conversations.of_group(9), limit=501)


def test_messages_of_users_and_groups_without_a_row_can_still_be_read(stack: Stack, conversations: Conversations) -> None:
    seed.relation(stack, 1, 99, relate_id=5)
    seed.messages(stack, 99, 1, ["gone"], relate_id=5)
    seed.group_messages(stack, 1, 9, ["left"])
    stack.rows("delete from IMGroup")
    conversation = conversations.between(1, 99)
    assert conversation.title == "Alice — user 99"
    assert everything(conversations, conversation)[0].from_name == "user 99"
    assert texts(everything(conversations, conversations.of_group(9))) == ["left"]


def test_the_search_finds_text_whatever_its_case_and_whether_it_is_encrypted(conversations: Conversations, dbproxy_client: Client) -> None:
    for number, text in enumerate(("Straße", "STRASSE 100%_", "nothing", "Éclair 😀", "strasse")):
        data = encrypt_text(text, AES_KEY) if number % 2 else text
        dbproxy_client.send_message(1, 2, data, create_time=1000 + number)
    conversation = conversations.between(1, 2)

    def found(text: str, since: int | None = None, until: int | None = None) -> list[str]:
        return texts(list(conversations.search(conversation, text, since=since, until=until).entries))

    assert found("straSSe") == ["strasse", "STRASSE 100%_", "Straße"]
    assert found("strasse", since=1001, until=1004) == ["STRASSE 100%_"]
    assert found("%_") == ["STRASSE 100%_"]
    assert found("éCLAIR 😀") == ["Éclair 😀"]
    assert found("absent") == []
    first = conversations.search(conversation, "strasse", limit=2)
    assert texts(list(first.entries)) == ["strasse", "STRASSE 100%_"]
    assert texts(list(conversations.search(conversation, "strasse", after=first.following).entries)) == ["Straße"]
    with pytest.raises(RefusedError, match="empty"):
        conversations.search(conversation, "  ")


def test_a_long_conversation_is_searched_in_bounded_parts(
    stack: Stack, conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dbproxy.admin.messages.conversations.SEARCH_ROWS", 1000)
    seed.group_messages(stack, 1, 9, ["needle", *(f"hay {number}" for number in range(2499)), "another needle"])
    conversation = conversations.of_group(9)
    pages: list[list[str]] = []
    after = None
    while not pages or after is not None:
        page = conversations.search(conversation, "NEEDLE", after=after)
        pages.append(texts(list(page.entries)))
        after = page.following
    assert pages == [["another needle"], [], ["needle"]]


def test_reading_leaves_a_line_without_contents(administration: Administration, dbproxy_client: Client) -> None:
    dbproxy_client.send_message(1, 2, "a secret")
    dbproxy_client.send_group_message(1, 9, "another secret")
    conversations = Conversations(administration)
    conversations.page(conversations.between(1, 2))
    conversations.search(conversations.of_group(9), "secret", since=1)
    conversations.recent()
    lines = recorded_by(administration)
    assert [(line["action"], line["target"], line["outcome"]) for line in lines] == [
        ("messages.read", "users 1 and 2", "ok"),
        ("messages.search", "group 9", "ok"),
        ("messages.list", "recent conversations", "ok"),
    ]
    assert [line["details"] for line in lines] == [
        {"conversation_id": 1, "messages": 1},
        {"conversation_id": 9, "since": 1, "searched": 1, "messages": 1},
        {"conversations": 2},
    ]
    assert "secret" not in administration.log.path.read_text()


def test_where_reading_is_off_nothing_is_read(stack: Stack) -> None:
    seed.group_messages(stack, 1, 9, ["a secret"])
    with administration_of(stack, {"AdminReadMessages": "off"}) as administration:
        conversations = Conversations(administration)
        group = conversations.of_group(9)
        for attempt in (
            lambda: conversations.page(group),
            lambda: conversations.search(group, "secret"),
            lambda: conversations.recent(),
        ):
            with pytest.raises(ForbiddenError, match="AdminReadMessages"):
                attempt()
        assert conversations.hide(group, 1).changed


def test_the_conversations_used_last_are_listed_page_by_page(stack: Stack, conversations: Conversations) -> None:
    for relate_id, (one, other) in enumerate(((1, 2), (1, 3), (2, 3)), start=1):
        seed.relation(stack, one, other, relate_id=relate_id)
        seed.messages(stack, one, other, ["x", "y"], relate_id=relate_id, created=1000 * relate_id)
    seed.group_messages(stack, 1, 9, ["z"], created=2001)
    stack.rows("delete from IMRelationShip where id=1")
    rows: list[ConversationRow] = []
    after = None
    while True:
        page = conversations.recent(after, limit=3)
        rows += page.entries
        after = page.following
        if after is None:
            break
    assert [(row.kind, row.conversation_id, row.title, row.last, row.messages) for row in rows] == [
        ("people", 3, "Bob — Carol", 3001, 2),
        ("group", 9, "group 9", 2001, 1),
        ("people", 2, "Alice — Carol", 2001, 2),
        ("people", 1, "relation 1, which does not exist", 1001, 2),
    ]


# hiding


@pytest.mark.parametrize("peer", [2, 9])
def test_a_hidden_message_is_gone_for_clients_and_its_id_is_not_given_again(
    stack: Stack, conversations: Conversations, dbproxy_client: Client, peer: int
) -> None:
    session_type = GROUP if peer == 9 else SINGLE
    send = dbproxy_client.send_group_message if peer == 9 else dbproxy_client.send_message
    for text in ("one", "two", "three"):
        send(1, peer, text)
    conversation = conversations.of_group(9) if peer == 9 else conversations.between(1, 2)

    def ids() -> list[int]:
        return [m.msg_id for m in dbproxy_client.messages(1, peer, session_type=session_type).msg_list]

    def last() -> bytes:
        (session,) = dbproxy_client.recent_sessions(1).contact_session_list
        return session.latest_msg_data

    planned = conversations.hide(conversation, 3, dry_run=True)
    assert (planned.hidden, planned.changed, ids()) == (True, True, [3, 2, 1])
    assert conversations.hide(conversation, 3).changed
    assert not conversations.hide(conversation, 3).changed
    assert (ids(), last()) == ([2, 1], b"two")
    assert everything(conversations, conversation)[0].hidden
    flush(stack)
    assert send(1, peer, "four").msg_id == 4
    assert ids() == [4, 2, 1]
    assert conversations.unhide(conversation, 3).changed
    assert ids() == [4, 3, 2, 1]
    assert not conversations.unhide(conversation, 3, dry_run=True).changed


def flush(stack: Stack) -> None:
    with stack.redis("unread") as client:
        client.flushdb()


def test_only_one_message_that_exists_can_be_hidden(stack: Stack, administration: Administration) -> None:
    conversations = Conversations(administration)
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])
    stack.rows("update IMGroupMessage_1 set msgId=2 where msgId=3")
    group = conversations.of_group(9)
    with pytest.raises(RefusedError, match=r"2 messages of group 9 have the msg_id 2 \(rows 2, 3\): run dbproxy-audit --merge"):
        conversations.hide(group, 2)
    with pytest.raises(NotFoundError, match="group 9 has no message with the msg_id 3"):
        conversations.hide(group, 3)
    with pytest.raises(RefusedError, match="0 is no msg_id"):
        conversations.unhide(group, 0)
    assert [row["status"] for row in stack.rows("select status from IMGroupMessage_1")] == [0, 0, 0]
    assert [(line["action"], line["outcome"].partition(":")[0]) for line in recorded_by(administration)] == [
        ("messages.hide", "RefusedError"),
        ("messages.hide", "NotFoundError"),
    ]


def test_a_message_that_is_moved_at_that_moment_is_not_said_to_be_hidden(
    stack: Stack, conversations: Conversations, monkeypatch: pytest.MonkeyPatch
) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two"])
    find, looks = message_status._find, []

    def find_and_move(*arguments: Any) -> list[FoundMessage]:
        found = find(*arguments)
        looks.append(found)
        if len(looks) == 2:  # as a merge does that works at another node
            stack.rows("update IMGroupMessage_1 set id=1000,msgId=3 where msgId=1")
        return found

    monkeypatch.setattr(message_status, "_find", find_and_move)
    with pytest.raises(NotFoundError, match="no message with the msg_id 1"):
        conversations.hide(conversations.of_group(9), 1)
    assert [row["status"] for row in stack.rows("select status from IMGroupMessage_1")] == [0, 0]


def test_hiding_notes_the_time_and_keeps_other_statuses(stack: Stack, conversations: Conversations) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two"])
    stack.rows("update IMGroupMessage_1 set status=5 where msgId=2")
    group = conversations.of_group(9)
    assert conversations.hide(group, 1).changed
    assert not conversations.hide(group, 2).changed
    rows = stack.rows("select status,updated>%s as touched from IMGroupMessage_1 order by id", (seed.T0 + 1000,))
    assert [(row["status"], row["touched"]) for row in rows] == [(1, 1), (5, 0)]
    assert conversations.unhide(group, 2).changed
    assert [row["status"] for row in stack.rows("select status from IMGroupMessage_1 order by id")] == [1, 0]
