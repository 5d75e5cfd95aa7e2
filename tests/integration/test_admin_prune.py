"""Pruning of dbproxy-admin: what goes, what stays, and that nothing is removed that is not in a complete file, whatever happens."""

from __future__ import annotations

import contextlib
import gzip
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from administering import recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.messages.archive import PruneProgress, Pruning
from dbproxy.admin.messages.archive_files import ArchiveDamagedError, read_archive, verify_archive
from dbproxy.audit.auditor import audit, open_stores
from dbproxy.config import load_config
from dbproxy.models.message_archive import ArchiveTable, MessageArchive, RowKey
from dbproxy.models.message_reader import KINDS
from dbproxy.testing import Client, InProcessProxy, Stack, seed
from dbproxy.testing.requests import GROUP, SINGLE
from dbproxy.testing.waiting import poll
from devtools.traffic import Traffic

pytestmark = [pytest.mark.watchdog(120), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

LIMIT = seed.T0 + 1_000_000
"""Messages of ``seed`` are older."""

HOSTILE = ("<b>\x00\x1b\u202e", "😀𠮷", "two\nlines", '"}\n{"row":', "100%_\\'", " ")


@pytest.fixture
def pruning(administration: Administration) -> Pruning:
    return Pruning(administration)


def stored(stack: Stack, table: str) -> list[int]:
    return [int(str(row["msgId"])) for row in stack.rows(f"select msgId from {table} order by id")]


def files(directory: Path) -> list[Path]:
    return sorted(directory.glob("prune-*/*.jsonl.gz"))


def archived(directory: Path) -> list[dict[str, Any]]:
    return [entry for path in files(directory) if verify_archive(path) for entry in read_archive(path)]


def findings(stack: Stack) -> set[str]:
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        return set(audit(backends).counts)


def test_old_messages_go_to_files_and_the_newest_ones_stay(stack: Stack, pruning: Pruning) -> None:
    seed.relation(stack, 1, 2, relate_id=1)
    seed.messages(stack, 1, 2, HOSTILE, relate_id=1)
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])
    seed.group_messages(stack, 1, 9, ["new"], first_msg_id=4, created=LIMIT)
    before = stack.rows("select * from IMMessage_1 order by id")
    plan = pruning.plan(LIMIT)
    assert [(table.table, table.old, table.kept) for table in plan.tables if table.old] == [
        ("IMMessage_1", 6, 1),
        ("IMGroupMessage_1", 3, 0),
    ]
    assert not pruning.directory.exists()
    report = pruning.run(LIMIT)
    assert [(table.table, table.archived, table.removed) for table in report.tables] == [
        ("IMMessage_1", 5, 5),
        ("IMGroupMessage_1", 3, 3),
    ]
    assert (stored(stack, "IMMessage_1"), stored(stack, "IMGroupMessage_1")) == ([6], [4])
    entries = archived(pruning.directory)
    assert [entry["row"]["content"] for entry in entries] == ["one", "two", "three", *HOSTILE[:5]]
    assert [entry["row"] for entry in entries[3:]] == before[:5]
    again = pruning.run(LIMIT)
    assert (again.tables, again.directory, again.finished) == ((), "", ())
    assert len(files(pruning.directory)) == 2


def test_an_archive_can_be_read_by_its_owner_only_and_says_what_it_is(stack: Stack, pruning: Pruning) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])
    pruning.run(LIMIT)
    (path,) = files(pruning.directory)
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert lines[0]["archive"] == {
        "format": 1,
        "table": "IMGroupMessage_1",
        "before": LIMIT,
        "columns": ["id", "groupId", "userId", "msgId", "content", "type", "status", "updated", "created"],
    }
    assert lines[-1]["end"]["rows"] == len(lines) - 2 == 2
    manifest = json.loads((path.parent / "manifest.json").read_text())
    assert (manifest["state"], manifest["before"]) == ("done", LIMIT)
    assert manifest["tables"]["IMGroupMessage_1"] == {
        "file": path.name,
        "rows": 2,
        "sha256": lines[-1]["end"]["sha256"],
        "state": "removed",
        "removed": 2,
    }


