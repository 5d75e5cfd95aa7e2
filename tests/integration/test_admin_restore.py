"""``dbproxy-admin restore``: archived messages are put back as they were, while the proxy is running."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import damage
import pytest
from administering import recorded_by

from dbproxy.admin.administration import Administration
from dbproxy.admin.cli import main
from dbproxy.admin.errors import AdminError, RefusedError
from dbproxy.admin.messages import archive_restore
from dbproxy.admin.messages.archive import Pruning
from dbproxy.admin.messages.archive_files import ArchiveDamagedError
from dbproxy.admin.messages.archive_restore import RestoreProgress, Restoring
from dbproxy.audit import audit, open_stores
from dbproxy.audit.backup import Backup
from dbproxy.audit.merge import Merger
from dbproxy.config import load_config
from dbproxy.testing import Client, InProcessProxy, Stack, seed
from devtools.traffic import Traffic

pytestmark = [pytest.mark.watchdog(120), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

TEXTS = ["", "it's \\ 100% `;--", "😀𠮷\n\x00\x1b", "\u202e<b>", "last"]

LIMIT = seed.T0 + 1_000_000
"""Messages of ``seed`` are older."""


@pytest.fixture
def run(stack: Stack, administration: Administration) -> Path:
    """The directory of a run that has archived 4 messages of a relation, the first one a sound, and 4 of a group."""
    seed.relation(stack, 1, 2, relate_id=12)
    seed.messages(stack, 1, 2, TEXTS, relate_id=12)
    seed.group_messages(stack, 1, 9, TEXTS)
    audio = seed.insert(stack, "IMAudio", [{"fromId": 1, "toId": 2, "path": "a'b", "size": 1, "duration": 1, "created": seed.T0}])
    stack.rows("update IMMessage_4 set type=2,content=%s where msgId=1", (audio,))
    return Path(Pruning(administration).run(LIMIT).directory)


def count(stack: Stack) -> list[int]:
    return [len(stack.rows(f"select id from {table}")) for table in ("IMMessage_4", "IMGroupMessage_1", "IMAudio")]


def rewritten(path: Path, change: Any) -> None:
    """Change the entries of a file, and everything that says what it contains."""
    lines = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()][:-1]
    for line in lines[1:]:
        change(line)
    data = b"".join(json.dumps(line).encode() + b"\n" for line in lines)
    digest = hashlib.sha256(data).hexdigest()
    path.write_bytes(gzip.compress(data + b'{"end":{"rows":%d,"sha256":"%s"}}\n' % (len(lines) - 1, digest.encode())))
    manifest = json.loads((path.parent / "manifest.json").read_text())
    manifest["tables"][path.name.partition(".")[0]]["sha256"] = digest
    (path.parent / "manifest.json").write_text(json.dumps(manifest))


def test_messages_that_are_put_back_are_as_they_were(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seed.relation(stack, 1, 2, relate_id=12)
    seed.messages(stack, 1, 2, TEXTS, relate_id=12)
    seed.group_messages(stack, 1, 9, TEXTS)
    audio = seed.insert(stack, "IMAudio", [{"fromId": 1, "toId": 2, "path": "a'b", "size": 1, "duration": 1, "created": seed.T0}])
    stack.rows("update IMMessage_4 set type=2,content=%s where msgId=1", (audio,))
    before = stack.snapshot()
    config = str(stack.write_config(overrides={"AdminDataDir": tmp_path / "admin"}))
    assert main(["--config", config, "prune", "--older-than", "30d"]) == 0
    assert count(stack) == [1, 1, 0]
    pruned = stack.snapshot()
    (path,) = (tmp_path / "admin").glob("archive/prune-*")
    capsys.readouterr()
    assert main(["--config", config, "restore", "--dry-run", str(path)]) == 0
    assert "would be restored" in capsys.readouterr().out
    assert stack.snapshot() == pruned
    for restored in (8, 0):
        assert main(["--config", config, "restore", "--json", str(path)]) == 0
        assert json.loads(capsys.readouterr().out)["restored"] == restored
        assert stack.snapshot() == before


def test_clients_load_them_again_while_others_send(
    stack: Stack, run: Path, administration: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_restore, "ROWS", 1)
    with InProcessProxy(stack) as proxy, proxy.client() as client:
        with Traffic(lambda _: proxy.client(), [(1, 2, False), (3, 9, True)]) as traffic:
            traffic.wait_for(20)
            assert Restoring(administration, run).run().restored == 8
            traffic.wait_for(20)
        assert (traffic.refused, traffic.unanswered) == (0, 0)
        listed = [message.msg_data.decode() for message in client.messages(1, 2, msg_id_begin=5, msg_cnt=4).msg_list]
        assert listed == TEXTS[:0:-1]
    with open_stores(load_config(stack.write_config()), 0.01) as backends:
        assert audit(backends).counts == {}


def test_it_is_recorded_and_may_be_interrupted(
    stack: Stack, run: Path, administration: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_restore, "ROWS", 3)
    seen: list[RestoreProgress] = []

    def interrupt(progress: RestoreProgress) -> None:
        seen.append(progress)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Restoring(administration, run).run(interrupt)
    assert sum(count(stack)[:2]) == 2 + 3
    report = Restoring(administration, run).run(seen.append)
    assert (report.restored, report.present, report.left, count(stack)) == (5, 3, 0, [5, 5, 1])
    assert [(progress.rows, progress.total) for progress in seen] == [(3, 8), (3, 8), (4, 8), (7, 8), (8, 8)]
    line = recorded_by(administration)[-1]
    assert (line["action"], line["target"], line["outcome"]) == ("messages.restore", str(run), "ok")
    assert line["details"] == {"restored": 5, "present": 3, "left": 0}


def test_a_message_that_has_got_the_row_id_meanwhile_stays(
    stack: Stack, run: Path, administration: Administration, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.loads(gzip.decompress((run / "IMMessage_4.jsonl.gz").read_bytes()).splitlines()[2])["row"]
    other = {**row, "content": "other", "msgId": 77}
    seed.insert(stack, "IMMessage_4", [other])
    config = str(stack.write_config(overrides={"AdminDataDir": tmp_path / "other"}))
    assert main(["--config", config, "restore", str(run)]) == 1
    assert "1 messages are not restored" in capsys.readouterr().err
    assert stack.rows("select content,msgId from IMMessage_4 where id=%s", (row["id"],)) == [{"content": "other", "msgId": 77}]
    assert count(stack) == [5, 5, 1]


def test_nothing_is_done_if_a_file_is_damaged(stack: Stack, run: Path, administration: Administration) -> None:
    path = run / "IMMessage_4.jsonl.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"last", b"late").replace(b"<b>", b"<i>")))
    with pytest.raises(ArchiveDamagedError):
        Restoring(administration, run).run()
    assert count(stack) == [1, 1, 0]


@pytest.mark.parametrize(
    ("column", "value"),
    [("id", "1) or 1=1 -- "), ("id", 10**40), ("created", None), ("content", ["x"]), ("a`) select 1 -- ", 1), ("unknown", "x")],
)
def test_a_file_that_somebody_has_made_up_is_refused(
    stack: Stack, run: Path, administration: Administration, column: str, value: object
) -> None:
    rewritten(run / "IMMessage_4.jsonl.gz", lambda line: line["row"].update({column: value}))
    with pytest.raises(AdminError, match=r"none of its table|has the column"):
        Restoring(administration, run).run()
    assert count(stack) == [1, 1, 0]


@pytest.mark.parametrize("change", [{"row": "x"}, {"audio": [1]}, {"audio": {"id": "1"}}])
def test_what_is_no_row_is_refused(stack: Stack, run: Path, administration: Administration, change: dict[str, object]) -> None:
    rewritten(run / "IMMessage_4.jsonl.gz", lambda line: line.update(change))
    with pytest.raises(ArchiveDamagedError, match="none of its table"):
        Restoring(administration, run).run()
    assert count(stack) == [1, 1, 0]


def test_the_same_row_twice_is_refused(stack: Stack, run: Path, administration: Administration) -> None:
    rewritten(run / "IMMessage_4.jsonl.gz", lambda line: line["row"].update(id=7))
    with pytest.raises(ArchiveDamagedError, match="not sorted"):
        Restoring(administration, run).run()
    assert count(stack) == [1, 1, 0]


def test_a_sound_whose_id_another_one_has_is_not_mixed_up_with_it(stack: Stack, run: Path, administration: Administration) -> None:
    entry = json.loads(gzip.decompress((run / "IMMessage_4.jsonl.gz").read_bytes()).splitlines()[1])
    seed.insert(stack, "IMAudio", [{**entry["audio"], "fromId": 7, "toId": 8}])
    plan = Restoring(administration, run).run(dry_run=True)
    report = Restoring(administration, run).run()
    assert [(table.table, table.restored, table.in_the_way) for table in report.tables] == [
        ("IMMessage_4", 3, 1),
        ("IMGroupMessage_1", 4, 0),
    ]
    assert plan == report
    assert count(stack) == [4, 5, 1]


def merge(stack: Stack, tmp_path: Path) -> None:
    with open_stores(load_config(stack.write_config()), 0.01) as backends, Backup(tmp_path / "backup") as kept:
        assert [result.error for result in Merger(backends, kept).run()] == [""]


def texts(client: Client) -> list[str]:
    return [text for text, _, _ in damage.read_all(client, 1, 2)]


def test_what_was_merged_meanwhile_stays_in_the_archive(
    stack: Stack, administration: Administration, dbproxy_client: Client, tmp_path: Path
) -> None:
    for relate_id in (12, 13):  # a message of the one, and then one of the other
        seed.relation(stack, 1, 2, relate_id=relate_id)
        lines = [(f"{relate_id}: {number}", seed.T0 + 10 * number + relate_id, number + 1) for number in range(20)]
        damage.store(stack, (1, 2), relate_id, lines)
    run = Path(Pruning(administration).run(LIMIT).directory)
    merge(stack, tmp_path)
    before = texts(dbproxy_client)
    assert before == ["12: 19", "13: 19"]
    report = Restoring(administration, run).run()
    assert sum(table.archived for table in report.tables) == 38
    assert (report.restored, report.present, report.left) == (19, 0, 19)
    shown = texts(dbproxy_client)
    assert shown == [*(f"13: {number}" for number in range(19)), *before]
    assert Restoring(administration, run).run().restored == 0


def test_what_was_restored_and_then_got_other_ids_is_not_stored_twice(
    stack: Stack, administration: Administration, dbproxy_client: Client, tmp_path: Path
) -> None:
    seed.relation(stack, 1, 2, relate_id=12)
    damage.store(stack, (1, 2), 12, damage.flushed_under_load(10, 10))
    run = Path(Pruning(administration).run(LIMIT).directory)
    assert Restoring(administration, run).run().restored == 18
    merge(stack, tmp_path)
    before = texts(dbproxy_client)
    assert len(before) == 20
    again = Restoring(administration, run).run()
    assert (again.restored, again.present + again.left) == (0, 18)
    assert texts(dbproxy_client) == before
    assert len(stack.rows("select id from IMMessage_4")) == 20


def test_columns_that_the_server_computes_are_left_to_it(stack: Stack, administration: Administration) -> None:
    seed.group_messages(stack, 1, 9, TEXTS)
    stack.rows("alter table IMGroupMessage_1 add twice int generated always as (msgId*2) stored")
    try:
        before = stack.rows("select * from IMGroupMessage_1 order by id")
        run = Path(Pruning(administration).run(LIMIT).directory)
        assert Restoring(administration, run).run().restored == 4
        assert stack.rows("select * from IMGroupMessage_1 order by id") == before
    finally:
        stack.rows("alter table IMGroupMessage_1 drop twice")


def test_what_is_no_finished_run_is_refused(run: Path, administration: Administration, tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="is no directory of a run of prune"):
        Restoring(administration, tmp_path / "none").run()
    manifest = run / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"done"', '"running"'))
    with pytest.raises(RefusedError, match="has not ended"):
        Restoring(administration, run).run()
    manifest.write_text(manifest.read_text().replace('"running"', '"done"').replace('"IMMessage_4"', '"IMUser"'))
    with pytest.raises(RefusedError, match="no table of messages"):
        Restoring(administration, run).run()
