"""Asking a login_server which msg_server to log in to, as a chat client does first: :func:`find_msg_server`. Any thread."""

from __future__ import annotations

import http.client
import json
import time
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from dbproxy.errors import DbproxyError
from dbproxy.testing.pdu_stream import PduStream
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import login_pb2

MAX_ANSWER = 64 << 10
"""Bytes of the longest answer that is read; a login_server's has about 300."""

_PATH = "/msg_server"
_SEQ_NUM = 1


class LoginServerError(DbproxyError):
    """The login_server has answered, but with no msg_server; ``code`` is its own (1: none is registered, 2: all are full), or 0."""

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


@dataclass(frozen=True)
class MsgServer:
    """A msg_server as a login_server describes it."""

    host: str
    """The address to try first; may be a name."""
    port: int
    backup_host: str = ""
    """The address to try next; often the same one."""
    files: str = ""
    """URL of the file server (msfs); empty from the binary port."""
    discovery: str = ""
    """URL of the discovery page; empty from the binary port."""

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses to try, in this order."""
        return tuple(dict.fromkeys(host for host in (self.host, self.backup_host) if host))


def find_msg_server(url: str, *, timeout: float = 10) -> MsgServer:
    """Ask a login_server for the msg_server with the fewest users.

    ``url`` is ``http://host:8080`` (``https``, if something in front of it does that; a path other than / replaces ``/msg_server``), or
    ``tcp://host:8008`` for the port that speaks PDUs, to which the original's login_server accepts connections but answers nothing.
    ``timeout`` is in seconds.

    Raises:
        ValueError: the URL cannot be used.
        OSError: the login_server cannot be reached or does not answer; TimeoutError when it takes too long.
        LoginServerError: it knows no msg_server, or its answer is none of a login_server.
        ProtocolError: what answers at a ``tcp`` URL does not speak TeamTalk's protocol.

    """
    parts = check_login_url(url)
    if parts.scheme == "tcp":
        return _ask_with_pdu(parts.hostname or "", parts.port or 0, timeout)
    return _described(_get(parts, timeout))


def check_login_url(url: str) -> SplitResult:
    """Return the parts of a URL that :func:`find_msg_server` can use.

    Raises:
        ValueError: it can not; the text says what is accepted.

    """
    expected = "expected http://host:port, https://host:port or tcp://host:port"
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        raise ValueError(f"{expected}; the port is none") from None
    if parts.scheme not in ("http", "https", "tcp") or not parts.hostname or (parts.scheme == "tcp" and not port):
        raise ValueError(expected)
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError(f"{expected}, without user, query or fragment")
    return parts


def _get(parts: SplitResult, timeout: float) -> bytes:
    """Return the body of the answer to ``GET /msg_server``."""
    deadline = time.monotonic() + timeout
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=timeout)
    try:
        connection.request("GET", parts.path if parts.path not in ("", "/") else _PATH, headers={"Connection": "close"})
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise LoginServerError(f"HTTP status {answer.status} {answer.reason}: this is no login_server, or not its HttpPort")
        body = b""
        while data := answer.read1(MAX_ANSWER):
            body += data
            if len(body) > MAX_ANSWER:
                raise LoginServerError(f"the answer is longer than {MAX_ANSWER} bytes: this is no login_server")
            if time.monotonic() > deadline:
                raise TimeoutError(f"the answer is not complete after {timeout:g} s")
    except http.client.HTTPException as error:
        raise LoginServerError(f"the answer is not HTTP ({type(error).__name__}): this is not the HttpPort of a login_server") from error
    finally:
        connection.close()
    return body


def _described(body: bytes) -> MsgServer:
    try:
        answer = json.loads(body)
        code = int(answer["code"])
    except (ValueError, TypeError, KeyError):
        raise LoginServerError(f"the answer is not that of a login_server: {body[:100]!r}") from None
    if code:
        raise LoginServerError(f"login_server knows no msg_server: code {code}: {answer.get('msg', '')}", code)
    try:
        host, port = answer["priorIP"], int(answer["port"])
    except (ValueError, TypeError, KeyError):
        host, port = "", 0
    if not isinstance(host, str) or not host or not 0 < port < 65536:
        raise LoginServerError(f"the answer names no address of a msg_server: {body[:200]!r}")
    return MsgServer(host, port, *(str(answer.get(key) or "") for key in ("backupIP", "msfsPrior", "discovery")))


def _ask_with_pdu(host: str, port: int, timeout: float) -> MsgServer:
    deadline = time.monotonic() + timeout
    with PduStream(host, port, timeout=timeout) as stream:
        stream.send(login_pb2.IMMsgServReq(), _SEQ_NUM)
        try:
            while (pdu := stream.receive(deadline)).command_id != base.CID_LOGIN_RES_MSGSERVER:
                continue
        except TimeoutError:
            raise TimeoutError(f"no answer within {timeout:g} s (the original's login_server has none at its ClientPort)") from None
    answer = login_pb2.IMMsgServRsp.FromString(pdu.body)
    if answer.result_code != base.REFUSE_REASON_NONE:
        name = base.ResultType.Name(answer.result_code)
        raise LoginServerError(f"login_server knows no msg_server: result {answer.result_code}: {name}", answer.result_code)
    return MsgServer(answer.prior_ip, answer.port, answer.backip_ip)
