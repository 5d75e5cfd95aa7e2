"""The page with answers of the test's own: what a proxy shows seldom, too much of it, none at all, and text that wants to be markup."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from browser import FILES, OpenPage, Watched, from_files, wait_until
from dashboard_status import connection, status

HOSTILE = "<img src=x onerror=\"document.title='broken'\"><script>document.title='broken'</script>&amp;"


class Proxy:
    """What the page gets: a status whose uptime goes on, changed by ``changes``; ``answer`` replaces it."""

    def __init__(self) -> None:
        self.begin = time.monotonic()
        self.pid = 7
        self.changes: dict[str, Any] = {}
        self.connections = [connection(1)]
        self.answer: Callable[[], object] = self.status
        self.asked = 0

    def status(self) -> object:
        uptime = 100 + time.monotonic() - self.begin
        return status(uptime, **({"pid": self.pid, "started": 1_700_000_000} | self.changes))

    def answers(self) -> dict[str, Callable[[], object]]:
        return {"status.json": self._answer, "connections.json": self._connections}

    def _answer(self) -> object:
        self.asked += 1
        return self.answer()

    def _connections(self) -> object:
        # as many as there are, whatever was asked for
        return None if self.answer() is None else {"total": len(self.connections), "connections": self.connections}


@pytest.fixture
def proxy() -> Proxy:
    return Proxy()


@pytest.fixture
def page(open_page: OpenPage, proxy: Proxy) -> Watched:
    watched = open_page()
    from_files(watched.page, proxy.answers())
    watched.page.goto(FILES)
    wait_for(watched, "#tiles dd", "50.0", "49.9", "50.1")
    return watched


def wait_for(watched: Watched, selector: str, *texts: str) -> None:
    wait_until(lambda: watched.text(selector) in texts, watched.page, 15, f"{selector} is one of {texts}, not {watched.text(selector)}")


def cells(watched: Watched, table: str) -> list[list[str]]:
    script = "id => [...document.getElementById(id).tBodies[0].rows].map(row => [...row.cells].map(cell => cell.textContent))"
    found: list[list[str]] = watched.page.evaluate(script, table)
    return found


def test_a_command_has_its_rate_and_its_quantiles(page: Watched) -> None:
    (row,) = cells(page, "commands")
    assert row[0] == "MSG_DATA"
    assert float(row[1]) == pytest.approx(50, abs=1)
    assert row[2:6] == ["0.50 ms", "0.99 ms", "5.50 ms", "9.91 ms"]


def test_commands_that_nobody_asked_for_appear_when_they_are_wanted(page: Watched) -> None:
    page.page.check("#all-commands")
    assert [row[0] for row in cells(page, "commands")] == ["MSG_DATA", "OTHER_VALIDATE_REQ"]
    assert cells(page, "commands")[1][2] == "–"


def test_text_of_the_proxy_is_never_markup(page: Watched, proxy: Proxy) -> None:
    pools = [{**pool, "name": HOSTILE, "server": HOSTILE, "last_failure": HOSTILE} for pool in status(1)["pools"]]
    slow = {"time": 1.0, "command": HOSTILE, "peer": HOSTILE, "uuid": 1, "user_id": None, "batch": 1, "statement": HOSTILE}
    slow |= {"waited": 0.5, "worked": 0.5, "mysql": 0.5, "redis": 0.0, "file_server": 0.0}
    proxy.changes = {
        "log": {"dropped": 0, "warnings": [{"time": 1.0, "level": HOSTILE, "text": HOSTILE}]},
        "reasons": [HOSTILE],
        "ready": False,
        "listen": [HOSTILE],
        "version": HOSTILE,
        "pools": pools,
        "slow": [slow],
        "requests": {HOSTILE: status(1)["requests"]["CID_MSG_DATA"]},
        "queues": {**status(1)["queues"], "by_queue": [{"name": HOSTILE, "waiting": 1}]},
    }
    proxy.connections = [connection(1, peer=HOSTILE)]
    page.page.locator("#connections").scroll_into_view_if_needed()
    wait_for(page, "#reasons li", HOSTILE)
    wait_until(lambda: cells(page, "connections")[0][0] == HOSTILE, page.page, 10, "the peer")
    for table in ("commands", "queues", "pools", "slow", "warnings"):
        assert HOSTILE in [text for row in cells(page, table) for text in row], table
    assert page.page.evaluate("[document.title, document.images.length, document.scripts.length]") == ["dbproxy", 0, 3]
    assert page.errors == []


def test_a_proxy_that_is_away_is_said_to_be_and_old_numbers_disappear(page: Watched, proxy: Proxy) -> None:
    proxy.answer = lambda: None
    wait_for(page, "#state", "No answer")
    assert "cannot be reached" in page.text("#unreachable")
    assert "What is shown is from" in page.text("#unreachable-age")
    assert set(page.page.locator("#tiles dd:not(.detail)").all_inner_texts()) == {"–"}
    assert set(page.page.locator(".station .number").all_text_contents()) == {"–"}
    assert set(page.page.locator(".legend .value").all_text_contents()) == {"–"}
    assert page.page.locator("#ready").is_hidden()
    assert float(page.page.evaluate("getComputedStyle(document.querySelector('#pools').closest('section')).opacity")) < 1

    proxy.answer = proxy.status
    page.page.click("#try-now")
    wait_for(page, "#state", "Serving")
    assert page.page.locator("#unreachable").is_hidden()
    wait_for(page, "#ready", "Ready")
    assert page.text("#tiles dd") != "–"


def test_the_pause_between_tries_grows(page: Watched, proxy: Proxy) -> None:
    proxy.answer = lambda: None
    wait_for(page, "#state", "No answer")
    before = proxy.asked
    page.page.wait_for_timeout(6500)
    assert proxy.asked - before <= 3


@pytest.mark.parametrize(
    ("answer", "words"),
    [({"nothing": 1}, "not one of this proxy"), ("text", "not one of this proxy"), (status(1) | {"pools": None}, "made a mistake")],
)
def test_an_answer_that_is_none_is_said_to_be(page: Watched, proxy: Proxy, answer: object, words: str) -> None:
    proxy.answer = lambda: answer
    wait_for(page, "#state", "No answer")
    assert words in page.text("#unreachable-what")


def test_another_process_begins_anew(page: Watched, proxy: Proxy) -> None:
    proxy.begin, proxy.pid = time.monotonic() + 98, 8  # up for 2 s
    proxy.changes = {"version": "1.3.0", "started": 1_700_000_500}
    wait_for(page, "#version", "1.3.0")
    assert "pid 8" in page.text("#facts")
    assert page.page.locator("#upgraded").is_visible()
    wait_for(page, "#tiles dd", "50.0", "49.9", "50.1")
    assert page.errors == []


def test_a_hidden_page_asks_nothing(page: Watched, proxy: Proxy) -> None:
    hide = """value => {
        Object.defineProperty(document, 'hidden', { value, configurable: true });
        document.dispatchEvent(new Event('visibilitychange'));
    }"""
    page.page.evaluate(hide, True)
    page.page.wait_for_timeout(500)  # a request that is under way
    before = proxy.asked
    page.page.wait_for_timeout(3200)
    assert proxy.asked == before
    assert set(page.page.locator("#tiles dd:not(.detail)").all_inner_texts()) == {"–"}  # they are not of this moment
    page.page.evaluate(hide, False)
    wait_until(lambda: page.text("#tiles dd") != "–", page.page, 10, "numbers again")
    assert proxy.asked > before


def test_connections_are_asked_for_only_while_their_table_is_in_view(page: Watched) -> None:
    page.page.wait_for_timeout(1500)
    assert page.asked("connections.json") == 0
    page.page.locator("#connections").scroll_into_view_if_needed()
    wait_until(lambda: page.asked("connections.json") > 1, page.page, 10, "asked")
    page.page.evaluate("scrollTo(0, 0)")
    page.page.wait_for_timeout(500)
    before = page.asked("connections.json")
    page.page.wait_for_timeout(2200)
    assert page.asked("connections.json") == before


def test_a_thousand_connections_make_as_many_rows_as_were_asked_for(page: Watched, proxy: Proxy) -> None:
    proxy.connections = [connection(number) for number in range(1, 1001)]
    page.page.locator("#connections").scroll_into_view_if_needed()
    wait_for(page, "#connections-shown", "50 of 1,000")
    assert len(cells(page, "connections")) == 50
    page.page.select_option("#connections-limit", "1000")
    wait_for(page, "#connections-shown", "1,000 of 1,000")
    assert len(cells(page, "connections")) == 1000
    page.page.select_option("#connections-limit", "20")
    wait_for(page, "#connections-shown", "20 of 1,000")
    assert len(cells(page, "connections")) == 20


def test_a_heading_sorts(page: Watched) -> None:
    page.page.locator("#connections").scroll_into_view_if_needed()
    assert page.page.get_attribute("#connections th[aria-sort]", "aria-sort") == "descending"
    page.page.click("#connections button:text('Age')")
    wait_until(lambda: "sort=age" in page.requests[-1] or page.asked("connections.json?sort=age") > 0, page.page, 10, "sorted")
    assert page.text("#connections th[aria-sort]").startswith("Age")
    page.page.click("#commands button:text('Command')")
    assert page.page.get_attribute("#commands th[aria-sort]", "aria-sort") == "ascending"


def test_stations_are_explained_with_the_keyboard_alone(page: Watched) -> None:
    page.page.focus(".station")
    assert page.text(".explanation h3") == "ProxyConn"
    heights = set()
    names = set()
    for _ in range(12):
        page.page.keyboard.press("ArrowRight")
        names.add(page.text(".explanation h3"))
        heights.add(page.page.evaluate("document.querySelector('.explanation').offsetHeight"))
    assert {
        "Framer",
        "Dispatcher",
        "RequestQueues",
        "WorkerThread",
        "BatchExecutor",
        "handler",
        "DBPool",
        "CachePool",
        "ResponseDeque",
    } <= names
    assert len(heights) == 1  # nothing below it moves


def test_a_choice_is_remembered(page: Watched) -> None:
    page.page.select_option("#language", "zh")
    page.page.select_option("#theme", "dark")
    page.page.select_option("#window", "300")
    page.page.reload()
    wait_for(page, "#state", "服务中")
    assert page.page.evaluate("[document.documentElement.lang, document.documentElement.dataset.theme]") == ["zh-CN", "dark"]
    assert page.page.input_value("#window") == "300"


def test_numbers_that_change_move_nothing(page: Watched, proxy: Proxy) -> None:
    places = """() => [...document.querySelectorAll('section, figure, #tiles > div')]
        .map(element => element.getBoundingClientRect()).map(({ top, height }) => `${top + scrollY} ${height}`)"""
    before = page.page.evaluate(places)
    busy = status(1)["queues"] | {
        "waiting": 19_999,
        "oldest": 14.2,
        "by_queue": [{"name": f"queue {number}", "waiting": 9} for number in range(20)],
    }
    warnings = [{"time": 1.0 + number, "level": "error", "text": "long " * 60} for number in range(50)]
    proxy.changes = {"queues": busy, "log": {"dropped": 123_456_789, "warnings": warnings}, "ready": False, "reasons": ["because"]}
    wait_for(page, "#ready", "Not ready")
    assert page.page.evaluate(places) == before
    proxy.answer = lambda: None
    wait_for(page, "#state", "No answer")
    assert page.page.evaluate(places) == before


def test_the_rows_of_the_page_stay_bounded(page: Watched, proxy: Proxy) -> None:
    warnings = [{"time": 1.0 + number, "level": "warning", "text": str(number)} for number in range(50)]
    proxy.changes = {"log": {"dropped": 0, "warnings": warnings}}
    wait_until(lambda: len(cells(page, "warnings")) == 50, page.page, 10, "50 rows")
    count = "document.querySelectorAll('*').length"
    before = page.page.evaluate(count)
    page.page.wait_for_timeout(3000)
    assert page.page.evaluate(count) == before
    assert cells(page, "warnings")[0][2] == "49"  # the newest is the first
