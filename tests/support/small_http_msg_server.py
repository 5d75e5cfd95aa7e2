"""An http_msg_server for tests. It answers with the bytes that a real one was seen to answer with, and lets a proxy make the change."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dbproxy.testing import Client
from dbproxy.wire.pb import base_define_pb2 as base

if TYPE_CHECKING:
    from typing_extensions import Self

MESSAGES = {0: "成功", 1: "参数错误", 10: "服务器异常", 12: "更改群成员失败"}


def recorded_answer(code: int) -> bytes:
    """What a real http_msg_server sends for an ``error_code``; it closes the connection then."""
    body = f'{{\n   "error_code" : {code},\n   "error_msg" : "{MESSAGES[code]}"\n}}\n'.encode()
    head = "HTTP/1.1 200 OK\r\nCache-Control:no-cache\r\nConnection:close\r\n"
    return f"{head}Content-Length:{len(body)}\r\nContent-Type:text/html;charset=utf-8\r\n\r\n".encode() + body


class SmallHttpMsgServer:
    """Listens on ``url`` within a ``with`` block. ``makes_change``: whether the proxy is asked; ``answer``: what is sent instead of what
    belongs to its reply (b"": the connection is closed); ``silent``: the connection is kept, and nothing is sent.
    """

    def __init__(self, proxy: tuple[str, int]) -> None:
        self.makes_change = True
        self.answer: bytes | None = None
        self.silent = False
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._proxy = proxy
        self._kept: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    @property
    def url(self) -> str:
        """As ``HttpMsgServer`` is configured."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)
        for connection in self._kept:
            connection.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._handle(self._listener.accept()[0])

    def _handle(self, connection: socket.socket) -> None:
        connection.settimeout(10)
        with connection.makefile("rb") as stream:
            path = stream.readline().split()[1].decode()
            length = 0
            while (line := stream.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            request = json.loads(stream.read(length))
        self.requests.append((path, request))
        code = self._change(request) if self.makes_change else 0
        if self.silent:
            self._kept.append(connection)
            return
        answer = recorded_answer(code) if self.answer is None else self.answer
        connection.sendall(answer)
        connection.close()

    def _change(self, request: dict[str, Any]) -> int:
        with Client(*self._proxy) as client:
            change = client.add_members if request["modify_type"] == base.GROUP_MODIFY_TYPE_ADD else client.remove_members
            return 12 if change(0, request["group_id"], request["user_id_list"]).result_code else 0
