"""ServerSearch: asks the servers of a list which of them takes writes. It belongs to the thread that searches; one at a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from pymysql.constants import CR

from dbproxy.stores.mysql.errors import CannotConnectError, error_code, error_text
from dbproxy.stores.mysql.failures import is_not_ready
from dbproxy.stores.mysql.server_role import ServerRole

Address = tuple[str, int]
"""Host and port."""

Attempt = Callable[[Address, float], ServerRole]
"""Connects to an address within so many seconds, closing what was connected before, and returns what the server says. Raises
CannotConnectError."""

SILENCE = 3.0
"""Seconds for which a server that did not answer in time is not asked. Below the 5 s within which everything works again."""

_LEAST_SHARE = 0.1
"""Of the time for a round: what each server gets at least, however long those before it took."""


def named(address: Address) -> str:
    """Return ``host:port``."""
    return f"{address[0]}:{address[1]}"


@dataclass(frozen=True, slots=True)
class Found:
    """The server to be used; the connection of the attempt leads there."""

    address: Address
    role: ServerRole
    """It takes writes, unless it is the one in use, and no other does."""
    said: str = ""
    """Why those before it in the list are not used."""
    rivals: Sequence[Address] = ()
    """Others that take writes although they are no nodes of one cluster with it."""


@dataclass(slots=True)
class _Answers:
    """What the servers said in one round."""

    roles: dict[Address, ServerRole] = field(default_factory=dict)
    said: dict[Address, str] = field(default_factory=dict)
    errors: list[CannotConnectError] = field(default_factory=list)


class ServerSearch:
    """Rounds over the servers of one list. ``is_silent`` and ``note`` may be called by any thread."""

    def __init__(self, addresses: Sequence[Address], limit: float) -> None:
        """``limit``: seconds for one round, about, and for one connect."""
        self._addresses = addresses
        self._limit = limit
        self._silent: dict[Address, float] = {}
        self._refusing: dict[Address, float] = {}

    def is_silent(self, address: Address) -> bool:
        """Whether this server did not answer in time lately."""
        return self._silent.get(address, 0.0) > time.monotonic()

    def note(self, address: Address, error: CannotConnectError) -> None:
        """Remember a server that did not answer in time."""
        text = error_text(error)
        if "timed out" in text or "in time" in text:
            self._silent[address] = time.monotonic() + SILENCE

    def avoid(self, address: Address) -> None:
        """Do not believe this server for a while: it has said that it takes writes, and has refused one."""
        self._refusing[address] = time.monotonic() + SILENCE

    def round(self, attempt: Attempt, current: Address | None, identity: str) -> Found:
        """Ask all servers but the silent ones. ``current`` and ``identity``: the server in use, if there is one; it is kept if it takes
        writes, and also if it answers and no other one does.

        Raises:
            CannotConnectError: there is none to be used; with what each says.

        """
        answers, last = self._ask(attempt)
        writable = [address for address in self._addresses if address in answers.roles and answers.roles[address].takes_writes]
        in_use = current if current in answers.roles and answers.roles[current].identity == identity else None
        chosen = in_use if in_use in writable or not writable else _latest(writable, answers.roles)
        if chosen is None:
            raise _failure(answers)
        role = answers.roles[chosen] if chosen == last else attempt(chosen, self._limit)
        before = self._addresses[: self._addresses.index(chosen)]
        said = "".join(f"; {named(address)}: {answers.said[address]}" for address in before)
        rivals = [address for address in writable if address != chosen and not answers.roles[address].is_node_with(role)]
        return Found(chosen, role, said, rivals)

    def _ask(self, attempt: Attempt) -> tuple[_Answers, Address | None]:
        """Ask them; and the one that the connection leads to afterwards."""
        began = time.monotonic()
        asked = [address for address in self._addresses if not self.is_silent(address)] or list(self._addresses)
        asked.sort(key=lambda address: address in self._silent)  # those that were silent before are the last
        answers, last = _Answers(said=dict.fromkeys(self._addresses, "did not answer lately")), None
        for number, address in enumerate(asked):
            left = began + self._limit - time.monotonic()
            last = None
            try:
                role = attempt(address, max(left / (len(asked) - number), _LEAST_SHARE * self._limit))
            except CannotConnectError as error:
                answers.said[address] = error_text(error)
                answers.errors.append(error)
                self.note(address, error)
                continue
            self._silent.pop(address, None)
            last = address
            if role.takes_writes and self._refusing.get(address, 0.0) > time.monotonic():
                role = replace(role, refusal="it has just refused a write")
            answers.roles[address] = role
            answers.said[address] = role.refusal or "it takes writes, too"
        return answers, last


def _latest(writable: Sequence[Address], roles: dict[Address, ServerRole]) -> Address:
    """The first, unless the history of another one goes on where its own ends."""
    for address in writable:
        if not any(roles[other].has_succeeded(roles[address]) for other in writable):
            return address
    return writable[0]


def _failure(answers: _Answers) -> CannotConnectError:
    text = "none of its servers takes writes: " + "; ".join(f"{named(address)}: {why}" for address, why in answers.said.items())
    errors = answers.errors
    is_final = len(errors) == len(answers.said) and not any(map(is_not_ready, errors))  # waiting does not help
    failure = CannotConnectError(error_code(errors[0]) if is_final else CR.CR_CONN_HOST_ERROR, text)
    failure.__cause__ = errors[-1] if errors else None
    return failure
