"""Whether reads show what was written just before, and where they went."""

from __future__ import annotations

import time

from dbproxy.stores.mysql import ReadPool
from dbproxy.testing import Client, InProcessProxy

BACK = 10.0
"""Seconds in which a replica has to be used again; it takes one or two rounds of the watch, and the machine may be busy."""


def reads_of(proxy: InProcessProxy) -> ReadPool:
    """Return the pool for reads."""
    return proxy.application.observed.slave


def states(proxy: InProcessProxy) -> list[str]:
    """Return the states of the replicas."""
    return [replica.state for replica in reads_of(proxy).replicas()]


def is_newest(client: Client, msg_id: int) -> bool:
    """Return whether user 2 sees the message as the newest of user 1."""
    found = client.messages(2, 1, msg_cnt=1).msg_list
    return bool(found) and found[0].msg_id == msg_id


def written_and_not_seen(writer: Client, reader: Client) -> list[str]:
    """Write something of each kind as user 1 through one client, and read it as user 2 through the other; return what was not seen."""
    msg_id = writer.send_message(1, 2, "hello").msg_id
    number = str(time.monotonic_ns())
    missing = {"message": not is_newest(reader, msg_id)}
    missing["session"] = not reader.recent_sessions(2).contact_session_list
    writer.change_sign_info(1, number)
    missing["sign info"] = reader.user_info([1]).user_info_list[0].sign_info != number
    group_id = writer.create_group(1, [1, 2], name=number).group_id
    missing["group"] = group_id not in [group.group_id for group in reader.normal_groups(2).group_version_list]
    missing["last id"] = reader.latest_msg_id(2, 1).latest_msg_id != msg_id
    return [what for what, is_missing in missing.items() if is_missing]
