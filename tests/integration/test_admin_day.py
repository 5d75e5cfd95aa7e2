"""A day of administration in a random order, by two operators at once and with traffic: afterwards the installation is consistent, clients
have heard of everything, and the proxy still does what the original did.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from reloading import ReloadingProxy

from dbproxy.admin.access.audit_log import Actor, AuditLog
from dbproxy.admin.administration import Administration
from dbproxy.admin.devices import Devices
from dbproxy.admin.errors import AdminError
from dbproxy.admin.groups.groups import Groups
from dbproxy.admin.installation import Installation
from dbproxy.admin.messages.conversations import Conversations
from dbproxy.admin.people.departments import Departments
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.audit import audit
from dbproxy.audit.walk import AuditBackends
from dbproxy.config import load_config
from dbproxy.conformance.programs import RunningProgram
from dbproxy.conformance.recordings import ORIGINAL, recorded
from dbproxy.conformance.runner import Runner
from dbproxy.models.device import ANDROID
from dbproxy.models.user import LEFT_COMPANY
from dbproxy.testing import Client, FileServer, Stack, seed
from dbproxy.testing.requests import message
from dbproxy.wire.pb.base_define_pb2 import MSG_TYPE_GROUP_TEXT

STEPS = 120
"""Changes of each operator."""

PEOPLE = 24
GROUPS = 6
SEED = 20261126

LEFT_ALONE = PEOPLE + 1
"""A user whom nobody changes, and who writes to the next one."""

TOPICS = {"login", "users", "messages", "groups", "group messages"}
"""Of the recordings that are replayed afterwards."""


class Operator(threading.Thread):
    """Makes random changes, as one account."""

    def __init__(self, number: int, installation: Installation) -> None:
        super().__init__(name=f"operator-{number}")
        self._random = random.Random(SEED + number)
        admin = Administration(installation, Actor(self.name, "test"), AuditLog(installation.data_directory))
        self._users, self._groups, self._departments = Users(admin), Groups(admin), Departments(admin)
        self._conversations, self._devices = Conversations(admin), Devices(admin)
        self._number = number
        self.administration = admin
        self.actions: tuple[Callable[[], object], ...] = (
            self._add_user, self._edit_user, self._switch_user, self._new_password, self._add_members, self._remove_members,
            self._rename, self._transfer, self._new_group, self._dismiss, self._department, self._hide, self._forget,
        )  # fmt: skip
        self.failures: list[str] = []
        self.done: dict[str, int] = {}
        self.refused = 0

    def run(self) -> None:
        for step in range(STEPS):
            action = self._random.choice(self.actions)
            try:
                action()
            except AdminError:  # somebody else was faster, or it makes no sense any more
                self.refused += 1
            except Exception as error:  # noqa: BLE001 - the test shows it
                self.failures.append(f"{self.name}, step {step}, {action.__name__}: {error!r}")
            else:
                self.done[action.__name__] = self.done.get(action.__name__, 0) + 1

    def _anybody(self) -> int:
        return self._random.randint(1, PEOPLE)

    def _any_group(self) -> int:
        return self._random.randint(1, GROUPS)

    def _add_user(self) -> None:
        name = f"new{self._number}x{self._random.randint(0, 30)}"
        self._users.add(NewUser(name=name, nick="新同事 😀", department_id=1))

    def _edit_user(self) -> None:
        self._users.edit(self._anybody(), {"nick": f"<b>{self._random.random()}</b>", "sign_info": "\u202eabc"})

    def _switch_user(self) -> None:
        change = self._random.choice((self._users.disable, self._users.enable, self._users.enable))
        change(self._anybody())

    def _new_password(self) -> None:
        self._users.set_password(self._anybody(), "s3cret pass")

    def _add_members(self) -> None:
        self._groups.add_members(self._any_group(), [self._anybody(), self._anybody()])

    def _remove_members(self) -> None:
        self._groups.remove_members(self._any_group(), [self._anybody()])

    def _rename(self) -> None:
        self._groups.rename(self._any_group(), f"项目 {self._random.randint(0, 99)}")

    def _transfer(self) -> None:
        self._groups.transfer(self._any_group(), self._anybody())

    def _new_group(self) -> None:
        members = sorted({self._anybody() for _ in range(4)})
        self._groups.create("temporary", members[0], members, kind="temporary")

    def _dismiss(self) -> None:
        self._groups.dismiss(self._random.randint(GROUPS + 1, GROUPS + 12))

    def _department(self) -> None:
        self._departments.rename(1, f"总部 {self._random.randint(0, 9)}")

    def _hide(self) -> None:
        conversation = self._conversations.of_group(self._any_group())
        change = self._random.choice((self._conversations.hide, self._conversations.unhide))
        change(conversation, self._random.randint(1, 20))

    def _forget(self) -> None:
        self._devices.forget(self._anybody())


class Sender(threading.Thread):
    """Sends messages until it is told to stop, and keeps the ids that were acknowledged to two users whom nobody changes."""

    def __init__(self, client: Client) -> None:
        super().__init__(name="sender")
        self._client = client
        self._ended = threading.Event()
        self._random = random.Random(SEED)
        self.acknowledged: list[int] = []
        self.failures: list[str] = []

    def run(self) -> None:
        try:
            while not self._ended.wait(0.003):
                self._send()
        except Exception as error:  # noqa: BLE001 - the test shows it
            self.failures.append(repr(error))

    def _send(self) -> None:
        self.acknowledged.append(self._client.send_message(LEFT_ALONE, LEFT_ALONE + 1, f"message {len(self.acknowledged) + 1}").msg_id)
        group_id = self._random.randint(1, GROUPS)
        infos = self._client.group_info({group_id: 0}).group_info_list
        members = [user for info in infos for user in info.group_member_list]
        if members:  # who has been removed meanwhile gets no answer, which is not waited for
            self._client.send(message(self._random.choice(members), group_id, "to all", msg_type=MSG_TYPE_GROUP_TEXT))

    def stop(self) -> None:
        """Let the message that is on its way be the last one."""
        self._ended.set()
        self.join(30)


class WithoutSync(RunningProgram):
    """A running proxy whose next group session sync is far away."""

    always_syncs = False


@pytest.fixture
def installation(stack: Stack, tmp_path: Path) -> Iterator[Installation]:
    """Two departments, users and groups, a phone for each user."""
    seed.department(stack, 1, "Engineering")
    seed.users(stack, *(f"user{number}" for number in range(1, PEOPLE + 3)))
    chooser = random.Random(SEED)
    for group_id in range(1, GROUPS + 1):
        seed.group(stack, group_id, chooser.sample(range(1, PEOPLE + 1), 8))
    config = load_config(stack.write_config(overrides={"AdminDataDir": tmp_path / "admin"}))
    with Installation(config) as opened:
        for user_id in range(1, PEOPLE + 1):
            opened.devices.register(user_id, b"token%d" % user_id, ANDROID)
        yield opened


@pytest.mark.watchdog(240)
def test_after_a_day_of_administration_all_is_consistent_and_clients_know_it(
    stack: Stack, installation: Installation, tmp_path: Path
) -> None:
    with FileServer() as files, ReloadingProxy(stack, {"MsfsSite": files.site, "SyncInterval": 0.5}) as proxy:
        with proxy.client() as connection, proxy.client() as reader:
            known = {user.user_id: user for user in reader.all_users(0).user_list}
            last = reader.all_users(0).latest_update_time
            sender = Sender(connection)
            operators = [Operator(number, installation) for number in (1, 2)]
            for thread in (sender, *operators):
                thread.start()
            for operator in operators:
                operator.join(150)
            sender.stop()

            assert [*sender.failures, *(failure for operator in operators for failure in operator.failures)] == []
            done = {name for operator in operators for name in operator.done}
            assert done == {action.__name__ for action in operators[0].actions}
            assert sender.acknowledged == list(range(1, len(sender.acknowledged) + 1))
            assert len(sender.acknowledged) > 50

            # a client that asks for changes only knows as much as one that begins anew
            changed = reader.all_users(last)
            known |= {user.user_id: user for user in changed.user_list}
            left = {user_id for user_id, user in known.items() if user.status == LEFT_COMPANY}
            anew = {user.user_id: user for user in reader.all_users(0).user_list}
            assert {user_id: user for user_id, user in known.items() if user_id not in left} == anew
            assert left, "somebody was disabled at last"
            details = {user_id: Users(operators[0].administration).get(user_id) for user_id in range(1, PEOPLE + 1)}
            assert left == {user_id for user_id, user in details.items() if user.status == "disabled"}

        with AuditBackends(installation.config, 0.5) as backends:
            report = audit(backends)
        assert [(entry.finding.kind, entry.finding.where, entry.finding.what) for entry in report.entries] == []

        entries, _ = AuditLog(installation.data_directory).newest(10_000)
        succeeded = sum(entry["outcome"] == "ok" for entry in entries)
        assert succeeded == sum(count for operator in operators for count in operator.done.values())
        assert "s3cret pass" not in AuditLog(installation.data_directory).path.read_text(encoding="utf-8")

        # the group session sync must not get into a case
        assert proxy.reload({"SyncInterval": 3600}) == "configuration reloaded: SyncInterval"
        program = WithoutSync(stack, proxy.host, proxy.port)
        cases = [case for case in recorded(ORIGINAL) if case["topic"] in TOPICS and not any("wait_tick" in step for step in case["steps"])]
        results = list(Runner(program, files.site, timeout=5).run(cases))
        assert {result.name: result.problems for result in results if result.verdict != "agrees"} == {}
        assert len(results) > 20
