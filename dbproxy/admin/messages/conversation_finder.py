"""ConversationFinder: which conversation is meant, and what its people and groups are called. Any thread."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dbproxy.admin.errors import NotFoundError, RefusedError
from dbproxy.admin.messages.shown_messages import Conversation, ConversationRow, Person
from dbproxy.admin.people.named_users import LARGEST_ID, as_id, find_user
from dbproxy.models.message_reader import KINDS, ActiveConversation, MessageReader, RelationRow
from dbproxy.models.relation import pair_of
from dbproxy.models.user import UserModel
from dbproxy.models.user_lookup import UserLookup

_PEOPLE, _GROUP = KINDS


class ConversationFinder:
    """Finds conversations by the people in them, or by their ids."""

    def __init__(self, users: UserModel, lookup: UserLookup, reader: MessageReader) -> None:
        self._users = users
        self._lookup = lookup
        self._reader = reader

    def between(self, user: int | str, peer: int | str) -> Conversation:
        """Return the conversation of two users, each given by id or login name; see ``find_users``.

        Raises:
            NotFoundError: there is no such user, or they have never written to each other.
            RefusedError: both are the same.

        """
        first, second = self._user_id(user), self._user_id(peer)
        if first == second:
            raise RefusedError(f"{user!r} and {peer!r} are the same user: give two different ones")
        relations = self._reader.relations_of(pair_of(first, second))
        if not relations:
            raise NotFoundError(f"the users {user!r} and {peer!r} have no conversation")
        return self._of_people(relations)

    def of_group(self, group_id: int) -> Conversation:
        """Return the conversation of a group.

        Raises:
            NotFoundError: there is no such group.
            RefusedError: no group can have this id.

        """
        if not 0 < group_id <= LARGEST_ID:
            raise RefusedError(f"{group_id} is no group id: give a number from 1 to {LARGEST_ID}")
        names = self._reader.group_names((group_id,))
        if group_id not in names and not self._reader.page(KINDS[_GROUP], group_id, 1):
            raise NotFoundError(f"there is no group {group_id}")
        return Conversation(_GROUP, group_id, _group_title(group_id, names.get(group_id)), None, None)

    def by_id(self, kind: str, conversation_id: int) -> Conversation:
        """Return the conversation that a list has shown: of ``people`` by its relate_id, of a ``group`` by the group id. It may be one of
        several relations of two users, which clients do not read.

        Raises:
            NotFoundError: there is none.
            RefusedError: there is no such kind.

        """
        if kind == _GROUP:
            return self.of_group(conversation_id)
        if kind != _PEOPLE:
            raise RefusedError(f"{kind!r} is no kind of conversation: give one of {', '.join(KINDS)}")
        found = self._reader.relations((conversation_id,)) if 0 < conversation_id <= LARGEST_ID else {}
        if conversation_id not in found:
            raise NotFoundError(f"there is no conversation {conversation_id} between two users")
        wanted = found[conversation_id]
        relations = self._reader.relations_of((wanted.small_id, wanted.big_id))
        return self._of_people([wanted, *(row for row in relations if row != wanted)], is_read=relations[:1] == [wanted])

    def rows(self, found: Sequence[tuple[str, ActiveConversation]]) -> list[ConversationRow]:
        """Return what is shown of conversations in a list: (kind, conversation)."""
        relations = self._reader.relations(active.conversation_id for kind, active in found if kind == _PEOPLE)
        groups = self._reader.group_names(active.conversation_id for kind, active in found if kind == _GROUP)
        people = self.people(user_id for row in relations.values() for user_id in (row.small_id, row.big_id))
        shown = []
        for kind, active in found:
            conversation_id = active.conversation_id
            relation = relations.get(conversation_id) if kind == _PEOPLE else None
            first, second = (people[relation.small_id], people[relation.big_id]) if relation else (None, None)
            if kind == _GROUP:
                title = _group_title(conversation_id, groups.get(conversation_id))
            else:
                title = _people_title(first, second) if first and second else f"relation {conversation_id}, which does not exist"
            shown.append(ConversationRow(kind, conversation_id, title, first, second, active.last, active.messages))
        return shown

    def people(self, user_ids: Iterable[int]) -> dict[int, Person]:
        """Return all of these users, by id, with what they are called as far as they exist."""
        wanted = set(user_ids)
        found = self._users.get_many(wanted)
        return {user_id: _person(user_id, found[user_id].name, found[user_id].nick) for user_id in found} | {
            user_id: Person(user_id, "", "") for user_id in wanted - found.keys()
        }

    def _user_id(self, user: int | str) -> int:
        if isinstance(user, int):
            if not 0 < user <= LARGEST_ID:
                raise RefusedError(f"{user} is no user id: give a number from 1 to {LARGEST_ID}")
            return user  # perhaps without a row: the messages of deleted users are still there
        try:
            return find_user(self._lookup, user).user_id
        except NotFoundError:
            number = as_id(user)
            if not number:
                raise
            return number

    def _of_people(self, relations: Sequence[RelationRow], *, is_read: bool = True) -> Conversation:
        """Return the conversation of the first of the relations of two users. The others are those that have messages: one that a merge
        has emptied hides nothing.
        """
        first, *others = relations
        people = self.people((first.small_id, first.big_id))
        small, big = people[first.small_id], people[first.big_id]
        stored = self._reader.with_messages(row.relate_id for row in others) if others else set()
        relate_ids = tuple(row.relate_id for row in others if row.relate_id in stored)
        return Conversation(_PEOPLE, first.relate_id, _people_title(small, big), small, big, relate_ids, is_read)


def _person(user_id: int, name: bytes, nick: bytes) -> Person:
    return Person(user_id, name.decode(errors="replace"), nick.decode(errors="replace"))


def _people_title(first: Person, second: Person) -> str:
    return f"{first.shown} — {second.shown}"


def _group_title(group_id: int, name: bytes | None) -> str:
    return (name or b"").decode(errors="replace") or f"group {group_id}"
