"""The program in docs/ADMIN.md that puts archived messages back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from dbproxy.admin.cli import main
from dbproxy.testing import Stack, seed

pytestmark = [pytest.mark.watchdog(120), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

TEXTS = ["", "it's \\ 100% `;--", "😀𠮷\n\x00\x1b", "\u202e<b>", "last"]


def test_messages_that_are_put_back_are_as_they_were(stack: Stack, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/ADMIN.md").read_text(encoding="utf-8")
    program = tmp_path / "restore.py"
    program.write_text(re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)[0], encoding="utf-8")
    seed.relation(stack, 1, 2, relate_id=12)
    seed.messages(stack, 1, 2, TEXTS, relate_id=12)
    seed.group_messages(stack, 1, 9, TEXTS)
    audio = seed.insert(stack, "IMAudio", [{"fromId": 1, "toId": 2, "path": "a'b", "size": 1, "duration": 1, "created": seed.T0}])
    stack.rows("update IMMessage_4 set type=2,content=%s where msgId=1", (audio,))
    before = stack.snapshot()
    config = str(stack.write_config(overrides={"AdminDataDir": tmp_path / "admin"}))
    assert main(["--config", config, "prune", "--older-than", "30d"]) == 0
    assert [len(stack.rows(f"select id from {table}")) for table in ("IMMessage_4", "IMGroupMessage_1", "IMAudio")] == [1, 1, 0]
    for _ in range(2):
        for path in (tmp_path / "admin").glob("archive/prune-*/*.jsonl.gz"):
            done = subprocess.run([sys.executable, program, path], capture_output=True, text=True, timeout=60, check=True)
            for statement in done.stdout.splitlines():
                stack.rows(statement)
        assert stack.snapshot() == before
