"""What the HTTP endpoint answers: metrics, health, the state as JSON, and the dashboard. The thread of the connection."""

from __future__ import annotations

import json
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args

from dbproxy.net.connection_counters import SortKey
from dbproxy.ops.http_message import HttpError, Request, Response
from dbproxy.ops.metrics import Metrics
from dbproxy.ops.snapshot import MOST_CONNECTIONS, SORT_KEYS, ReactorStuckError, Snapshots
from dbproxy.ops.static_files import StaticFiles

LISTED_CONNECTIONS = 50


class HttpPages:
    """The pages of one proxy; ``respond`` is what ``HttpServer`` calls."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._metrics = Metrics(snapshots.status)
        self._files = StaticFiles(Path(__file__).parent / "dashboard")
        self._pages: dict[str, Callable[[Request], Response]] = {
            "/metrics": lambda _: Response(*self._metrics.render()),
            "/healthz": lambda _: self._health(),
            "/readyz": lambda _: self._readiness(),
            "/status.json": lambda _: _json(snapshots.status()),
            "/connections.json": self._connections,
        }

    def respond(self, request: Request) -> Response:
        """Answer a request.

        Raises:
            HttpError: there is no such page, or a parameter is wrong.

        """
        page = self._pages.get(request.path)
        return self._files.respond(request) if page is None else page(request)

    def _health(self) -> Response:
        if self._snapshots.alive():
            return Response(b"ok\n")
        return Response(b"the reactor does not turn\n", status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _readiness(self) -> Response:
        reasons = self._snapshots.reasons()
        if not reasons:
            return Response(b"ready\n")
        return Response("".join(f"{reason}\n" for reason in reasons).encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)

    def _connections(self, request: Request) -> Response:
        sort = request.query.get("sort", "backlog")
        limit = request.query.get("limit", str(LISTED_CONNECTIONS))
        if sort not in SORT_KEYS:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"sort: expected one of {', '.join(get_args(SortKey))}")
        if not limit.isascii() or not limit.isdigit() or len(limit) > 6 or not 1 <= int(limit) <= MOST_CONNECTIONS:
            raise HttpError(HTTPStatus.BAD_REQUEST, f"limit: expected a number from 1 to {MOST_CONNECTIONS}")
        try:
            return _json(self._snapshots.connections(sort, int(limit)))
        except ReactorStuckError as error:
            raise HttpError(HTTPStatus.SERVICE_UNAVAILABLE, str(error)) from None


def _json(content: Any) -> Response:  # noqa: ANN401
    return Response(json.dumps(content, separators=(",", ":")).encode(), "application/json")
