"""How people name commands."""

from __future__ import annotations

import pytest

from dbproxy.wire.command_names import find_command


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CID_MSG_DATA", "CID_MSG_DATA"),
        ("cid_msg_data", "CID_MSG_DATA"),
        ("msg_data", "CID_MSG_DATA"),
        ("IMMsgData", "CID_MSG_DATA"),
        ("immsgdata", "CID_MSG_DATA"),
        ("0x0301", "CID_MSG_DATA"),
        ("769", "CID_MSG_DATA"),
        ("cid_msg_r", "CID_MSG_READ_ACK"),
        ("IMValid", "CID_OTHER_VALIDATE_REQ"),
    ],
)
def test_names_messages_ids_and_beginnings_are_understood(text: str, name: str) -> None:
    assert find_command(text).name == name


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("CID_MSG_GET", "may be any of CID_MSG_GET_BY_MSG_ID_REQ, CID_MSG_GET_LATEST_MSG_ID_REQ"),
        ("nonsense", "is no command"),
        ("", "is no command"),
        ("0x9999", "no command has this id"),
    ],
)
def test_what_is_none_or_several_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        find_command(text)
