"""What services say is shown in the language of the page, as far as the table has it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask_babel import Babel, force_locale

import dbproxy.admin
from dbproxy.admin.groups.member_changes import IS_OFF, NOT_TOLD, TOO_MANY
from dbproxy.admin.web import app
from dbproxy.admin.web.service_texts import TEXTS, told

SOURCES = Path(dbproxy.admin.__file__).parent


@pytest.fixture
def chinese() -> Iterator[None]:
    flask = Flask("texts")
    Babel(flask, default_translation_directories=str(Path(app.__file__).parent / "translations"))
    with flask.test_request_context(), force_locale("zh"):
        yield


def literals() -> set[str]:
    """The texts of the sources, with a zero byte for each value that is filled in."""
    found = set()
    for path in (path for path in SOURCES.rglob("*.py") if not {"web", "commands"} & set(path.relative_to(SOURCES).parts)):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.add("".join(str(part.value) if isinstance(part, ast.Constant) else "\0" for part in node.values))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.add(node.value)
    return found


def test_the_table_has_the_texts_of_the_sources() -> None:
    """If not: a text was changed; change it in service_texts.py and its translation, too."""
    known = literals()
    assert [text for text in TEXTS if re.sub(r"%\(\w+\)s", "\0", text) not in known] == []
    assert len(set(TEXTS)) == len(TEXTS)


@pytest.mark.usefixtures("chinese")
def test_a_text_is_told_with_what_was_filled_in() -> None:
    assert told("the name 'x y' is taken by the user with the id 7") == "用户名 'x y' 已被编号为 7 的用户使用"
    assert told("no users are given") == "没有给出用户"
    assert told(f"{IS_OFF}: {NOT_TOLD}") == "未设置 HttpMsgServer：不会通知在线的客户端；它们重新登录后会看到"
    assert str(told(f"{TOO_MANY}: {NOT_TOLD}")).startswith("超过 20,000 个用户时不使用 http_msg_server：不会")
    assert told("the sign info is empty; it needs 1 to 5 characters") == "个性签名 为空；需要 1 到 5 个字符"
    assert told("the name '%(name)s\n{0}' is taken by the user with the id 7") == "用户名 '%(name)s\n{0}' 已被编号为 7 的用户使用"


@pytest.mark.usefixtures("chinese")
@pytest.mark.parametrize("text", ["something else", "", "no users are given, really", "no users are given: really", None, 7])
def test_what_is_not_in_the_table_stays_as_it_is(text: object) -> None:
    assert told(text) == text


def test_in_english_everything_stays_as_it_is() -> None:
    flask = Flask("texts")
    Babel(flask)
    with flask.test_request_context():
        assert told("no users are given") == "no users are given"
