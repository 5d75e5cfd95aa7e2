"""Summaries: the last message of each conversation in a list. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from dbproxy.models.group_message import GroupMessageModel
from dbproxy.models.history import SOUNDS, LastMessage
from dbproxy.models.message import MessageModel
from dbproxy.models.relation import Pair, pair_of
from dbproxy.models.session import SINGLE


@dataclass(frozen=True, slots=True)
class FoundSummaries:
    """The last messages that were found."""

    people: Mapping[Pair, LastMessage]
    groups: Mapping[int, LastMessage]

    def get(self, user_id: int, peer_id: int, session_type: int) -> LastMessage | None:
        """The summary of one session, None when it has no message. Of a person, the peer is given as the sender, whoever wrote."""
        if session_type != SINGLE:
            return self.groups.get(peer_id)
        last = self.people.get(pair_of(user_id, peer_id))
        return None if last is None else LastMessage(last.msg_id, last.msg_type, peer_id, last.content)


class Summaries:
    """Looks up the last messages of many conversations at once."""

    def __init__(self, messages: MessageModel, group_messages: GroupMessageModel, sound_label: bytes) -> None:
        """``sound_label`` stands in for the content of a sound."""
        self._messages = messages
        self._group_messages = group_messages
        self._sound_label = sound_label

    def of(self, people: Iterable[Pair], group_ids: Iterable[int]) -> FoundSummaries:
        """Find the last messages of these pairs of users and these groups."""
        return FoundSummaries(
            {pair: self._labelled(last) for pair, last in self._messages.last(people).items()},
            {group_id: self._labelled(last) for group_id, last in self._group_messages.last(group_ids).items()},
        )

    def _labelled(self, last: LastMessage) -> LastMessage:
        if last.msg_type not in SOUNDS:
            return last
        return LastMessage(last.msg_id, last.msg_type, last.from_id, self._sound_label)
