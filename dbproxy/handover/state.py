"""What a process hands over: listening sockets, connections, and requests that no worker has begun. Plain values, no sockets of Python.

Times are of the monotonic clock, which all processes of a machine share.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from dbproxy.handover.channel import MAX_DESCRIPTORS, Channel, Frame, PayloadCutter
from dbproxy.net.conn_state import ConnState

_Value = TypeVar("_Value")

REQUESTS_PER_FRAME = 1000
"""Requests that are sent with one frame."""


@dataclass(frozen=True, slots=True)
class ListenerState:
    """A listening socket: ``role`` says what it is for, ``host`` and ``port`` are those of the configuration (port 0: any)."""

    role: str
    host: str
    port: int
    descriptor: int


@dataclass(frozen=True, slots=True)
class RequestState:
    """A request that has been read and not been begun."""

    uuid: int
    peer: str
    command_id: int
    seq_num: int
    received_at: float
    body: bytes


@dataclass(slots=True)
class HandoverState:
    """Everything that changes hands. ``keys_at_work``: ordering keys of requests that the former process still answers."""

    last_uuid: int
    listeners: list[ListenerState] = field(default_factory=list)
    connections: list[ConnState] = field(default_factory=list)
    requests: list[RequestState] = field(default_factory=list)
    keys_at_work: list[Hashable] = field(default_factory=list)

    def send(self, channel: Channel) -> None:
        """Send all of it. The descriptors stay open here.

        Raises:
            ChannelError: see ``Channel.send``.

        """
        for listener in self.listeners:
            fields = {"role": listener.role, "host": listener.host, "port": listener.port}
            channel.send("listener", fields, descriptors=(listener.descriptor,))
        for connections in _slices(self.connections, MAX_DESCRIPTORS):
            fields = {"connections": [_fields(connection) for connection in connections]}
            payload = [part for connection in connections for part in (connection.unfinished, *connection.unsent)]
            channel.send("connections", fields, payload, [connection.descriptor for connection in connections])
        for requests in _slices(self.requests, REQUESTS_PER_FRAME):
            rows = [[one.uuid, one.peer, one.command_id, one.seq_num, one.received_at, len(one.body)] for one in requests]
            channel.send("requests", {"requests": rows}, [one.body for one in requests])
        channel.send("end", {"last_uuid": self.last_uuid, "keys_at_work": self.keys_at_work})

    @classmethod
    def receive(cls, channel: Channel) -> HandoverState:
        """Receive what ``send`` sends; the descriptors belong to the caller.

        Raises:
            ChannelError: see ``Channel.receive``; no descriptor stays open then.

        """
        state = cls(0)
        try:
            while True:
                frame = channel.receive("listener", "connections", "requests", "end")
                if frame.kind == "end":
                    state.last_uuid = frame.fields["last_uuid"]
                    state.keys_at_work = [tuple(key) for key in frame.fields["keys_at_work"]]
                    return state
                state._add(frame)
        except BaseException:
            state.close()
            raise

    def close(self) -> None:
        """Close every descriptor."""
        for descriptor in [one.descriptor for one in self.listeners] + [one.descriptor for one in self.connections]:
            os.close(descriptor)

    def _add(self, frame: Frame) -> None:
        if frame.kind == "listener":
            self.listeners.append(ListenerState(**frame.fields, descriptor=frame.descriptors[0]))
            return
        take = PayloadCutter(frame.payload).take
        if frame.kind == "connections":
            for fields, descriptor in zip(frame.fields["connections"], frame.descriptors, strict=True):
                unfinished, unsent = take(fields.pop("unfinished")), take(fields.pop("unsent"))
                self.connections.append(
                    ConnState(**fields, descriptor=descriptor, unfinished=unfinished, unsent=(unsent,) if unsent else ())
                )
        else:
            self.requests += [
                RequestState(uuid, peer, command_id, seq_num, received_at, take(size))
                for uuid, peer, command_id, seq_num, received_at, size in frame.fields["requests"]
            ]


def _fields(connection: ConnState) -> dict[str, Any]:
    fields = {name: getattr(connection, name) for name in ("uuid", "peer", "opened", "last_received", "last_sent")}
    return {**fields, "unfinished": len(connection.unfinished), "unsent": sum(map(len, connection.unsent))}


def _slices(values: Sequence[_Value], size: int) -> Iterator[Sequence[_Value]]:
    return (values[start : start + size] for start in range(0, len(values), size))
