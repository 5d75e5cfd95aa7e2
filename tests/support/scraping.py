"""Asking the HTTP endpoint of a proxy."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def get(address: tuple[str, int], path: str, method: str = "GET", headers: Mapping[str, str] | None = None) -> Answer:
    connection = http.client.HTTPConnection(*address, timeout=10)
    try:
        connection.request(method, path, headers=dict(headers or {}))
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())
    finally:
        connection.close()


def raw(address: tuple[str, int], data: bytes) -> bytes:
    """Send these bytes, and return all that comes back; nothing if the connection is reset."""
    with socket.create_connection(address, timeout=10) as sock:
        try:
            sock.sendall(data)
            received = b""
            while part := sock.recv(65536):
                received += part
        except ConnectionError:
            return b""
        return received


Labels = frozenset[tuple[str, str]]


def scrape(address: tuple[str, int]) -> dict[tuple[str, Labels], float]:
    """Parse /metrics as Prometheus does: (name, labels) → value."""
    answer = get(address, "/metrics")
    assert answer.status == 200
    samples: dict[tuple[str, Labels], float] = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation, family.name
        for sample in family.samples:
            key = (sample.name, frozenset(sample.labels.items()))
            assert key not in samples, key
            samples[key] = sample.value
    return samples


def value(samples: Mapping[tuple[str, Labels], float], name: str, **labels: str) -> float:
    return samples[name, frozenset(labels.items())]