@pytest.mark.parametrize("peer", [2, 9])
def test_ids_are_not_given_again_where_the_newest_message_is_hidden_and_redis_has_lost_all(
    stack: Stack, pruning: Pruning, dbproxy_client: Client, peer: int
) -> None:
    send = dbproxy_client.send_group_message if peer == 9 else dbproxy_client.send_message
    for number in range(6):
        send(1, peer, f"text {number}", create_time=seed.T0 + number)
    table = "IMGroupMessage_1" if peer == 9 else "IMMessage_1"
    stack.rows(f"update {table} set status=1 where msgId in (5, 6)")
    stack.rows(f"update {table} set created=%s where msgId=2", (seed.T0 + 100,))
    dbproxy_client.send_message(2, 3, "so that the old rows are not the last ones of all", create_time=LIMIT)
    assert pruning.plan(LIMIT).removed == 4
    assert pruning.run(LIMIT).removed == 4
    assert stored(stack, table) == [2, 6]
    for pool in ("unread", "group_member"):
        with stack.redis(pool) as client:
            client.flushdb()
    assert send(1, peer, "new").msg_id == 7
    history = dbproxy_client.messages(1, peer, session_type=GROUP if peer == 9 else SINGLE)
    assert [message.msg_id for message in history.msg_list] == [7, 2]
    assert findings(stack) <= {"counter-behind", "members-lost"}  # what Redis has lost and nobody has used since


def test_a_run_that_anybody_can_have_made_up_is_not_finished(stack: Stack, pruning: Pruning) -> None:
    pruning.directory.mkdir(parents=True)
    pruning.directory.chmod(0o777)
    with pytest.raises(AdminError, match="everybody may write into the directory"):
        pruning.run(int(time.time()) - 30 * 86400)
    assert files(pruning.directory) == []


@pytest.mark.parametrize(("kind", "conversation_id"), [("people", 1), ("group", 9)])
def test_long_conversations_are_not_read_to_find_what_stays_nor_to_remove_the_rest(
    stack: Stack, administration: Administration, kind: str, conversation_id: int
) -> None:
    rows = 3000
    fill(stack, rows)
    stack.rows("update IMMessage_1 set status=1 where msgId>%s", (rows - 5,))
    table = ArchiveTable(KINDS[kind], 1)
    archive = MessageArchive(administration.installation.master, administration.installation.slave)
    with administration.installation.master.connection() as connection:

        def reads() -> int:
            """Rows and entries of indexes that the server has read for this connection."""
            return sum(int(value) for _, value in connection.select("show session status like 'Handler_read_%'"))

        before = reads()
        kept = archive.kept(table, [conversation_id], connection)
        assert reads() - before < 300
        assert kept.largest == {conversation_id: rows}
        assert kept.newest[conversation_id][2] == (rows - 5 if kind == "people" else rows)
        first = stack.rows(f"select min(created) as t from {table.name}")[0]["t"]
        keys = [RowKey(k, conversation_id, k, 0, int(str(first)) + k - 1, int(str(first)) + k - 1, None) for k in range(1, 101)]
        before = reads()
        assert archive.remove_with(connection, table, keys) == 100
        assert reads() - before < 1500


def test_what_has_just_been_stored_is_not_old_whatever_its_sender_says(stack: Stack, pruning: Pruning) -> None:
    seed.group_messages(stack, 1, 9, ["old"] * 100)
    seed.group_messages(stack, 1, 9, ["new"] * 100, first_msg_id=101, created=LIMIT)
    stack.rows("update IMGroupMessage_1 set created=5 where msgId in (150, 170)")
    stack.rows("update IMGroupMessage_1 set created=%s where msgId in (20, 60)", (LIMIT + 5,))
    assert pruning.plan(LIMIT).removed == 98
    pruning.run(LIMIT)
    assert stored(stack, "IMGroupMessage_1") == [20, 60, *range(101, 201)]


