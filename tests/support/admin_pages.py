"""What the tests of the pages of dbproxy-admin have in common: data of every kind, and texts that pages must survive."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator

from admin_site import Visitor
from flask import Flask
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from dbproxy.testing import Stack, seed

SCRIPT = '<script>window.attacked = 1</script><img src=x onerror="window.attacked = 1">'
QUOTES = "\"'><b>&amp;</textarea>--;`${7*7}{{7*7}}%(x)s %s"
EMOJI = "👩‍👩‍👧‍👦 🀄 𠮷野家"
RIGHT_TO_LEFT = "\u202eeman resu\u202d שלום مرحبا"
CONTROL = "a\x01b\x00\x1b[31mc\x7fd\x85e"

HOSTILE = (SCRIPT, QUOTES, EMOJI, RIGHT_TO_LEFT, CONTROL)
"""Texts that somebody may have stored."""

EXAMPLES = {"user_id": "1", "department_id": "1", "group_id": "9", "kind": "group", "conversation_id": "9", "output": "jsonl"}
"""Parameters of addresses that exist in ``fill``."""


def fill(stack: Stack) -> None:
    """Users 1 to 8 with hostile names and values, the departments 1 to 3, the group 9, a conversation of 1 and 2, a phone of 1."""
    seed.department(stack, 1, "Engineering")
    seed.department(stack, 2, SCRIPT[:60], parent_id=1)
    seed.department(stack, 3, RIGHT_TO_LEFT, parent_id=2)
    seed.users(stack, "alice", "bob", "carol")
    for number, text in enumerate(HOSTILE, 4):
        seed.user(
            stack,
            number,
            text[:30] + str(number),
            depart_id=2,
            nick=text[:30],
            email=text[:60],
            avatar=text,
            sign_info=text[:40],
            phone="1",
        )
    seed.group(stack, 9, range(1, 9), name=SCRIPT)
    seed.group(stack, 10, [2, 3], name=RIGHT_TO_LEFT)
    seed.group_messages(stack, 1, 9, ["good morning", *HOSTILE])
    relation = seed.relation(stack, 1, 2)
    seed.session(stack, 1, 2)
    seed.session(stack, 2, 1)
    seed.messages(stack, 1, 2, ["hello bob", *HOSTILE], relate_id=relation)
    seed.redis_key(stack, "device_1", "android:0123456789abcdef")
    seed.redis_key(stack, "device_0123456789abcdef", "1")


def text_of(response: TestResponse) -> str:
    """Return what a page says, without its markup."""
    page = re.sub(r"<(script|head)\b.*?</\1>", "", response.get_data(as_text=True), flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))


def hidden(visitor: Visitor, path: str) -> dict[str, str]:
    """Return the hidden fields of the pages's forms, the token excepted, as a browser sends them back."""
    page = visitor.get(path).get_data(as_text=True)
    found = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', page)
    return {name: html.unescape(value) for name, value in found if name not in ("csrf_token", "next")}


def paths_of(app: Flask, method: str, **parameters: str) -> Iterator[tuple[Rule, str]]:
    """Yield every rule with a method, and an address for it; parameters that are not given are those of ``EXAMPLES``."""
    values = EXAMPLES | parameters
    for rule in app.url_map.iter_rules():
        if method in (rule.methods or set()):
            yield rule, re.sub(r"<(?:[^<>]*:)?(\w+)>", lambda match: values.get(match[1], "unknown"), rule.rule)
