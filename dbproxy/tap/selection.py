"""Selection: which of the PDUs that pass are shown and saved. One thread."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from dbproxy.tap.pdus import TappedPdu
from dbproxy.wire.decode import MAX_DECODED, users_of
from dbproxy.wire.pb import base_define_pb2

MAX_REMEMBERED = 100_000
"""Selected requests whose answers are waited for; of more the oldest are forgotten."""


@dataclass(frozen=True, slots=True)
class Criteria:
    """A PDU is selected if it fits everything that is not empty or None; the answer to a selected request is selected, too."""

    command_ids: frozenset[int] = frozenset()
    user: int | None = None
    """A user whom the PDU is from or about."""
    connection: int | None = None
    slower: float | None = None
    """Only answers that took longer than so many seconds."""
    heartbeats: bool = False
    """Whether heartbeats are selected."""


class Selection:
    """Applies ``Criteria`` to PDUs in their order."""

    def __init__(self, criteria: Criteria) -> None:
        self._criteria = criteria
        self._selected: OrderedDict[int, None] = OrderedDict()

    def takes(self, tapped: TappedPdu) -> tuple[bool, bool]:
        """Whether a PDU is selected apart from ``slower``, and whether it is selected."""
        wanted = self._criteria
        if tapped.answers is not None and (tapped.answers in self._selected or self._is_wanted(tapped)):
            self._selected.pop(tapped.answers, None)
            return True, wanted.slower is None or (tapped.latency or 0) > wanted.slower
        if not self._is_wanted(tapped):
            return False, False
        if tapped.kind is not None and tapped.kind.reply_id:
            self._selected[tapped.number] = None
            if len(self._selected) > MAX_REMEMBERED:
                self._selected.popitem(last=False)
        return True, wanted.slower is None

    def _is_wanted(self, tapped: TappedPdu) -> bool:
        wanted = self._criteria
        if tapped.pdu.command_id == base_define_pb2.CID_OTHER_HEARTBEAT and not wanted.heartbeats:
            return False
        if wanted.connection is not None and tapped.connection != wanted.connection:
            return False
        if wanted.command_ids and tapped.pdu.command_id not in wanted.command_ids:
            return False
        return wanted.user is None or self._is_of_user(tapped, wanted.user)

    @staticmethod
    def _is_of_user(tapped: TappedPdu, user: int) -> bool:
        if tapped.kind is None or len(tapped.pdu.body) > MAX_DECODED:
            return False
        try:
            return user in users_of(tapped.kind.message.FromString(tapped.pdu.body))
        except DecodeError:
            return False
