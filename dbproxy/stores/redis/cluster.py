"""Cluster: pipelines on a Redis Cluster, for one pool. Any thread.

A pipeline is split by node, sent to all nodes first, and then their replies are read: one round trip for each node, at the same time. What
a node has surely not executed is sent again, to the node that has the slot now: commands answered with MOVED, ASK, TRYAGAIN, CLUSTERDOWN,
READONLY or LOADING, and those for a node that could not be connected to. Of MULTI … EXEC, which is for one key, that means the whole of it:
a transaction with such a reply was not executed. What was sent over a connection that broke, or to a node that did not answer in time, may
have been executed and is never sent again.

For a new master, or until a slot can be used, a thread waits until ``CacheTimeout`` has passed since the beginning, or since the node
could not be used any more, so that a long outage delays nobody; no attempt begins later. With one more ``CacheTimeout`` for replies and
``CacheConnectTimeout`` for connects that is the longest time in all, as for a single server.

A thread has at most one connection to each node, and the pool's limit is for threads, not connections: who is in here never waits for a
connection, so that holding several cannot deadlock, and each node has at most ``maxconncnt`` connections of the pool.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import redis

from dbproxy.stores.backend_calls import BackendCalls, Wait
from dbproxy.stores.redis.address import may_get_ready
from dbproxy.stores.redis.cluster_map import ClusterMap
from dbproxy.stores.redis.cluster_node import Node, NodeFailedError, NodeSettings, Notices
from dbproxy.stores.redis.cluster_slots import NOT_EXECUTED, Address, Plan, recognized, redirected
from dbproxy.stores.redis.commands import CacheCommand
from dbproxy.stores.redis.driver import DriverConnection

MAX_REDIRECTIONS = 16
"""How often commands are sent elsewhere without a pause."""

SHORTEST_PAUSE, LONGEST_PAUSE = 0.02, 0.2
"""Seconds between two attempts while a slot cannot be used."""

RETRY_TIMEOUT = 1.0
"""Seconds for a connect to a node that could not be used last time: another one may take over meanwhile."""

SHORTEST_STEP = 0.05
"""Seconds for a connect that is begun when there is no time left."""

WELL_IN_TIME = 0.25
"""Seconds after which the wait for other nodes is counted into the time that a node has for its reply."""

_ASKING: CacheCommand = ("ASKING",)
_NO_NODE = Wait("wait for a node of the cluster")


class _Round:
    """What became of one attempt."""

    def __init__(self) -> None:
        self.refused = False
        """Whether some reply is an error."""
        self.elsewhere: dict[Address | None, list[int]] = {}
        """What was not executed and where to send it, by the place in the plan."""
        self.asking: set[int] = set()
        """Those of them that need ASKING in front."""
        self.later: list[int] = []
        """What was not executed and can be sent when the topology is known, or the node is ready."""
        self.down: set[Address | None] = set()
        """Nodes that cannot be used; None: there is no node for a slot."""
        self.unusable: NodeFailedError | None = None
        """Why something of ``later`` could not be sent."""
        self.lost: NodeFailedError | None = None
        """What may have been executed was lost, or the server does not let us in."""


class _Call:
    """The commands for one node in one attempt, with the connection that carries them."""

    def __init__(self, node: Node, places: list[int], commands: list[CacheCommand]) -> None:
        self.node = node
        self.places = places
        self.commands = commands
        self.connection: DriverConnection = node.take()
        self.sent = 0.0
        """When; 0: they are not."""

    def end(self, *, lost: bool) -> None:
        """Put the connection back, closed if replies may still come."""
        if lost:
            self.connection.disconnect()
        self.node.give(self.connection)


class Cluster:
    """The nodes of one Redis Cluster, as one pool uses them."""

    def __init__(self, settings: NodeSettings, known: Iterable[Address] = ()) -> None:
        """``known``: nodes to begin with, beside the one that the configuration names."""
        self._calls: BackendCalls = settings.calls
        self._connect_timeout = settings.config.cache_connect_timeout
        self._timeout = settings.config.cache_timeout
        self.map = ClusterMap(settings, known)

    def check(self, notices: Notices) -> None:
        """Check that all slots are served, and ask each master for a sign of life. Raises NodeFailedError."""
        if self.map.topology.masters:
            self.map.look_if_due(notices, self._timeout)
        else:
            self.map.look(notices)
        topology = self.map.topology
        if topology.unserved:
            self.map.look_soon()
            text = f"{topology.unserved} of {len(topology.owners)} slots are served by no node"
            raise NodeFailedError(None, redis.ConnectionError(text), connected=False)
        for address in topology.masters:
            (reply,) = self.exchange_with(address, [("PING",)], notices)
            if isinstance(reply, redis.RedisError):
                raise NodeFailedError(address, reply, connected=True)

    def exchange_with(self, address: Address, commands: Sequence[CacheCommand], notices: Notices) -> list[Any]:
        """Send commands to one node, wherever their keys are, and return the replies. Raises NodeFailedError."""
        plan, replies = Plan(commands), [None] * len(commands)
        found = self._attempt(plan, {address: list(range(len(commands)))}, set(), replies, self._until(), notices)
        failure = found.lost or found.unusable
        if failure is not None:
            raise failure
        return replies

    def exchange(self, commands: Sequence[CacheCommand], notices: Notices) -> tuple[list[Any], redis.ResponseError | None]:
        """Send commands, at least one, and return their replies in order, those to refused ones as ResponseErrors, and the last of these.

        Raises:
            NodeFailedError: something could not be sent, or may have been executed without our knowing.

        """
        plan = Plan(commands)
        replies: list[Any] = [None] * len(plan.commands)
        began = time.monotonic()
        connect_until = began + self._connect_timeout + self._timeout
        if began >= self.map.due:
            self.map.look_if_due(notices, self._timeout)
        pending, asking = plan.by_owner(self.map.topology.owners), set[int]()
        refused, redirections, pause = False, 0, SHORTEST_PAUSE
        while True:
            found = self._attempt(plan, pending, asking, replies, connect_until, notices)
            refused = refused or found.refused
            if found.lost is not None:
                self.map.look_soon()
                raise found.lost
            if not found.later and not found.elsewhere:
                break
            redirections += 1
            if not found.later and redirections <= MAX_REDIRECTIONS:
                pending, asking = found.elsewhere, found.asking
                continue
            waiting_since = min(began, self.map.down_since(found.down)) if found.down else began
            if time.monotonic() - waiting_since >= self._timeout:
                self.map.look_soon()
                if found.unusable is not None:
                    raise found.unusable
                break
            self._pause(pause)
            pause = min(2 * pause, LONGEST_PAUSE)
            self.map.look_soon()
            self.map.look_if_due(notices, began + self._timeout - time.monotonic())
            left = sorted([*found.later, *(place for places in found.elsewhere.values() for place in places)])
            pending, asking = plan.by_owner(self.map.topology.owners, left), set()
        answers = plan.answers(replies)
        return answers, _last_refusal(answers) if refused else None

    def _until(self) -> float:
        return time.monotonic() + self._connect_timeout + self._timeout

    def _pause(self, seconds: float) -> None:
        self._calls.begin()
        try:
            time.sleep(seconds)
        finally:
            self._calls.end(_NO_NODE)

    def _attempt(
        self,
        plan: Plan,
        pending: Mapping[Address | None, list[int]],
        asking: set[int],
        replies: list[Any],
        connect_until: float,
        notices: Notices,
    ) -> _Round:
        """Send what is pending to its nodes and put the replies into ``replies``, at the places of the commands."""
        found = _Round()
        calls: list[_Call] = []
        try:
            for address, places in pending.items():
                if address is None:
                    found.later += places
                    found.down.add(None)
                    text = f"no node serves slot {plan.slots[places[0]]}"
                    found.unusable = NodeFailedError(None, redis.ConnectionError(text), connected=False)
                    continue
                commands = [plan.commands[place] for place in places] if not asking else _with_asking(plan, places, asking)
                call = _Call(self.map.node(address), places, commands)
                calls.append(call)
                self._send(call, found, connect_until, notices)
            while calls:
                call = calls[-1]
                if call.sent:
                    self._receive(call, plan, asking, replies, found, notices)
                calls.pop().end(lost=not call.sent)
        finally:
            for call in calls:
                call.end(lost=True)
        return found

    def _send(self, call: _Call, found: _Round, connect_until: float, notices: Notices) -> None:
        node, left = call.node, connect_until - time.monotonic()
        try:
            within = max(SHORTEST_STEP, min(left, RETRY_TIMEOUT) if node.failures else left)
            if node.failures and self.map.has_failed_for(node.address, self._timeout):
                node.ensure_connected_by_one(call.connection, within, notices)
            else:
                node.ensure_connected(call.connection, within, notices)
        except (redis.RedisError, OSError) as error:
            call.node.failures += 1
            failure = NodeFailedError(call.node.address, error, connected=False)
            if may_get_ready(error):
                found.later += call.places
                found.down.add(call.node.address)
                found.unusable = failure
            else:
                found.lost = failure
            return
        try:
            call.connection.send(call.commands)
            call.sent = time.monotonic()
        except (redis.RedisError, OSError) as error:
            call.node.failures += 1
            found.lost = NodeFailedError(call.node.address, error, connected=True)

    def _receive(self, call: _Call, plan: Plan, asking: set[int], replies: list[Any], found: _Round, notices: Notices) -> None:
        """Take the replies of one node; ``call.sent`` is 0 afterwards if they did not come."""
        try:
            # While others were waited for, this one has had its time as well.
            left = call.sent + self._timeout - time.monotonic()
            if (found.lost is not None or left < self._timeout - WELL_IN_TIME) and not call.connection.has_replies(left):
                raise redis.TimeoutError("it did not answer in time")
            received, refused = call.connection.receive(len(call.commands))
        except (redis.RedisError, OSError) as error:
            call.node.failures += 1
            call.sent = 0.0
            found.lost = NodeFailedError(call.node.address, error, connected=True)
            return
        call.node.failures = 0
        if asking:
            received = [reply for command, reply in zip(call.commands, received, strict=True) if command is not _ASKING]
        for place, reply in zip(call.places, received, strict=True):
            replies[place] = reply
        if refused is not None:
            found.refused = True
            self._sort_out(call, plan, replies, found, notices)
        if call.node.address not in found.down:
            self.map.answered(call.node.address)

    def _sort_out(self, call: _Call, plan: Plan, replies: list[Any], found: _Round, notices: Notices) -> None:
        """Find what was not executed among the replies of one node."""
        for place in call.places:
            replies[place] = recognized(replies[place])
        position = 0
        while position < len(call.places):
            place = call.places[position]
            size = plan.blocks.get(place, 1)
            places = call.places[position : position + size]
            position += size
            reason = next((replies[one] for one in places if isinstance(replies[one], NOT_EXECUTED)), None)
            if reason is None:
                continue
            if isinstance(reason, redis.exceptions.AskError):
                address = redirected(reason, call.node.address)
                if isinstance(reason, redis.exceptions.MovedError):
                    self.map.moved(reason.slot_id, address, notices)
                else:
                    found.asking.add(place)
                found.elsewhere.setdefault(address, []).extend(places)
            else:
                found.later += places
                if not isinstance(reason, redis.exceptions.TryAgainError):
                    found.down.add(call.node.address)
                if isinstance(reason, redis.BusyLoadingError):
                    found.unusable = NodeFailedError(call.node.address, reason, connected=True)


def _with_asking(plan: Plan, places: Sequence[int], asking: set[int]) -> list[CacheCommand]:
    """The commands, with ASKING in front of those that need it; a MULTI passes it on to its transaction."""
    commands: list[CacheCommand] = []
    for place in places:
        if place in asking:
            commands.append(_ASKING)
        commands.append(plan.commands[place])
    return commands


def _last_refusal(replies: Sequence[Any]) -> redis.ResponseError | None:
    return next((reply for reply in reversed(replies) if isinstance(reply, redis.ResponseError)), None)