def test_unread_counts_and_members_do_not_change(stack: Stack, pruning: Pruning, dbproxy_client: Client) -> None:
    for number in range(8):
        dbproxy_client.send_message(1, 2, f"{number}", create_time=seed.T0 + number)
        dbproxy_client.send_group_message(1, 9, f"{number}", create_time=seed.T0 + number)
    before = dbproxy_client.unread(2)
    pruning.run(LIMIT)
    after = dbproxy_client.unread(2)
    assert after == before
    assert after.total_cnt == 16
    assert dbproxy_client.send_group_message(1, 9, "new").msg_id == 9
    assert dbproxy_client.unread(2).total_cnt == 17
    dbproxy_client.read_ack(2, 9, GROUP)
    dbproxy_client.read_ack(2, 1)
    assert poll(lambda: dbproxy_client.unread(2).total_cnt, lambda count: count == 0) == 0
    assert findings(stack) == set()


def test_the_counter_of_a_group_that_redis_loses_afterwards_comes_back_above_what_its_members_have_read(
    stack: Stack, pruning: Pruning, dbproxy_client: Client
) -> None:
    for number in range(10):
        dbproxy_client.send_group_message(1, 9, f"{number}", create_time=(seed.T0 if number < 4 else LIMIT) + number)
    dbproxy_client.read_ack(2, 9, GROUP)
    assert poll(lambda: dbproxy_client.unread(2).total_cnt, lambda count: count == 0) == 0
    assert pruning.run(LIMIT).removed == 4
    with stack.redis("unread") as client:
        client.delete("9_im_group_msg")
    assert dbproxy_client.send_group_message(1, 9, "new").msg_id == 11
    assert dbproxy_client.unread(2).total_cnt == 1
    assert dbproxy_client.send_group_message(1, 9, "newer").msg_id == 12
    assert dbproxy_client.unread(2).total_cnt == 2
    assert findings(stack) == set()


def test_the_sounds_of_archived_messages_go_with_them_and_no_others(stack: Stack, pruning: Pruning) -> None:
    audio: list[dict[str, seed.Value]] = [
        {"id": number, "fromId": 1, "toId": to, "path": f"g0/{number}", "size": 10 * number, "duration": number, "created": seed.T0}
        for number, to in ((1, 9), (2, 9), (3, 9), (4, 2), (5, 9))
    ]
    seed.insert(stack, "IMAudio", audio)
    seed.group_messages(stack, 1, 9, ["1", "2", "4", "77", "5", "3"])
    stack.rows("update IMGroupMessage_1 set type=18 where msgId<>5")
    pruning.run(LIMIT)
    entries = archived(pruning.directory)
    assert [entry.get("audio", {}).get("path") for entry in entries] == ["g0/1", "g0/2", None, None, None]
    assert entries[0]["audio"] == audio[0]
    # 3 belongs to the message that stays, 4 has another receiver, 5 is named by a text
    assert [row["id"] for row in stack.rows("select id from IMAudio order by id")] == [3, 4, 5]


def test_the_sound_of_a_message_stays_that_got_another_row_after_it_was_archived(stack: Stack, pruning: Pruning) -> None:
    seed.insert(stack, "IMAudio", [{"id": 1, "fromId": 1, "toId": 9, "path": "g0/1", "size": 1, "duration": 1, "created": seed.T0}])
    seed.group_messages(stack, 1, 9, ["1", "two", "three"])
    stack.rows("update IMGroupMessage_1 set type=18 where msgId=1")

    def insert_again(progress: PruneProgress) -> None:
        if progress.step == "archived":  # as dbproxy-audit --merge does
            stack.rows("update IMGroupMessage_1 set id=id+100")

    pruning.run(LIMIT, insert_again)
    assert len(archived(pruning.directory)) == 2
    assert stored(stack, "IMGroupMessage_1") == [1, 2, 3]
    assert [row["id"] for row in stack.rows("select id from IMAudio")] == [1]


