"""Tables whose ids were widened to bigint, as docs/SCALE.md says, work with row ids that do not fit into 32 bits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.config import load_config
from dbproxy.testing import Client, InProcessProxy, Stack, seed
from dbproxy.testing.requests import GROUP
from dbproxy.testing.servers import SCHEMA

LARGE = 5_000_000_000
WIDENED = (
    "IMAudio",
    "IMGroupMember",
    "IMRecentSession",
    *(f"{name}_{shard}" for name in ("IMMessage", "IMGroupMessage") for shard in range(8)),
)


@pytest.fixture(scope="module")
def widened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A stack whose tables have bigint ids, beyond what 32 bits hold."""
    schema = tmp_path_factory.mktemp("schema") / "schema.sql"
    text = Path(SCHEMA).read_text(encoding="utf-8")
    more = "".join(f"ALTER TABLE {table} MODIFY id bigint unsigned NOT NULL AUTO_INCREMENT, AUTO_INCREMENT={LARGE};\n" for table in WIDENED)
    schema.write_text(text + more, encoding="utf-8")
    with Stack(schema=schema) as stack:
        yield stack


def test_messages_sessions_and_members_work_and_the_audit_finds_nothing(widened: Stack) -> None:
    seed.users(widened, "alice", "bob", "carol")
    with InProcessProxy(widened) as proxy, proxy.client() as client:
        group_id = client.create_group(1, [1, 2]).group_id
        assert client.add_members(1, group_id, [3]).result_code == 0
        for number in range(1, 4):
            assert client.send_message(1, 2, f"text {number}").msg_id == number
            assert client.send_group_message(2, group_id, f"text {number}").msg_id == number
        _check(client, group_id)
        assert client.remove_session(1, 2).result_code == 0
        assert client.send_message(2, 1).msg_id == 4
    assert widened.rows("select min(id) as least from IMRecentSession")[0]["least"] >= LARGE  # type: ignore[operator]
    with open_stores(load_config(widened.write_config())) as stores:
        assert audit(stores).found == 0


def _check(client: Client, group_id: int) -> None:
    assert [message.msg_data for message in client.messages(1, 2).msg_list] == [b"text 3", b"text 2", b"text 1"]
    assert [message.msg_id for message in client.messages(3, group_id, session_type=GROUP).msg_list] == [3, 2, 1]
    assert {info.session_id for info in client.recent_sessions(1).contact_session_list} >= {2}
    assert sum(entry.unread_cnt for entry in client.unread(2).unreadinfo_list) >= 3
