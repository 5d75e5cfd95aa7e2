"""The dashboard of a real proxy with light traffic, in a real browser."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from browser import OpenPage, Watched, wait_until

from dbproxy.testing import ProxyProcess, Stack, seed
from dbproxy.testing.process import free_port

HOSTILE = "<script>alert(1)</script>"
"""A key that nobody knows: the proxy warns of it and names it."""

VIEWPORTS = {"desktop": {"width": 1440, "height": 900}, "tablet": {"width": 768, "height": 1024}, "phone": {"width": 360, "height": 740}}

pytestmark = pytest.mark.watchdog(180)


class Traffic:
    """Three users whose infos are asked for, who write to each other and read, without end, about 100 requests a second."""

    def __init__(self, proxy: ProxyProcess) -> None:
        self._proxy = proxy
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic")

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with self._proxy.client() as client:
                    while not self._stop.wait(0.02):
                        client.user_info([1, 2, 3])
                        client.send_message(1, 2, "hi")
                        client.unread(2)
            except (OSError, EOFError):
                self._stop.wait(0.2)  # the proxy is away


class DashboardProxy(ProxyProcess):
    """A proxy with a dashboard at ``url``."""

    def __init__(self, stack: Stack) -> None:
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}/"
        super().__init__(stack, {"AdminListen": address, HOSTILE: 1, "StopGrace": 1})


@pytest.fixture(scope="module")
def proxy(dbproxy_stack: Stack) -> Iterator[DashboardProxy]:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob", "carol")
    with DashboardProxy(dbproxy_stack) as running, Traffic(running):
        yield running


def wait_for(watched: Watched, selector: str, *texts: str) -> None:
    wait_until(lambda: watched.text(selector) in texts, watched.page, 20, f"{selector} is one of {texts}, not {watched.text(selector)}")


def number(text: str) -> float:
    return float(text.split()[0].replace(",", "")) if text[:1].isdigit() else 0.0


def loaded(open_page: OpenPage, proxy: DashboardProxy, **options: object) -> Watched:
    """A page that shows rates."""
    watched = open_page(**options)
    watched.page.goto(proxy.url)
    wait_until(lambda: number(watched.text("#tiles dd")) > 0, watched.page, 20, "a rate of answers")
    return watched


def column(watched: Watched, table: str, index: int) -> list[str]:
    script = "([id, index]) => [...document.getElementById(id).tBodies[0].rows].map(row => row.cells[index].textContent)"
    found: list[str] = watched.page.evaluate(script, [table, index])
    return found


def test_numbers_appear_and_move(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    assert watched.text("#state") == "Serving"
    assert watched.text("#ready") == "Ready"
    assert f"pid {proxy.pid}" in watched.text("#facts")
    assert f"127.0.0.1:{proxy.port}" in watched.text("#facts")

    assert {"BUDDY_LIST_USER_INFO_REQUEST", "MSG_DATA", "MSG_UNREAD_CNT_REQUEST"} <= set(column(watched, "commands", 0))
    assert all(text.endswith((" ms", " s")) for index in (2, 3, 4, 5) for text in column(watched, "commands", index)[:3])
    answered = sum(number(text) for text in column(watched, "commands", 6))
    wait_until(lambda: sum(number(text) for text in column(watched, "commands", 6)) > answered, watched.page, 10, "more are answered")

    assert column(watched, "pools", 0) == ["teamtalk_master", "teamtalk_slave", "unread", "group_set", "sync", "token", "group_member"]
    assert set(column(watched, "pools", 1)) == {"works"}
    assert {"MySQL", "Redis"} <= set(column(watched, "backends", 0))
    wait_until(lambda: number(column(watched, "backends", 2)[0]) > 0, watched.page, 10, "calls to MySQL")
    stations = dict(zip(*(watched.page.locator(f".station .{part}").all_text_contents() for part in ("name", "number")), strict=True))
    assert number(stations["Framer"]) > 0
    assert number(stations["ProxyServer"]) > 0
    assert stations["handler"].endswith(" ms")

    watched.page.locator("#connections").scroll_into_view_if_needed()
    wait_until(lambda: any(number(text) > 0 for text in column(watched, "connections", 4)), watched.page, 10, "PDUs of a connection")
    assert column(watched, "connections", 0)[0].startswith("127.0.0.1:")
    assert watched.errors == []


def test_charts_have_lines(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    drawn = """selector => {
        const canvas = document.querySelector(selector + ' canvas');
        const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
        const colors = new Set();
        for (let at = 0; at < data.length; at += 4) if (data[at + 3] === 255) colors.add([data[at], data[at + 1], data[at + 2]].join());
        return colors.has('31,95,196');
    }"""  # --line-1 of the light theme
    for chart in ("#chart-requests", "#chart-times", "#chart-backends"):
        wait_until(lambda chart=chart: bool(watched.page.evaluate(drawn, chart)), watched.page, 20, f"a line in {chart}")  # type: ignore[misc]
        assert "–" not in watched.page.locator(f"{chart} .legend .value").all_text_contents()[:1]


def test_text_of_a_warning_is_shown_as_text(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    assert any(HOSTILE in text for text in column(watched, "warnings", 2))
    assert watched.page.evaluate("document.querySelectorAll('main script').length") == 0
    assert watched.errors == []


def test_everything_comes_from_the_proxy(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    watched.page.locator("#connections").scroll_into_view_if_needed()
    watched.page.wait_for_timeout(1500)
    assert watched.asked("connections.json") > 0
    assert [request for request in watched.requests if not request.startswith(proxy.url)] == []
    with watched.page.expect_response(proxy.url) as answer:
        watched.page.reload()
    assert answer.value.headers["content-security-policy"].startswith("default-src 'self'")


@pytest.mark.parametrize(("locale", "state"), [("en-GB", "Serving"), ("zh-CN", "服务中"), ("zh-TW", "服务中"), ("de-DE", "Serving")])
def test_the_language_is_that_of_the_browser(open_page: OpenPage, proxy: DashboardProxy, locale: str, state: str) -> None:
    watched = loaded(open_page, proxy, locale=locale)
    assert watched.text("#state") == state


def test_the_language_can_be_switched(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    watched.page.select_option("#language", "zh")
    assert watched.text("#pools-title") == "连接池"
    wait_for(watched, "#state", "服务中")
    assert set(column(watched, "pools", 1)) == {"正常"}
    watched.page.select_option("#language", "en")
    wait_for(watched, "#state", "Serving")
    assert watched.errors == []


def test_dark_and_light_follow_the_system_until_one_is_chosen(open_page: OpenPage, proxy: DashboardProxy) -> None:
    def brightness(watched: Watched) -> int:
        return int(watched.page.evaluate("Number(getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0])"))

    dark = loaded(open_page, proxy, color_scheme="dark")
    assert brightness(dark) < 50
    assert brightness(loaded(open_page, proxy, color_scheme="light")) > 200
    dark.page.select_option("#theme", "light")
    assert brightness(dark) > 200
    dark.page.select_option("#theme", "auto")
    assert brightness(dark) < 50


@pytest.mark.parametrize("locale", ["en-US", "zh-CN"])
@pytest.mark.parametrize("viewport", VIEWPORTS)
def test_no_width_needs_scrolling_sideways(open_page: OpenPage, proxy: DashboardProxy, viewport: str, locale: str) -> None:
    watched = loaded(open_page, proxy, viewport=VIEWPORTS[viewport], locale=locale)
    assert watched.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert watched.errors == []


def test_a_proxy_that_was_stopped_is_said_to_be_away_until_it_is_back(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    before = proxy.pid
    proxy.stop()
    try:
        wait_for(watched, "#state", "No answer")
        assert "cannot be reached" in watched.text("#unreachable")
        assert set(watched.page.locator("#tiles dd:not(.detail)").all_inner_texts()) == {"–"}
    finally:
        proxy.start()
    wait_for(watched, "#state", "Serving")
    assert proxy.pid != before
    assert f"pid {proxy.pid}" in watched.text("#facts")
    assert watched.page.locator("#unreachable").is_hidden()
    wait_until(lambda: number(watched.text("#tiles dd")) > 0, watched.page, 20, "a rate of answers")


def test_an_upgrade_shows_the_new_process_and_keeps_the_charts(open_page: OpenPage, proxy: DashboardProxy) -> None:
    watched = loaded(open_page, proxy)
    watched.page.locator("#connections").scroll_into_view_if_needed()
    wait_until(lambda: len(column(watched, "connections", 0)) > 0, watched.page, 10, "connections")
    peers = column(watched, "connections", 0)
    before = proxy.pid
    proxy.upgrade()
    assert proxy.pid != before
    wait_until(lambda: f"pid {proxy.pid}" in watched.text("#facts"), watched.page, 30, "the new process")
    wait_until(lambda: number(watched.text("#tiles dd")) > 0, watched.page, 20, "a rate of answers")
    assert column(watched, "connections", 0) == peers  # the connections of the former process
    assert watched.page.locator("#upgraded").is_hidden()  # it is the same version
