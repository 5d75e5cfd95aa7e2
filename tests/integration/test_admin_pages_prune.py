"""The pages that archive old messages."""

from __future__ import annotations

import re
import time
from datetime import date, timedelta

import pytest
from admin_pages import text_of
from admin_site import AdminApp, Visitor

from dbproxy.admin.access.roles import Role
from dbproxy.admin.web.jobs import Job
from dbproxy.testing import Stack, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(120)

TODAY = date.today()


@pytest.fixture
def owner(admin_app: AdminApp, stack: Stack) -> Visitor:
    seed.users(stack, "alice", "bob")
    relation = seed.relation(stack, 1, 2)
    seed.messages(stack, 1, 2, [f"old {number}" for number in range(10)], relate_id=relation, created=int(time.time()) - 400 * 86400)
    seed.messages(stack, 1, 2, ["new"], relate_id=relation, first_msg_id=11, created=int(time.time()) - 60)
    return admin_app.visitor(Role.OWNER)


def settled(visitor: Visitor) -> str:
    assert eventually(lambda: 'http-equiv="refresh"' in visitor.get("/prune").text, False, 60) is False
    return visitor.get("/prune").text


def test_messages_are_counted_first_and_then_archived(owner: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    day = (TODAY - timedelta(days=180)).isoformat()
    assert owner.post("/prune/plan", {"day": day}, form="/prune").location == "/prune"
    page = settled(owner)
    assert "10 messages before" in page
    assert len(stack.rows("select id from IMMessage_1")) == 11
    before = re.findall(r'name="before" value="(\d+)"', page)[0]
    assert owner.post("/prune/run", {"before": before}, form="/prune").location == "/prune"
    page = settled(owner)
    assert 'id="removed">10 messages were removed.' in page
    assert "IMMessage_1.jsonl.gz" in page
    assert [row["content"] for row in stack.rows("select content from IMMessage_1")] == ["new"]
    assert len(list((admin_app.site.directory / "archive").glob("prune-*/IMMessage_1.jsonl.gz"))) == 1
    assert admin_app.log.newest(1)[0][0]["action"] == "messages.prune"


def test_an_archive_is_listed_and_put_back(owner: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    before = stack.snapshot()
    assert 'id="archives"' not in owner.get("/prune").text
    owner.post("/prune/run", {"before": str(int(time.time()) - 180 * 86400)}, form="/prune")
    (name,) = re.findall(r'name="name" value="([^"]+)"', settled(owner))
    assert owner.post("/prune/restore", {"name": name}, form="/prune").location == "/prune"
    assert 'id="restored">10 messages were put back.' in settled(owner)
    assert stack.snapshot() == before
    assert admin_app.log.newest(1)[0][0]["action"] == "messages.restore"
    for other in ("", "prune-x", "../archive/" + name):
        answer = owner.post("/prune/restore", {"name": other}, form="/prune")
        assert (answer.status_code, "There is no such archive" in answer.text) == (400, True)


@pytest.mark.parametrize(("day", "said"), [("", "No day was given"), ("soon", "the day is 'soon'")])
def test_a_day_that_is_none_is_refused(owner: Visitor, day: str, said: str) -> None:
    answer = owner.post("/prune/plan", {"day": day}, form="/prune")
    assert (answer.status_code, said in text_of(answer)) == (400, True)


def test_new_messages_are_not_archived(owner: Visitor, stack: Stack) -> None:
    owner.post("/prune/plan", {"day": (TODAY + timedelta(days=1)).isoformat()}, form="/prune")
    assert "are not archived" in settled(owner)
    assert owner.post("/prune/run", {"before": "now"}, form="/prune").status_code == 400
    owner.post("/prune/run", {"before": str(int(time.time()))}, form="/prune")
    assert "are not archived" in settled(owner)
    assert len(stack.rows("select id from IMMessage_1")) == 11


def test_a_run_that_is_stopped_goes_on_the_next_time(owner: Visitor, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    before = str(int(time.time()) - 180 * 86400)
    progress = Job.progress

    def stopping(job: Job, done: int, total: int | None = None) -> None:
        owner.post("/prune/stop", {}, form="/account")
        progress(job, done, total)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "progress", stopping)
        owner.post("/prune/run", {"before": before}, form="/prune")
        page = settled(owner)
    assert "Stopped." in page
    assert "do it again, and it goes on from there" in page
    owner.post("/prune/run", {"before": before}, form="/prune")
    assert "messages were removed" in settled(owner)
    assert [row["content"] for row in stack.rows("select content from IMMessage_1")] == ["new"]


def test_an_operator_may_not_archive(admin_app: AdminApp, owner: Visitor) -> None:
    operator = admin_app.visitor(Role.OPERATOR)
    assert operator.get("/prune").status_code == 403
    assert "/prune" not in operator.get("/users").text
