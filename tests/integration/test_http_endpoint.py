"""The HTTP endpoint of a proxy with real stores: metrics, health, state."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scraping import get, raw, scrape, value

from dbproxy import ops
from dbproxy.errors import StartupError
from dbproxy.testing import Client, InProcessProxy, Stack
from dbproxy.testing.waiting import eventually
from dbproxy.wire import commands
from dbproxy.wire.pb import buddy_pb2

Address = tuple[str, int]

pytestmark = [pytest.mark.dbproxy(AdminListen="127.0.0.1:0", HeartbeatInterval=3600), pytest.mark.data(users=("alice", "bob"))]

DASHBOARD = Path(ops.__file__).parent / "dashboard"
USERS = commands.USER_INFO.name


@pytest.fixture
def endpoint(dbproxy_proxy: InProcessProxy) -> Address:
    address = dbproxy_proxy.application.admin_address
    assert address is not None
    return address


def test_requests_are_counted_by_command_and_outcome(stack: Stack, dbproxy_client: Client, endpoint: Address) -> None:
    for _ in range(3):
        dbproxy_client.user_info([1, 2])
    dbproxy_client.send_raw(b"\x00\x00\x00\x11" + b"\x00\x01\x00\x00" + b"\x00\x02\x02\x04" + b"\x00\x00\x00\x00" + b"\xff")
    dbproxy_client.departments()

    def counted() -> tuple[float, float]:
        samples = scrape(endpoint)
        return tuple(value(samples, "dbproxy_requests_total", command=USERS, outcome=o) for o in ("answered", "unreadable"))  # type: ignore[return-value]

    assert eventually(counted, (3.0, 1.0)) == (3.0, 1.0)
    samples = scrape(endpoint)
    for phase in ("waiting", "working"):
        assert value(samples, "dbproxy_request_seconds_count", command=USERS, phase=phase) == 3
        assert value(samples, "dbproxy_request_seconds_bucket", command=USERS, phase=phase, le="+Inf") == 3
        assert 0 < value(samples, "dbproxy_request_seconds_sum", command=USERS, phase=phase) < 3
    assert value(samples, "dbproxy_pdus_total", direction="in") == 5
    assert value(samples, "dbproxy_pdus_total", direction="out") == 4
    assert value(samples, "dbproxy_connections") == 1
    assert value(samples, "dbproxy_batch_requests_sum") == 5
    assert value(samples, "dbproxy_requests_total", command="CID_MSG_DATA", outcome="answered") == 0


def test_pools_are_reported(stack: Stack, dbproxy_client: Client, endpoint: Address) -> None:
    before = scrape(endpoint)
    dbproxy_client.user_info([1])
    after = scrape(endpoint)
    calls = {"pool": "teamtalk_slave", "kind": "mysql"}
    assert value(after, "dbproxy_pool_calls_total", **calls) > value(before, "dbproxy_pool_calls_total", **calls)
    assert value(after, "dbproxy_pool_call_seconds_total", **calls) > value(before, "dbproxy_pool_call_seconds_total", **calls)
    assert value(after, "dbproxy_pool_connections", **calls, state="idle") >= 1
    assert value(after, "dbproxy_pool_works", pool="unread", kind="redis") == 1
    assert value(after, "dbproxy_pool_failures_total", pool="unread", kind="redis", failure="timeout") == 0


def test_counters_never_fall(stack: Stack, dbproxy_proxy: InProcessProxy, endpoint: Address) -> None:
    former = scrape(endpoint)
    for _ in range(10):
        with dbproxy_proxy.client() as client:
            client.user_info([1])
        samples = scrape(endpoint)
        assert not [key for key in samples if key[0].endswith("_total") and samples[key] < former.get(key, 0)]
        former = samples


def test_every_metric_is_documented(stack: Stack, dbproxy_client: Client, endpoint: Address) -> None:
    dbproxy_client.user_info([1])
    names = {name for name, _ in scrape(endpoint)} - {"dbproxy_request_seconds_created"}
    names = {name.removesuffix("_bucket").removesuffix("_count").removesuffix("_sum") for name in names}
    for document in ("METRICS.md", "METRICS.zh-CN.md"):
        text = (Path(__file__).parents[2] / "docs" / document).read_text(encoding="utf-8")
        assert {name for name in names if f"`{name}`" not in text} == set()


def test_the_state_as_json_agrees_with_the_metrics(
    stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client, endpoint: Address
) -> None:
    dbproxy_client.user_info([1])
    assert eventually(lambda: get(endpoint, "/status.json").json["requests"][USERS]["answered"], 1) == 1
    status = get(endpoint, "/status.json").json
    assert status["state"] == "serving"
    assert status["ready"] is True
    assert status["listen"] == [f"127.0.0.1:{dbproxy_proxy.port}"]
    assert len(status["requests"]) == 26
    assert len(status["requests"][USERS]["waiting"]["buckets"]) == len(status["bounds"]["seconds"]) + 1
    assert {pool["name"] for pool in status["pools"]} >= {"teamtalk_master", "teamtalk_slave", "unread", "token"}
    assert (status["replication"]["lag"], status["replication"]["replicas"]) == (None, [])
    assert set(status) >= {"queues", "workers", "responses", "connections", "file_server", "recoveries", "group_sync", "log", "slow"}


def test_connections_are_listed(stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client, endpoint: Address) -> None:
    dbproxy_client.user_info([1])
    with dbproxy_proxy.client() as other:
        for _ in range(5):
            other.user_info([1])
        listed = get(endpoint, "/connections.json?sort=pdus_in&limit=1").json
        assert listed["total"] == 2
        (connection,) = listed["connections"]
        assert connection["peer"] == "{}:{}".format(*other.socket.getsockname())
        assert connection["pdus_in"] == 5


@pytest.mark.parametrize("query", ["sort=name", "limit=0", "limit=1001", "limit=x", "limit=%C2%B2"])
def test_wrong_parameters_are_refused(stack: Stack, endpoint: Address, query: str) -> None:
    assert get(endpoint, f"/connections.json?{query}").status == 400


def test_without_redis_it_is_not_ready_and_with_it_again(stack: Stack, endpoint: Address) -> None:
    assert get(endpoint, "/readyz").text == "ready\n"
    stack.redis_server.kill()
    try:
        assert eventually(lambda: get(endpoint, "/readyz").status, 503, timeout=20) == 503
        assert "redis pool unread does not work" in get(endpoint, "/readyz").text or "redis pool" in get(endpoint, "/readyz").text
        assert get(endpoint, "/healthz").status == 200
        assert get(endpoint, "/status.json").json["ready"] is False
    finally:
        stack.reset()
    assert eventually(lambda: get(endpoint, "/readyz").status, 200, timeout=20) == 200


@pytest.mark.dbproxy(StopGrace=3)
def test_while_it_drains_it_is_not_ready(stack: Stack, dbproxy_proxy: InProcessProxy, dbproxy_client: Client, endpoint: Address) -> None:
    dbproxy_client.user_info([1])
    with dbproxy_proxy.client() as half:
        half.send_raw(b"\x00\x00\x00\x20")  # keeps it draining to the end of StopGrace
        dbproxy_proxy.application.request_stop()
        assert eventually(lambda: get(endpoint, "/readyz").status, 503) == 503
        assert "draining" in get(endpoint, "/readyz").text


def test_only_get_and_head_are_answered(stack: Stack, endpoint: Address) -> None:
    assert get(endpoint, "/metrics", "POST").status == 405
    assert get(endpoint, "/metrics", "DELETE").headers["allow"] == "GET, HEAD"
    head = get(endpoint, "/healthz", "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", "3")
    assert get(endpoint, "/nothing").status == 404


@pytest.mark.parametrize("path", ["/../operations.py", "/%2e%2e/operations.py", "//etc/passwd", "/js/../../metrics.py", "/%00", "/js"])
def test_no_path_leads_out_of_the_dashboard(stack: Stack, endpoint: Address, path: str) -> None:
    assert get(endpoint, path).status in (400, 404)


def test_files_of_the_dashboard_have_types_and_are_not_sent_twice(stack: Stack, endpoint: Address) -> None:
    page = get(endpoint, "/")
    assert page.status == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    again = get(endpoint, "/", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status, again.body) == (304, b"")
    for file in DASHBOARD.rglob("*.*"):
        if file.suffix in (".js", ".css", ".svg"):
            found = get(endpoint, f"/{file.relative_to(DASHBOARD).as_posix()}")
            assert (found.status, found.body) == (200, file.read_bytes())


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "", "127.0.0.1.evil.example"])
def test_a_foreign_name_for_the_loopback_address_is_refused(stack: Stack, endpoint: Address, host: str) -> None:
    answer = raw(endpoint, f"GET /status.json HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421 ")
    assert b"pools" not in answer


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:10680", "127.0.0.1", "127.0.0.1:10680", "[::1]:10680"])
def test_names_of_this_host_are_answered(stack: Stack, endpoint: Address, host: str) -> None:
    assert raw(endpoint, f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", b"400"),
        (b"GET /metrics\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/2.0\r\n\r\n", b"400"),
        (b"GET http://x/metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", b"400"),
        (b"GET /metrics HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nHost: other\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n", b"400"),
        (b"GET /healthz HTTP/1.0\r\n\r\n", b"200"),
        (b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X: " + b"y" * 20000 + b"\r\n\r\n", b"431"),
        (b"GET /" + b"a" * 20000, b"431"),
    ],
)
def test_garbage_is_refused(stack: Stack, endpoint: Address, data: bytes, status: bytes) -> None:
    assert raw(endpoint, data).split(b" ")[1:2] in ([status], [])
    assert get(endpoint, "/healthz").status == 200


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_an_address_in_use_is_an_error_of_the_start(dbproxy_stack: Stack, taken: int) -> None:
    proxy = InProcessProxy(dbproxy_stack, {"AdminListen": f"127.0.0.1:{taken}"})
    with pytest.raises(StartupError, match=rf"cannot listen on 127.0.0.1:{taken} \(AdminListen\): Address already in use"):
        proxy.start()


def test_without_the_extra_the_start_says_how_to_install_it(dbproxy_stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    own = ("dbproxy.ops.metrics", "dbproxy.ops.http_pages")
    for name in [name for name in sys.modules if name.startswith("prometheus_client") or name in own]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with pytest.raises(StartupError, match=r"pip install 'dbproxy\[ops\]'"):
        InProcessProxy(dbproxy_stack, {"AdminListen": "127.0.0.1:0"}).start()


def test_slow_requests_are_in_the_state(stack: Stack, dbproxy_client: Client, dbproxy_proxy: InProcessProxy, endpoint: Address) -> None:
    dbproxy_proxy.application.observed.slow.configure(0.000001)
    dbproxy_client.ask(buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[2]), buddy_pb2.IMUsersInfoRsp)
    assert eventually(lambda: len(get(endpoint, "/status.json").json["slow"]), 1) == 1
    (slow,) = get(endpoint, "/status.json").json["slow"]
    assert (slow["command"], slow["user_id"], slow["batch"]) == (USERS, 1, 1)
    assert "alice" not in get(endpoint, "/status.json").text
