"""What strangers and other sites send to the web application: nothing is taken for something else, kept in memory, or makes others wait."""

from __future__ import annotations

import io
import os
import re
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from admin_pages import paths_of
from admin_site import PASSWORD, AdminApp, AdminServer

from dbproxy.admin.access.roles import Role
from dbproxy.admin.web.service_texts import told
from dbproxy.testing import Stack, seed

pytestmark = pytest.mark.watchdog(180)

MIB = 1 << 20


def statuses(server: AdminServer, request: bytes, source: str = "127.0.0.1") -> list[int]:
    """Send bytes and return the status of every response, until the server closes the connection."""
    received = b""
    with socket.create_connection(("127.0.0.1", server.port), timeout=60, source_address=(source, 0)) as connection:
        connection.sendall(request)
        with suppress(ConnectionResetError):
            while chunk := connection.recv(65536):
                received += chunk
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", received)]


HIDDEN = b"GET /login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""A request in what a proxy would take for the body of another one."""


@pytest.mark.parametrize(
    "headers",
    [
        b"Host: evil.example\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding: chunked\r\n",
        b"Host: localhost\r\nTransfer-Encoding : chunked\r\nContent-Length: 5\r\n",
        b"Host: localhost\r\nContent-Length: 50\r\nContent-Length: 0\r\n",
        b"Host: localhost\r\nContent-Length: 50\r\n 0\r\n",
        b"Host: localhost\r\nContent-Length : 0\r\n",
        b"Host: localhost\r\nContent-Length: 0_0\r\n",
        b"Host: localhost\r\nContent-Length: +0\r\n",
        b"Host: localhost\r\nContent-Length: -10\r\n",
        b"Host: localhost\r\nHost: evil.example\r\n",
        b"Host: localhost\r\nX: a\rTransfer-Encoding: chunked\r\n",
    ],
)
def test_what_a_proxy_may_read_otherwise_ends_the_connection(attacked: AdminServer, headers: bytes) -> None:
    assert statuses(attacked, b"POST /login HTTP/1.1\r\n" + headers + b"\r\n" + HIDDEN) in ([400], [413])


@pytest.fixture(scope="module")
def attacked(dbproxy_stack: Stack) -> Iterator[AdminServer]:
    """A server behind a proxy at 127.0.0.2."""
    with AdminServer(dbproxy_stack, WebAdminTrustedProxies="127.0.0.2") as server:
        server.account("alice")
        yield server


def test_two_requests_in_one_packet_are_two_requests(attacked: AdminServer) -> None:
    body = b"name=a"
    first = (
        b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: 6\r\n\r\n" + body
    )
    assert statuses(attacked, first + HIDDEN) == [400, 200]


def test_a_client_behind_a_proxy_cannot_choose_its_address_by_an_underscore(attacked: AdminServer) -> None:
    page = attacked.visitor()
    form = page.get("/login").text
    token = re.search(r'name="csrf_token" value="([^"]+)"', form)
    assert token
    cookie = "; ".join(f"{one.name}={one.value}" for one in page.cookies)
    body = f"csrf_token={token[1]}&name=alice&password=wrong".encode()
    headers = f"Host: localhost\r\nCookie: {cookie}\r\nX-Forwarded-For: 192.0.2.7\r\nX_Forwarded_For: 198.51.100.66\r\n"
    headers += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    assert statuses(attacked, b"POST /login HTTP/1.1\r\n" + headers.encode() + body, source="127.0.0.2") == [403]
    assert attacked.log_file.newest(1)[0][0]["origin"] == "192.0.2.7"


