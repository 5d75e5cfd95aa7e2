"""The load of the soak test: message servers, each with one connection on which it sends the requests of many users."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from google.protobuf.message import Message

from dbproxy.testing.client import Client, ConnectionClosedError, Pdu
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2
from devtools.history import Acknowledged, Conversation, MessageHistory, Sound, text_of, token_of

USERS = range(1, 25)
"""All users; their names are user1, user2, ..."""

GROUPS = range(101, 106)
"""Groups that exist from the start; see ``members_of``."""

PERMANENT_MEMBERS = range(1, 16)
"""Users that never leave their groups: their messages to a group must be answered."""

TEMPORARY_MEMBERS = range(16, 25)
"""Users that are added to groups and removed again."""

MESSAGE_TIMEOUT = 30.0
"""Seconds in which a message must be acknowledged or refused, whatever the backends do."""

OUTCOME_TIMEOUT = 5.0
"""Seconds to wait for the reply to a lookup: there is none if a backend fails."""

SLOW = 5.0
"""Seconds, the RequestTimeout of the proxies. Without a fault no message takes that long, even on a busy machine."""

LONGEST_BURST = 6


def members_of(group_id: int) -> list[int]:
    """Return the permanent members of a group."""
    return [user_id for user_id in PERMANENT_MEMBERS if user_id % len(GROUPS) != group_id % len(GROUPS)]


@dataclass(frozen=True, slots=True)
class FailedRequest:
    """A request that was refused, slow or not answered: when it was sent and when that was noticed (seconds of the monotonic clock).
    Sounds need the file server and do not count as messages.
    """

    what: str
    sent: float
    is_message: bool
    noticed: float = field(default_factory=time.monotonic)


class MessageServer:
    """One connection, opened again when it is lost, in a thread of its own. All public methods belong to the thread that created it."""

    def __init__(self, number: int, seed: str, connect: Callable[[random.Random], tuple[str, Client]], pause: float) -> None:
        """``connect`` returns the name of the proxy that it has chosen and the connection; ``pause``: mean seconds between actions."""
        self.history = MessageHistory(number)
        self.counts: Counter[str] = Counter()
        self.failed: list[FailedRequest] = []
        """Messages refused, requests not answered."""
        self.lost: list[tuple[str, float]] = []
        """Lost connections: name of the proxy, when."""
        self.problems: list[str] = []
        self.slow: list[FailedRequest] = []
        """Messages whose reply took longer than ``SLOW``."""
        self.stale: list[FailedRequest] = []
        self.slowest = 0.0
        """Seconds that the slowest reply to a message took."""
        self._connect = connect
        self._pause = pause
        self._rng = random.Random(f"{seed}/writer/{number}")
        self._client: Client | None = None
        self._proxy = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"soak-writer-{number}", daemon=True)
        self._actions: list[tuple[int, Callable[[Client], None]]] = [
            (30, self._write_to_person),
            (20, self._write_to_group),
            (10, self._read_unread),
            (8, self._read_sessions),
            (8, self._read_messages),
            (4, self._read_own_message),
            (8, self._acknowledge),
            (6, self._read_users),
            (5, self._read_groups),
            (4, self._use_device),
            (4, self._log_in),
            (3, self._change_group),
            (2, self._change_self),
            (1, self._send_file),
            (1, self._send_sound),
        ]

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ask the thread to end after its current action."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the thread; RuntimeError when it does not end."""
        self._thread.join(MESSAGE_TIMEOUT + OUTCOME_TIMEOUT + 10)
        if self._thread.is_alive():
            raise RuntimeError(f"{self._thread.name} does not end")

    def _run(self) -> None:
        weights = [weight for weight, _ in self._actions]
        actions = [action for _, action in self._actions]
        while not self._stop.is_set():
            try:
                client = self._connection()
                self._rng.choices(actions, weights)[0](client)
            except TimeoutError:
                self._drop()  # a late reply must not be taken for the next one
            except (ConnectionClosedError, OSError):
                if self._client is not None:
                    self.lost.append((self._proxy, time.monotonic()))
                self._drop()
                self._stop.wait(0.1)
            except Exception as error:  # noqa: BLE001 - every unexpected error is a finding
                self.problems.append(f"writer {self.history.number}: {error!r}")
                self._drop()
            self._stop.wait(self._rng.expovariate(1 / self._pause))
        self._drop()

    def _connection(self) -> Client:
        if self._client is None:
            self._proxy, self._client = self._connect(self._rng)
        return self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _user(self) -> int:
        return self._rng.choice(USERS)

    def _ask(self, client: Client, what: str, ask: Callable[[], object]) -> None:
        """Send one lookup. It stays unanswered if a backend fails."""
        client.timeout = OUTCOME_TIMEOUT
        sent = time.monotonic()
        try:
            ask()
        except TimeoutError:
            self.failed.append(FailedRequest(f"{what} on {self._proxy} was not answered", sent, is_message=False))
            self.counts["dropped"] += 1
            raise
        self.counts[what] += 1

    # messages

    def _write_to_person(self, client: Client) -> None:
        sender, receiver = self._rng.sample(USERS, 2)
        self._burst(client, Conversation.between(sender, receiver), sender, receiver)
        self._ask(client, "tokens", lambda: client.device_tokens([receiver]))

    def _write_to_group(self, client: Client) -> None:
        group_id = self._rng.choice(GROUPS)
        sender = self._rng.choice(members_of(group_id))
        self._burst(client, Conversation.in_group(group_id), sender, group_id)

    def _burst(self, client: Client, conversation: Conversation, sender: int, receiver: int) -> None:
        """Send some messages at once: their ids must be in the order of sending."""
        kind = base.MSG_TYPE_GROUP_TEXT if conversation.to_group else base.MSG_TYPE_SINGLE_TEXT
        tokens = [self.history.next_token() for _ in range(self._rng.randint(1, LONGEST_BURST))]
        requests = [message(sender, receiver, text_of(token), msg_type=kind) for token in tokens]
        replies = self._replies(client, requests)
        for token, (msg_id, sent, noticed) in zip(tokens, replies, strict=False):
            if msg_id:
                self.history.acknowledged.append(Acknowledged(conversation, sender, token, msg_id))
                self.counts["messages"] += 1
            else:
                self.history.refused += 1
                self.failed.append(FailedRequest(f"message {token} on {self._proxy} was refused", sent, True, noticed))
        missing = len(tokens) - len(replies)
        if missing:
            self.history.unanswered += missing

    def _replies(self, client: Client, requests: Sequence[message_pb2.IMMsgData]) -> list[tuple[int, float, float]]:
        """Send messages and collect (msg_id, when sent, when answered) of the replies. Records a timeout; a lost connection ends it."""
        client.timeout = MESSAGE_TIMEOUT
        sent = time.monotonic()
        replies: dict[int, tuple[int, float, float]] = {}
        numbers: list[int] = []
        try:
            numbers += [client.send(request) for request in requests]
            while len(replies) < len(numbers):
                pdu = client.receive(MESSAGE_TIMEOUT)
                if pdu.seq_num not in numbers or pdu.seq_num in replies:
                    self.problems.append(f"writer {self.history.number}: a reply without a request: {pdu}")
                    continue
                now = time.monotonic()
                if now - sent > SLOW:
                    self.slow.append(FailedRequest(f"a message on {self._proxy} took {now - sent:.1f} s", sent, True, now))
                self.slowest = max(self.slowest, now - sent)
                replies[pdu.seq_num] = (_msg_id(pdu), sent, now)
        except TimeoutError:
            self.problems.append(f"{len(numbers) - len(replies)} messages on {self._proxy} were not answered in {MESSAGE_TIMEOUT:g} s")
            self._drop()
        except (ConnectionClosedError, OSError):
            self.lost.append((self._proxy, time.monotonic()))
            self._drop()
        if [number for number in numbers if number in replies] != numbers[: len(replies)]:
            # replies of one conversation on one connection come in the order of the requests
            self.problems.append(f"writer {self.history.number}: {self._proxy} answered {list(replies)} of {numbers}")
            return []
        return [replies[number] for number in numbers[: len(replies)]]

    def _send_sound(self, client: Client) -> None:
        to_group = self._rng.random() < 0.3
        sender, receiver = self._rng.sample(PERMANENT_MEMBERS, 2)
        conversation = Conversation.between(sender, receiver)
        if to_group:
            receiver = self._rng.choice(GROUPS)
            sender = self._rng.choice(members_of(receiver))
            conversation = Conversation.in_group(receiver)
        sound = self._rng.randbytes(self._rng.randint(10, 20_000))
        client.timeout = MESSAGE_TIMEOUT
        sent = time.monotonic()
        try:
            msg_id = client.send_sound(sender, receiver, sound, group=to_group).msg_id
        except TimeoutError:
            self.problems.append(f"a sound on {self._proxy} was not answered in {MESSAGE_TIMEOUT:g} s")
            raise
        if msg_id:
            self.history.sounds.append(Sound(conversation, sender, msg_id, len(sound)))
            self.counts["sounds"] += 1
        else:
            self.failed.append(FailedRequest(f"a sound on {self._proxy} was refused", sent, is_message=False))

    # reading

    def _read_unread(self, client: Client) -> None:
        self._ask(client, "unread", lambda: client.unread(self._user()))

    def _read_sessions(self, client: Client) -> None:
        self._ask(client, "recent", lambda: client.recent_sessions(self._user(), self._rng.choice((0, int(time.time()) - 60))))

    def _read_messages(self, client: Client) -> None:
        user_id, peer_id = self._rng.sample(PERMANENT_MEMBERS, 2)
        kind = SINGLE
        if self._rng.random() < 0.4:
            peer_id, kind = self._rng.choice(GROUPS), GROUP

        def check_list() -> None:
            for entry in client.messages(user_id, peer_id, kind).msg_list:
                token = token_of(entry.msg_data.decode(errors="replace"))
                if token and entry.msg_data != text_of(token).encode() and int(token.partition(".")[0]) == self.history.number:
                    self.problems.append(f"message {token} was read as {entry.msg_data[:60]!r}")

        self._ask(client, "list", check_list)
        self._ask(client, "latest", lambda: client.latest_msg_id(user_id, peer_id, kind))
        self._ask(client, "by id", lambda: client.messages_by_id(user_id, peer_id, range(1, 30), kind))

    def _read_own_message(self, client: Client) -> None:
        """Whoever has been told that a message is stored finds it, whichever proxy they ask and whichever server that one reads from."""
        sender, receiver = self._rng.sample(USERS, 2)
        before = len(self.history.acknowledged)
        self._burst(client, Conversation.between(sender, receiver), sender, receiver)
        stored = self.history.acknowledged[before:]
        if not stored:
            return
        sent = time.monotonic()
        try:
            proxy, other = self._connect(self._rng)
        except OSError:
            return  # it is stopped
        with other:
            other.timeout = OUTCOME_TIMEOUT
            try:
                latest = other.latest_msg_id(sender, receiver, SINGLE).latest_msg_id
            except TimeoutError:
                self.failed.append(FailedRequest(f"latest on {proxy} was not answered", sent, is_message=False))
                self.counts["dropped"] += 1
                return
            except (ConnectionClosedError, OSError):
                return  # it may have been stopped just now
        self.counts["own messages"] += 1
        if latest < stored[-1].msg_id:
            text = (
                f"{proxy} said {latest} is the latest msg_id of {sender} and {receiver}, {self._proxy} had acknowledged {stored[-1].msg_id}"
            )
            self.stale.append(FailedRequest(text, sent, is_message=False))

    def _acknowledge(self, client: Client) -> None:
        user_id, peer_id = self._rng.sample(USERS, 2)
        client.read_ack(user_id, peer_id)
        client.read_ack(user_id, self._rng.choice(GROUPS), GROUP)
        self.counts["acks"] += 2

    def _read_users(self, client: Client) -> None:
        self._ask(client, "users", lambda: client.user_info(self._rng.sample(USERS, 5)))
        self._ask(client, "all users", lambda: client.all_users(int(time.time()) - 10))
        self._ask(client, "departments", client.departments)

    def _read_groups(self, client: Client) -> None:
        self._ask(client, "groups", lambda: client.normal_groups(self._user()))
        self._ask(client, "group info", lambda: client.group_info(dict.fromkeys(GROUPS, 0)))
        self._ask(client, "mutes", lambda: client.group_shield(self._rng.choice(GROUPS), USERS))

    # changing

    def _use_device(self, client: Client) -> None:
        user_id = self._user()
        kind = self._rng.choice((base.CLIENT_TYPE_IOS, base.CLIENT_TYPE_ANDROID))
        token = f"token{self._rng.randint(0, 2)}of{user_id}"
        self._ask(client, "device", lambda: client.set_device_token(user_id, token, kind))

    def _log_in(self, client: Client) -> None:
        self._ask(client, "login", lambda: client.login(f"user{self._user()}", self._rng.choice(("123456", "123456", "wrong"))))

    def _change_group(self, client: Client) -> None:
        group_id = self._rng.choice(GROUPS)
        affected = self._rng.sample(TEMPORARY_MEMBERS, self._rng.randint(1, 3))
        change = self._rng.choice((client.add_members, client.remove_members))
        self._ask(client, "members", lambda: change(0, group_id, affected))
        self._ask(client, "mute", lambda: client.shield_group(self._rng.choice(members_of(group_id)), group_id, self._rng.randint(0, 1)))
        if self._rng.random() < 0.1:
            self._ask(client, "create", lambda: client.create_group(self._user(), self._rng.sample(USERS, 4)))

    def _change_self(self, client: Client) -> None:
        self._ask(client, "sign", lambda: client.change_sign_info(self._user(), f"busy {self._rng.random()}"))
        self._ask(client, "shield", lambda: client.set_push_shield(self._user(), self._rng.randint(0, 1)))
        user_id, peer_id = self._rng.sample(USERS, 2)
        self._ask(client, "remove", lambda: client.remove_session(user_id, peer_id))

    def _send_file(self, client: Client) -> None:
        sender, receiver = self._rng.sample(USERS, 2)
        task = f"task{self._rng.randint(0, 99)}"
        client.add_offline_file(sender, receiver, task)
        self._ask(client, "files", lambda: client.offline_files(receiver))
        client.delete_offline_file(sender, receiver, task)


def _msg_id(pdu: Pdu) -> int:
    reply: Message = pdu.message
    if not isinstance(reply, message_pb2.IMMsgData):
        raise TypeError(f"{type(reply).__name__} does not answer a message")
    return reply.msg_id
