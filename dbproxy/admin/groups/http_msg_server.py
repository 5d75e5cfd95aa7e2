"""HttpMsgServer: changes the members of groups through TeamTalk's http_msg_server, which tells the clients that are online. Any thread.

It gives the request to a proxy, as the system itself (user 0), and sends what the proxy answers to the route_server, which lets every
msg_server tell the users who come, leave, and stay (``IMGroupChangeMemberNotify``).

``POST /query/ChangeMembers`` takes a JSON object with ``req_user_id`` (not used, but required), ``group_id``, ``modify_type``
(GroupModifyType) and ``user_id_list``; the answer is a JSON object with ``error_code`` and ``error_msg`` (in Chinese). What it cannot
parse, and a group that no proxy knows, it does not answer: it closes the connection, in the second case after 60 s. Its
``/query/CreateGroup`` is of no use here: it makes a group whose creator is user 0, and tells nobody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import urllib3

from dbproxy.admin.errors import AdminError
from dbproxy.stores.resolver import Resolver
from dbproxy.stores.timed_http import TimedRequest, reason_of, timed_connections

TIMEOUT = 30.0
"""Seconds for one request: a proxy adds 20,000 members in a fraction of a second, and may wait 10 s or more for locks and databases."""

MAX_ANSWER = 16 * 1024
"""Bytes of an answer; what is longer is none."""

MAX_USERS = 20_000
"""Users in one request, at most: every client that is online is sent the whole list."""

ADD, REMOVE = 1, 2
"""GroupModifyType of the protocol."""

_MEANINGS = {
    1: "it does not take the request",
    10: "it has no connection to a db_proxy_server",
    12: "the db_proxy_server refused the change",
}
"""Values of ``error_code`` after which nothing has changed."""

_NOT_SENT = (
    urllib3.exceptions.NewConnectionError,
    urllib3.exceptions.NameResolutionError,
    urllib3.exceptions.ConnectTimeoutError,
)


class HttpMsgServerError(AdminError):
    """The http_msg_server did not do what was asked: it cannot be reached, or it refused. Nothing has changed by this request."""


class NoAnswerError(AdminError):
    """The http_msg_server did not answer, or in no way that is understood: the change may have been made, or be made yet."""


class HttpMsgServer:
    """The interface at ``url``, which ends in a slash."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.url = url
        self._timeout = timeout
        self._resolver = Resolver()

    def change_members(self, group_id: int, modify_type: int, user_ids: Sequence[int]) -> None:
        """Add users to an existing group (``ADD``), or remove them; up to ``MAX_USERS``.

        Raises:
            HttpMsgServerError: nothing has changed.
            NoAnswerError: it is not known what has happened.

        """
        request = {"app_key": "", "req_user_id": 0, "group_id": group_id, "modify_type": modify_type, "user_id_list": list(user_ids)}
        code = self._ask("query/ChangeMembers", json.dumps(request).encode())
        if code in _MEANINGS:
            raise HttpMsgServerError(f"http_msg_server ({self.url}) answered error_code {code}: {_MEANINGS[code]}")
        if code != 0:
            raise NoAnswerError(f"http_msg_server ({self.url}) answered error_code {code}, which is unknown")

    def _ask(self, path: str, body: bytes) -> int:
        """Send a request and return the ``error_code`` of the answer."""
        connections = timed_connections(self._timeout, 1)
        headers = {"Content-Type": "application/json"}
        try:
            with TimedRequest(self._timeout, self._resolver):
                response = connections.request("POST", self.url + path, body=body, headers=headers, preload_content=False)
                try:
                    status, answer = response.status, response.read(MAX_ANSWER)
                finally:
                    response.close()
        except _NOT_SENT as error:
            raise HttpMsgServerError(f"http_msg_server ({self.url}) cannot be reached: {reason_of(error)}") from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise NoAnswerError(f"http_msg_server ({self.url}) did not answer: {reason_of(error)}") from error
        finally:
            connections.clear()
        try:
            code = json.loads(answer)["error_code"]
        except (ValueError, TypeError, KeyError) as error:
            raise NoAnswerError(f"http_msg_server ({self.url}): HTTP status {status}, and the answer is not understood") from error
        if not isinstance(code, int):
            raise NoAnswerError(f"http_msg_server ({self.url}): HTTP status {status}, and its error_code is no number")
        return code