def memory(server: AdminServer) -> int:
    """Return the most memory that the server has used, in bytes."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{server.pid}/status").read_text())
    assert found
    return int(found[1]) * 1024


def test_a_body_that_nobody_reads_is_not_kept(attacked: AdminServer) -> None:
    before = memory(attacked)
    with socket.create_connection(("127.0.0.1", attacked.port), timeout=60) as connection:
        connection.sendall(b"POST /login HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 60000000\r\n\r\n")
        sent = 0
        with suppress(OSError):  # reset or broken pipe
            while sent < 60_000_000:
                sent += connection.send(bytes(MIB))
        assert sent < 60_000_000
    assert memory(attacked) - before < 16 * MIB


def test_a_short_form_does_not_open_a_thousand_files(attacked: AdminServer) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="a"; filename="b"\r\n\r\n\r\n'
    body = part * 950 + b"--b--\r\n"
    request = b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nConnection: close\r\n"
    request += b"Content-Length: %d\r\n\r\n" % len(body) + body
    most, ended = 0, threading.Event()

    def watch() -> None:
        nonlocal most
        while not ended.is_set():
            most = max(most, len(list(Path(f"/proc/{attacked.pid}/fd").iterdir())))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        for _ in range(5):
            assert statuses(attacked, request) == [400]
    finally:
        ended.set()
        watcher.join()
    assert 0 < most < 200


def test_requests_that_arrive_slowly_keep_only_their_own_address_waiting(attacked: AdminServer) -> None:
    with ExitStack() as slow:
        connections = []
        for _ in range(60):
            connection = socket.create_connection(("127.0.0.1", attacked.port), source_address=("127.0.0.3", 0))
            connections.append(slow.enter_context(connection))
            connection.sendall(b"GET /login HTTP/1.1\r\n")
        ended = threading.Event()

        def feed() -> None:
            """Byte after byte does not help: each request has only so many seconds."""
            while not ended.wait(1):
                for one in connections:
                    with suppress(OSError):
                        one.sendall(b"X")

        feeder = threading.Thread(target=feed)
        feeder.start()
        try:
            for _ in range(3):
                assert statuses(attacked, HIDDEN) == [200]
            connections[0].settimeout(90)
            assert connections[0].recv(100).startswith(b"HTTP/1.1 408")
        finally:
            ended.set()
            feeder.join()
    assert statuses(attacked, HIDDEN, source="127.0.0.3") == [200]


def test_connections_of_one_address_leave_room_for_others(attacked: AdminServer) -> None:
    with ExitStack() as silent:
        for _ in range(600):
            with suppress(OSError):
                silent.enter_context(socket.create_connection(("127.0.0.1", attacked.port), source_address=("127.0.0.3", 0)))
        assert statuses(attacked, HIDDEN) == [200]
        assert len(list(Path(f"/proc/{attacked.pid}/fd").iterdir())) < 400
    assert statuses(attacked, HIDDEN, source="127.0.0.3") == [200]


def test_asking_for_the_head_of_a_page_changes_nothing(admin_app: AdminApp, stack: Stack) -> None:
    """HEAD needs no token of a form."""
    seed.department(stack, 1)
    seed.users(stack, "alice", "bob")
    seed.group(stack, 9, [1, 2])
    admin_app.account("bob", Role.VIEWER)
    visitor = admin_app.visitor(Role.OWNER)
    before = stack.snapshot()
    accounts = admin_app.site.accounts.all()
    form = {
        "name": "owner",
        "password": "wrong",
        "confirmed": "1",
        "role": "owner",
        "current": PASSWORD,
        "new": "x" * 20,
        "again": "x" * 20,
    }
    for _, path in paths_of(admin_app.app, "HEAD", name="bob", action="remove"):
        visitor._open(path, method="HEAD", data=form)
    for action in ("password", "disable"):
        visitor._open(f"/accounts/bob/{action}", method="HEAD", data=form)
    visitor._open("/accounts", method="HEAD", data={"name": "mallory", "role": "owner"})
    assert admin_app.site.accounts.all() == accounts
    assert admin_app.site.accounts.check("bob", PASSWORD)
    assert admin_app.site.accounts.check("owner", PASSWORD)
    assert stack.snapshot() == before
    assert not [entry for entry in admin_app.log.newest(50)[0] if entry["outcome"] != "ok"]
    answer = visitor._open("/users", method="HEAD")
    assert (answer.status_code, answer.data) == (200, b"")


@pytest.mark.watchdog(60)
def test_a_long_text_is_not_looked_for_in_the_table_of_texts(admin_app: AdminApp) -> None:
    """Looking for it takes time that grows with a higher power of its length."""
    text = "the name " + "x has y " * 5000
    with admin_app.app.test_request_context("/", headers={"Accept-Language": "zh"}):
        assert told(text) == text
        assert told("there is no group 7") != "there is no group 7"


@pytest.mark.watchdog(60)
def test_an_error_names_some_of_the_columns_of_a_file_only(admin_app: AdminApp, stack: Stack) -> None:
    seed.department(stack, 1)
    visitor = admin_app.visitor(Role.OPERATOR, language="zh")
    file = (io.BytesIO(b"name," * 13_000 + b"name\nx\n"), "users.csv")
    answer = visitor.post("/imports", {"file": file, "department_id": "1"})
    assert answer.status_code == 400
    assert len(answer.text) < 20_000


def test_without_room_or_permission_to_record_nothing_is_changed_or_read(stack: Stack, tmp_path: Path) -> None:
    seed.department(stack, 1)
    seed.users(stack, "alice", "bob")
    seed.group(stack, 9, [1, 2])
    seed.group_messages(stack, 1, 9, ["secret text"])
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(disk)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        with AdminApp(stack, disk) as app:
            assert app.site.backends.wait(30)
            visitor = app.visitor(Role.OWNER)
            token = visitor.token("/account")
            before = stack.snapshot()

            def tried() -> None:
                for path in ("/users/1/disable", "/groups/9/dismiss", "/departments/add"):
                    form = {"csrf_token": token, "confirmed": "1", "name": "x", "parent_id": "0", "priority": "0"}
                    assert visitor.post_without_token(path, form).status_code == 500
                for path in ("/messages/group/9", "/messages/group/9/export.jsonl", "/users/export.csv"):
                    answer = visitor.get(path)
                    assert (answer.status_code, "secret text" in answer.text) == (500, False)
                assert stack.snapshot() == before

            filler = disk / "filler"
            with filler.open("ab", buffering=0) as file, suppress(OSError):
                while True:
                    file.write(bytes(256))
            tried()
            filler.unlink()
            assert visitor.get("/messages/group/9").status_code == 200
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            tried()
            subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
            assert visitor.post("/users/1/disable", form="/account").status_code == 303
            assert [entry["action"] for entry in app.log.newest(3)[0]] == ["users.disable", "messages.read", "web.login"]
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_strangers_are_not_told_where_the_files_are(admin_app: AdminApp) -> None:
    visitor, stranger = admin_app.visitor(Role.OWNER), admin_app.visitor()
    form = {"csrf_token": stranger.token("/login"), "name": "owner", "password": "wrong"}
    admin_app.log.path.unlink()
    admin_app.log.path.mkdir()
    answer = stranger.post_without_token("/login", form)
    assert answer.status_code == 500
    assert "files of dbproxy-admin cannot be used" in answer.text
    assert str(admin_app.site.directory) not in answer.text
    answer = visitor.post("/accounts", {"name": "bob", "role": "viewer"})
    assert (answer.status_code, str(admin_app.log.path) in answer.text) == (500, True)
