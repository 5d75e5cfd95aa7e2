"""Traffic: message servers, each with one connection and many users behind it, that do what people do all day."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

from google.protobuf.message import Message

from dbproxy.testing.client import Client, ConnectionClosedError, Pdu
from dbproxy.testing.requests import GROUP, SINGLE, message
from dbproxy.testing.soak.ledger import Acknowledged, Conversation, Ledger, Sound, Trouble, text_of, token_of
from dbproxy.wire.pb import base_define_pb2 as base
from dbproxy.wire.pb import message_pb2

USERS = range(1, 25)
"""Everybody; names are user1, user2, ..."""

GROUPS = range(101, 106)
"""Groups that exist from the start; group 101 has the members of ``STAYING`` from the first on, and so on."""

STAYING = range(1, 16)
"""Users that never leave a group: what they write there must be answered."""

COMING_AND_GOING = range(16, 25)

MESSAGE_TIMEOUT = 30.0
"""Seconds in which a message must be acknowledged or refused, whatever the backends do."""

OUTCOME_TIMEOUT = 5.0
"""Seconds after which nobody waits for a lookup any more: one that a backend failed is dropped."""

SLOW = 5.0
"""Seconds, RequestTimeout of the day; without a fault no message takes that long, also on a machine that has much else to do."""

LONGEST_BURST = 6


def members_of(group_id: int) -> list[int]:
    """The users that never leave this group."""
    return [user_id for user_id in STAYING if user_id % len(GROUPS) != group_id % len(GROUPS)]


class MessageServer:
    """One connection, opened anew when it is lost, in a thread of its own. All public methods belong to the thread that made it."""

    def __init__(self, number: int, seed: str, connect: Callable[[random.Random], tuple[str, Client]], pause: float) -> None:
        """``connect`` returns the name of the proxy that it has chosen and the connection; ``pause``: mean seconds between actions."""
        self.ledger = Ledger(number)
        self.counts: Counter[str] = Counter()
        self.troubles: list[Trouble] = []
        """Messages refused, requests not answered."""
        self.lost: list[tuple[str, float]] = []
        """Connections lost: name of the proxy, when."""
        self.problems: list[str] = []
        self.slow: list[Trouble] = []
        """Messages whose answer took longer than ``SLOW``."""
        self.slowest = 0.0
        """Seconds that the slowest answer to a message took."""
        self._connect = connect
        self._pause = pause
        self._chance = random.Random(f"{seed}/writer/{number}")
        self._client: Client | None = None
        self._proxy = ""
        self._connections = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"soak-writer-{number}", daemon=True)
        self._actions: list[tuple[int, Callable[[Client], None]]] = [
            (30, self._write_to_person),
            (20, self._write_to_group),
            (10, self._read_unread),
            (8, self._read_sessions),
            (8, self._read_messages),
            (8, self._acknowledge),
            (6, self._look_at_people),
            (5, self._look_at_groups),
            (4, self._use_device),
            (4, self._log_in),
            (3, self._change_group),
            (2, self._change_self),
            (1, self._send_file),
            (1, self._speak),
        ]

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End with the action that it is at."""
        self._stop.set()

    def join(self) -> None:
        """Wait for the end; RuntimeError when it does not come."""
        self._thread.join(MESSAGE_TIMEOUT + OUTCOME_TIMEOUT + 10)
        if self._thread.is_alive():
            raise RuntimeError(f"{self._thread.name} does not end")

    def _run(self) -> None:
        weights = [weight for weight, _ in self._actions]
        actions = [action for _, action in self._actions]
        while not self._stop.is_set():
            try:
                client = self._connection()
                self._chance.choices(actions, weights)[0](client)
            except TimeoutError:
                self._drop()  # a late answer must not be taken for the next one; what was not answered has been noted
            except (ConnectionClosedError, OSError):
                if self._client is not None:
                    self.lost.append((self._proxy, time.monotonic()))
                self._drop()
                self._stop.wait(0.1)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what we are looking for
                self.problems.append(f"writer {self.ledger.number}: {error!r}")
                self._drop()
            self._stop.wait(self._chance.expovariate(1 / self._pause))
        self._drop()

    def _connection(self) -> Client:
        if self._client is None:
            self._proxy, self._client = self._connect(self._chance)
            self._connections += 1
        return self._client

    def _drop(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def _user(self) -> int:
        return self._chance.choice(USERS)

    def _ask(self, client: Client, what: str, ask: Callable[[], object]) -> None:
        """One lookup; a backend that fails may drop it."""
        client.timeout = OUTCOME_TIMEOUT
        sent = time.monotonic()
        try:
            ask()
        except TimeoutError:
            self.troubles.append(Trouble(f"{what} on {self._proxy} was not answered", sent))
            self.counts["dropped"] += 1
            raise
        self.counts[what] += 1

    # messages

    def _write_to_person(self, client: Client) -> None:
        sender, receiver = self._chance.sample(USERS, 2)
        self._burst(client, Conversation(False, min(sender, receiver), max(sender, receiver)), sender, receiver)
        self._ask(client, "tokens", lambda: client.device_tokens([receiver]))

    def _write_to_group(self, client: Client) -> None:
        group_id = self._chance.choice(GROUPS)
        sender = self._chance.choice(members_of(group_id))
        self._burst(client, Conversation(True, group_id, 0), sender, group_id)

    def _burst(self, client: Client, conversation: Conversation, sender: int, receiver: int) -> None:
        """Some messages at once, as when somebody comes back from a tunnel: their ids must be in the order of sending."""
        kind = base.MSG_TYPE_GROUP_TEXT if conversation.to_group else base.MSG_TYPE_SINGLE_TEXT
        tokens = [self.ledger.next_token() for _ in range(self._chance.randint(1, LONGEST_BURST))]
        requests = [message(sender, receiver, text_of(token), msg_type=kind) for token in tokens]
        replies = self._answers(client, requests)
        for token, (msg_id, sent, noticed) in zip(tokens, replies, strict=False):
            if msg_id:
                self.ledger.acknowledged.append(Acknowledged(self._connections, conversation, sender, token, msg_id))
                self.counts["messages"] += 1
            else:
                self.ledger.refused += 1
                self.troubles.append(Trouble(f"message {token} on {self._proxy} was refused", sent, noticed))
        missing = len(tokens) - len(replies)
        if missing:
            self.ledger.unanswered += missing

    def _answers(self, client: Client, requests: Sequence[message_pb2.IMMsgData]) -> list[tuple[int, float, float]]:
        """Send messages and collect (msg_id, when sent, when answered) as long as they come. Notes a timeout; ends with a lost connection,
        of which the next action will know.
        """
        client.timeout = MESSAGE_TIMEOUT
        sent = time.monotonic()
        answers: dict[int, tuple[int, float, float]] = {}
        numbers: list[int] = []
        try:
            numbers += [client.send(request) for request in requests]
            while len(answers) < len(numbers):
                pdu = client.receive(MESSAGE_TIMEOUT)
                if pdu.seq_num not in numbers or pdu.seq_num in answers:
                    self.problems.append(f"writer {self.ledger.number}: an answer to nothing: {pdu}")
                    continue
                now = time.monotonic()
                if now - sent > SLOW:
                    self.slow.append(Trouble(f"a message on {self._proxy} took {now - sent:.1f} s", sent, now))
                self.slowest = max(self.slowest, now - sent)
                answers[pdu.seq_num] = (_msg_id(pdu), sent, now)
        except TimeoutError:
            self.problems.append(f"{len(numbers) - len(answers)} messages on {self._proxy} were not answered in {MESSAGE_TIMEOUT:g} s")
            self._drop()
        except (ConnectionClosedError, OSError):
            self.lost.append((self._proxy, time.monotonic()))
            self._drop()
        if [number for number in numbers if number in answers] != numbers[: len(answers)]:
            # of one conversation on one connection: the answers come in the order of the requests
            self.problems.append(f"writer {self.ledger.number}: {self._proxy} answered {list(answers)} of {numbers}")
            return []
        return [answers[number] for number in numbers[: len(answers)]]

    def _speak(self, client: Client) -> None:
        to_group = self._chance.random() < 0.3
        sender, receiver = self._chance.sample(STAYING, 2)
        conversation = Conversation(False, min(sender, receiver), max(sender, receiver))
        if to_group:
            receiver = self._chance.choice(GROUPS)
            sender = self._chance.choice(members_of(receiver))
            conversation = Conversation(True, receiver, 0)
        sound = self._chance.randbytes(self._chance.randint(10, 20_000))
        client.timeout = MESSAGE_TIMEOUT
        sent = time.monotonic()
        try:
            msg_id = client.send_sound(sender, receiver, sound, group=to_group).msg_id
        except TimeoutError:
            self.problems.append(f"a sound on {self._proxy} was not answered in {MESSAGE_TIMEOUT:g} s")
            raise
        if msg_id:
            self.ledger.sounds.append(Sound(conversation, sender, msg_id, len(sound)))
            self.counts["sounds"] += 1
        else:
            self.troubles.append(Trouble(f"a sound on {self._proxy} was refused", sent))

    # reading

    def _read_unread(self, client: Client) -> None:
        self._ask(client, "unread", lambda: client.unread(self._user()))

    def _read_sessions(self, client: Client) -> None:
        self._ask(client, "recent", lambda: client.recent_sessions(self._user(), self._chance.choice((0, int(time.time()) - 60))))

    def _read_messages(self, client: Client) -> None:
        user_id, peer_id = self._chance.sample(STAYING, 2)
        kind = SINGLE
        if self._chance.random() < 0.4:
            peer_id, kind = self._chance.choice(GROUPS), GROUP

        def look() -> None:
            for entry in client.messages(user_id, peer_id, kind).msg_list:
                token = token_of(entry.msg_data.decode(errors="replace"))
                if token and entry.msg_data != text_of(token).encode() and int(token.partition(".")[0]) == self.ledger.number:
                    self.problems.append(f"message {token} was read as {entry.msg_data[:60]!r}")

        self._ask(client, "list", look)
        self._ask(client, "latest", lambda: client.latest_msg_id(user_id, peer_id, kind))
        self._ask(client, "by id", lambda: client.messages_by_id(user_id, peer_id, range(1, 30), kind))

    def _acknowledge(self, client: Client) -> None:
        user_id, peer_id = self._chance.sample(USERS, 2)
        client.read_ack(user_id, peer_id)
        client.read_ack(user_id, self._chance.choice(GROUPS), GROUP)
        self.counts["acks"] += 2

    def _look_at_people(self, client: Client) -> None:
        self._ask(client, "users", lambda: client.user_info(self._chance.sample(USERS, 5)))
        self._ask(client, "all users", lambda: client.all_users(int(time.time()) - 10))
        self._ask(client, "departments", client.departments)

    def _look_at_groups(self, client: Client) -> None:
        self._ask(client, "groups", lambda: client.normal_groups(self._user()))
        self._ask(client, "group info", lambda: client.group_info(dict.fromkeys(GROUPS, 0)))
        self._ask(client, "mutes", lambda: client.group_shield(self._chance.choice(GROUPS), USERS))

    # changing

    def _use_device(self, client: Client) -> None:
        user_id = self._user()
        kind = self._chance.choice((base.CLIENT_TYPE_IOS, base.CLIENT_TYPE_ANDROID))
        token = f"token{self._chance.randint(0, 2)}of{user_id}"
        self._ask(client, "device", lambda: client.set_device_token(user_id, token, kind))

    def _log_in(self, client: Client) -> None:
        self._ask(client, "login", lambda: client.login(f"user{self._user()}", self._chance.choice(("123456", "123456", "wrong"))))

    def _change_group(self, client: Client) -> None:
        group_id = self._chance.choice(GROUPS)
        affected = self._chance.sample(COMING_AND_GOING, self._chance.randint(1, 3))
        change = self._chance.choice((client.add_members, client.remove_members))
        self._ask(client, "members", lambda: change(0, group_id, affected))
        self._ask(
            client, "mute", lambda: client.shield_group(self._chance.choice(members_of(group_id)), group_id, self._chance.randint(0, 1))
        )
        if self._chance.random() < 0.1:
            self._ask(client, "create", lambda: client.create_group(self._user(), self._chance.sample(USERS, 4)))

    def _change_self(self, client: Client) -> None:
        self._ask(client, "sign", lambda: client.change_sign_info(self._user(), f"busy {self._chance.random()}"))
        self._ask(client, "shield", lambda: client.set_push_shield(self._user(), self._chance.randint(0, 1)))
        user_id, peer_id = self._chance.sample(USERS, 2)
        self._ask(client, "remove", lambda: client.remove_session(user_id, peer_id))

    def _send_file(self, client: Client) -> None:
        sender, receiver = self._chance.sample(USERS, 2)
        task = f"task{self._chance.randint(0, 99)}"
        client.add_offline_file(sender, receiver, task)
        self._ask(client, "files", lambda: client.offline_files(receiver))
        client.delete_offline_file(sender, receiver, task)


def _msg_id(pdu: Pdu) -> int:
    reply: Message = pdu.message
    if not isinstance(reply, message_pb2.IMMsgData):
        raise TypeError(f"{type(reply).__name__} answers a message")
    return reply.msg_id