def test_a_message_that_changes_after_it_was_archived_stays_until_the_next_run(stack: Stack, pruning: Pruning) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two", "three", "four"])

    def hide_two(progress: PruneProgress) -> None:
        if progress.step == "archived":
            stack.rows("update IMGroupMessage_1 set status=1,updated=updated+5 where msgId=2")

    (report,) = pruning.run(LIMIT, hide_two).tables
    assert (report.archived, report.removed, stored(stack, "IMGroupMessage_1")) == (3, 2, [2, 4])
    assert pruning.run(LIMIT).removed == 1
    assert [entry["row"]["status"] for entry in archived(pruning.directory) if entry["row"]["msgId"] == 2] == [0, 1]
    assert stored(stack, "IMGroupMessage_1") == [4]


def test_what_becomes_the_newest_message_after_it_was_archived_stays(stack: Stack, pruning: Pruning) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])

    def hide_three(progress: PruneProgress) -> None:
        if progress.step == "archived":
            stack.rows("update IMGroupMessage_1 set status=1 where msgId=3")

    pruning.run(LIMIT, hide_three)
    assert stored(stack, "IMGroupMessage_1") == [2, 3]


def test_a_run_that_failed_while_removing_is_finished_by_the_next_one(
    stack: Stack, administration: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    pruning = Pruning(administration)
    seed.group_messages(stack, 1, 9, [f"{number}" for number in range(700)])
    seed.relation(stack, 1, 2, relate_id=3)
    seed.messages(stack, 1, 2, ["a", "b"], relate_id=3)
    remove, calls = MessageArchive.remove, []

    def fail_at_third(*arguments: Any) -> int:
        calls.append(1)
        if len(calls) == 3:
            raise AdminError("the third one fails")
        return remove(*arguments)

    monkeypatch.setattr(MessageArchive, "remove", fail_at_third)
    with pytest.raises(AdminError, match="the third one fails"):
        pruning.run(LIMIT)
    monkeypatch.undo()
    assert 1 < len(stored(stack, "IMGroupMessage_1")) < 700
    assert len(pruning.plan(LIMIT).unfinished) == 1
    report = pruning.run(LIMIT)
    assert [(table.table, table.archived) for table in report.finished] == [("IMGroupMessage_1", 699)]
    assert report.tables == ()
    assert stored(stack, "IMGroupMessage_1") == [700]
    assert len(archived(pruning.directory)) == 700
    assert pruning.plan(LIMIT).unfinished == ()
    assert [line["outcome"].partition(":")[0] for line in recorded_by(administration)] == ["AdminError", "ok"]


@pytest.mark.parametrize("damage", ["cut", "changed", "missing"])
def test_nothing_is_removed_because_of_a_file_that_is_damaged(
    stack: Stack, pruning: Pruning, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])

    def fail(*arguments: object) -> int:
        raise AdminError("killed")

    monkeypatch.setattr(MessageArchive, "remove", fail)
    with pytest.raises(AdminError, match="killed"):
        pruning.run(LIMIT)
    monkeypatch.undo()
    (path,) = files(pruning.directory)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "changed":
        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"one", b"eno")))
    else:
        path.unlink()
    with pytest.raises(ArchiveDamagedError, match=path.name):
        pruning.run(LIMIT)
    assert stored(stack, "IMGroupMessage_1") == [1, 2, 3]
    path.parent.rename(pruning.directory / "put-aside")
    assert pruning.run(LIMIT).removed == 2


def test_where_the_archive_cannot_be_written_nothing_is_removed(stack: Stack, administration: Administration, tmp_path: Path) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two", "three"])
    (tmp_path / "file").write_text("")
    with pytest.raises(AdminError, match="cannot be written"):
        Pruning(administration, tmp_path / "file").run(LIMIT)
    assert stored(stack, "IMGroupMessage_1") == [1, 2, 3]


