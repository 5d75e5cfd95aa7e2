"""Exports of conversations: complete, readable by programs and by people, and harmless whatever the messages contain."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import pytest
from administering import administration_of, recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import ForbiddenError, RefusedError
from dbproxy.admin.messages.conversations import Conversations
from dbproxy.admin.messages.message_export import new_file
from dbproxy.testing import Stack, seed
from dbproxy.testing.chat_text import encrypt_text
from dbproxy.testing.stack import AES_KEY

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob"], groups={9: [1, 2]})]

HOSTILE = (
    "</p></article><script>alert(1)</script><img src=x onerror=alert(1)>",
    '" onmouseover="alert(1)',
    "😀🧵𠮷",
    "\u202eright to left שלום",
    "a\x00b\x1b[31m\x0c\x7f\x85\u2028c",
    "two\nlines\tand a tab",
)


@pytest.fixture
def administration(stack: Stack) -> Iterator[Administration]:
    seed.group_messages(stack, 1, 9, HOSTILE, created=1_700_000_000)
    stack.rows("update IMGroup set name='<b>&\"小组'")
    stack.rows("update IMUser set nick='<i>ali' where id=1")
    with administration_of(stack) as opened:
        yield opened


def exported(administration: Administration, output: str, **span: int) -> str:
    conversations, stream = Conversations(administration), io.StringIO()
    conversations.export(conversations.of_group(9), output, stream, **span)
    return stream.getvalue()


class Page(HTMLParser):
    """The elements of a page, and the texts of its messages."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.attributes: set[str] = set()
        self.messages: list[str] = []
        self._in_message = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self._in_message = tag == "p" and ("dir", "auto") in attrs
        if self._in_message:
            self.messages.append("")

    def handle_endtag(self, tag: str) -> None:
        self._in_message = False

    def handle_data(self, data: str) -> None:
        if self._in_message:
            self.messages[-1] += data


def test_lines_of_json_have_every_message_unchanged_and_the_oldest_first(stack: Stack, administration: Administration) -> None:
    seed.group_messages(stack, 2, 9, [encrypt_text("secret", AES_KEY).decode()], first_msg_id=7, created=1_700_000_100)
    stack.rows("update IMGroupMessage_1 set status=1 where msgId=2")
    text = exported(administration, "jsonl")
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == text.count("\n") == 7
    assert [line["content"] for line in lines] == [*HOSTILE, "secret"]
    assert [line["msg_id"] for line in lines if line["hidden"]] == [2]
    assert lines[6] == {
        "msg_id": 7,
        "time": "2023-11-14T22:15:00Z",
        "created": 1_700_000_100,
        "from_id": 2,
        "from_name": "Bob",
        "kind": "text",
        "content": "secret",
        "encrypted": True,
        "hidden": False,
        "row_id": 7,
    }


def test_a_page_shows_hostile_texts_as_texts(administration: Administration) -> None:
    text = exported(administration, "html")
    page = Page(text)
    assert set(page.elements) <= {"html", "head", "meta", "title", "style", "body", "h1", "p", "article", "header", "b", "bdi", "time"}
    assert page.attributes <= {"lang", "charset", "http-equiv", "content", "name", "dir", "class", "datetime"}
    shown = [
        text.replace("\0", "␀").replace("\x1b", "␛").replace("\x0c", "␌").replace("\x7f", "␡").replace("\x85", "\ufffd") for text in HOSTILE
    ]
    assert page.messages == shown
    assert "default-src 'none'" in text
    assert "<title>&lt;b&gt;&amp;&quot;小组</title>" in text
    assert text.count("<bdi>&lt;i&gt;ali</bdi>") == len(HOSTILE)
    assert "6 messages." in text
    assert not set(text) & {"\0", "\x1b", "\x0c", "\x7f", "\x85"}


def test_a_long_conversation_is_exported_whole(stack: Stack, administration: Administration) -> None:
    stack.rows("delete from IMGroupMessage_1")
    seed.group_messages(stack, 1, 9, [f"m{number}" for number in range(1203)])
    lines = [json.loads(line) for line in exported(administration, "jsonl").splitlines()]
    assert [line["content"] for line in lines] == [f"m{number}" for number in range(1203)]
    some = exported(administration, "jsonl", since=seed.T0 + 1 + 500, until=seed.T0 + 1 + 1000)
    assert [json.loads(line)["content"] for line in some.splitlines()] == [f"m{number}" for number in range(500, 1000)]
    assert [(line["action"], line["details"]["messages"]) for line in recorded_by(administration)] == [
        ("messages.export", 1203),
        ("messages.export", 500),
    ]


def test_an_export_of_nothing_is_complete(administration: Administration) -> None:
    assert exported(administration, "jsonl", until=5) == ""
    assert Page(exported(administration, "html", until=5)).messages == []


def test_another_format_and_reading_that_is_off_are_refused(stack: Stack, administration: Administration) -> None:
    with pytest.raises(RefusedError, match="'pdf' is no format: give one of jsonl, html"):
        exported(administration, "pdf")
    with administration_of(stack, {"AdminReadMessages": "off"}) as forbidden, pytest.raises(ForbiddenError):
        exported(forbidden, "jsonl")


def test_a_file_has_its_name_once_it_is_complete_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    path = tmp_path / "export.html"
    path.write_text("the former one")

    def fail() -> None:
        with new_file(path) as stream:
            stream.write("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert path.read_text() == "the former one"
    assert [file.name for file in tmp_path.iterdir()] == ["export.html"]
    with new_file(path) as stream:
        stream.write("whole 小组")
    assert (path.read_text(encoding="utf-8"), path.stat().st_mode & 0o777) == ("whole 小组", 0o600)
    assert [file.name for file in tmp_path.iterdir()] == ["export.html"]
    with pytest.raises(RefusedError, match="absent/x cannot be written: No such file"), new_file(tmp_path / "absent" / "x"):
        pass
