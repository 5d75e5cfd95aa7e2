"""Whether a program that accepts connections also answers: requests that change nothing. Any thread."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable

from google.protobuf.message import DecodeError, Message

from dbproxy.testing.client import Client
from dbproxy.wire.pb import buddy_pb2, message_pb2, server_pb2

SIGNS: tuple[Message, ...] = (
    server_pb2.IMValidateReq(user_name="\x01nobody", password="-"),
    message_pb2.IMUnreadMsgCntReq(user_id=1),
    buddy_pb2.IMUsersInfoReq(user_id=1, user_id_list=[1]),
)
"""Requests that change nothing. A program may not know all of them."""

ANSWER_TIMEOUT = 5.0
"""Seconds after which a program that has answered none of them counts as hanging."""

_NO_ANSWER = (OSError, ValueError, AssertionError, DecodeError)
"""Nothing comes (TimeoutError and ConnectionClosedError are OSErrors), or something that is not the answer."""


def answers(connect: Callable[[], Client], request: Message, timeout: float) -> bool:
    """Return whether ``request`` is answered within ``timeout`` seconds on a new connection."""
    try:
        with contextlib.closing(connect()) as client:
            client.request(request, timeout=timeout)
    except _NO_ANSWER:
        return False
    return True


def answers_any(connect: Callable[[], Client], timeout: float) -> bool:
    """Return whether any of ``SIGNS`` is answered within ``timeout`` seconds in all, each on a connection of its own."""
    deadline = time.monotonic() + timeout
    with contextlib.ExitStack() as exits:
        waiting = []
        for request in SIGNS:
            with contextlib.suppress(OSError):
                client = exits.enter_context(contextlib.closing(connect()))
                client.send(request)
                waiting.append(client)
        while waiting and time.monotonic() < deadline:
            for client in tuple(waiting):
                try:
                    client.receive(0.05)
                except TimeoutError:
                    continue
                except _NO_ANSWER:
                    waiting.remove(client)
                else:
                    return True
    return False