def test_one_run_at_a_time_works_in_a_directory(stack: Stack, pruning: Pruning) -> None:
    seed.group_messages(stack, 1, 9, ["one", "two"])
    refused: list[str] = []

    def run_again(progress: PruneProgress) -> None:
        with pytest.raises(RefusedError, match="another run is at work") as error:
            pruning.run(LIMIT)
        refused.append(str(error.value))

    pruning.run(LIMIT, run_again)
    assert refused
    assert pruning.run(LIMIT).removed == 0


def test_messages_of_the_last_day_are_never_archived(pruning: Pruning) -> None:
    for wrong in (int(time.time()) - 3600, int(time.time()) + 5, -1):
        with pytest.raises(RefusedError, match="last 24 hours are not archived"):
            pruning.run(wrong)
        with pytest.raises(RefusedError, match="last 24 hours are not archived"):
            pruning.plan(wrong)
    assert not pruning.directory.exists()


def fill(stack: Stack, rows: int) -> None:
    """A group and three pairs with so many messages each."""
    seed.group_messages(stack, 1, 9, [f"text {number}" for number in range(rows)])
    for relate_id, (one, other) in enumerate(((1, 2), (1, 3), (2, 3)), start=1):
        seed.relation(stack, one, other, relate_id=relate_id)
        seed.messages(stack, one, other, [f"text {number}" for number in range(rows)], relate_id=relate_id)


def test_traffic_goes_on_meanwhile(stack: Stack, pruning: Pruning) -> None:
    fill(stack, 2000)
    with InProcessProxy(stack) as proxy:
        conversations: Sequence[tuple[int, int, bool]] = ((1, 2, False), (2, 1, False), (3, 9, True), (1, 9, True))
        with Traffic(lambda number: proxy.client(), conversations) as traffic:
            traffic.wait_for(20)
            assert pruning.run(LIMIT).removed >= 4 * 2000 - 4
            traffic.wait_for(20)
        assert (traffic.refused, traffic.unanswered) == (0, 0)
        assert traffic.verify(stack) == []
    assert len(archived(pruning.directory)) >= 4 * 2000 - 4
    assert findings(stack) == set()


def test_it_may_be_killed_anywhere(stack: Stack, tmp_path: Path) -> None:
    fill(stack, 4000)
    config = stack.write_config(overrides={"AdminDataDir": tmp_path})
    limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(LIMIT))
    command = [sys.executable, "-m", "dbproxy.admin", "--config", str(config), "prune", "--older-than", limit]
    tables = [*(f"IMMessage_{relate_id}" for relate_id in (1, 2, 3)), "IMGroupMessage_1"]
    archive = tmp_path / "archive"

    def rows() -> set[tuple[str, int]]:
        return {(table, int(str(row["id"]))) for table in tables for row in stack.rows(f"select id from {table}")}

    def changes() -> list[object]:
        found: list[object] = []
        for path in sorted(archive.glob("prune-*/*")):
            with contextlib.suppress(FileNotFoundError):  # it has just been renamed
                found.append((path.name, path.stat().st_mtime_ns))
        return found

    before = rows()
    killed = 0
    for kill in range(6):
        was = changes()
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            poll(lambda: process.poll() is not None or changes() != was, bool)  # noqa: B023 - used at once
            time.sleep(random.uniform(0, 0.05 * kill))
            process.send_signal(signal.SIGKILL)
        killed += process.returncode == -signal.SIGKILL
    assert killed > 1
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    assert all((path / "manifest.json").exists() for path in archive.glob("prune-*"))
    whole = [path for path in files(archive) if is_whole(path)]
    kept = {(path.name.partition(".")[0], entry["row"]["id"]) for path in whole for entry in read_archive(path)}
    assert len(rows()) == 4
    assert before - rows() <= kept
    assert not list(archive.glob("prune-*/*.part"))
    assert findings(stack) == set()


def is_whole(path: Path) -> bool:
    try:
        return bool(verify_archive(path))
    except ArchiveDamagedError:
        return False
