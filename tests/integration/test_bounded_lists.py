"""Lists that somebody could make endless: what is looked up of a long request, and where a long reply ends."""

from __future__ import annotations

from dbproxy.models.group_writer import MAX_MEMBERS
from dbproxy.testing import Client, InProcessProxy, Stack, seed
from dbproxy.wire.pb import buddy_pb2


def test_of_many_msg_ids_the_largest_are_looked_up(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.users(dbproxy_stack, "alice", "bob")
    for number in range(1, 4):
        assert dbproxy_client.send_message(1, 2).msg_id == number
    asked = [1, *range(2, 2002)]
    assert [message.msg_id for message in dbproxy_client.messages_by_id(1, 2, asked).msg_list] == [3, 2]
    assert [message.msg_id for message in dbproxy_client.messages_by_id(1, 2, asked[:2000]).msg_list] == [3, 2, 1]
    assert [message.msg_id for message in dbproxy_client.messages_by_id(1, 2, [3, 1] * 2000).msg_list] == [3, 1]


def test_a_list_of_offline_files_ends_after_the_oldest_10000(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    columns = "(fromId,toId,fileName,size,taskId,status,created,updated)"
    rows = ",".join(f"(1,2,'f',1,'task-{number}',0,{number},{number})" for number in range(10_002))
    dbproxy_stack.rows(f"insert into IMTransmitFile {columns} values {rows}")
    files = dbproxy_client.offline_files(2).offline_file_list
    assert (len(files), files[0].task_id, files[-1].task_id) == (10_000, "task-0", "task-9999")


def test_lists_of_ids_longer_than_a_query_are_answered_in_full(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.users(dbproxy_stack, "alice", "bob", "carol")
    group_id = dbproxy_client.create_group(1, [1, 2, 3]).group_id
    assert [user.user_id for user in dbproxy_client.user_info([*range(9000, 11_500), 3, 2, 1, 3]).user_info_list] == [1, 2, 3]
    assert dbproxy_client.set_device_token(3, "token").user_id == 3
    tokens = dbproxy_client.device_tokens([*range(9000, 11_500), 3]).user_token_info
    assert [token.user_id for token in tokens] == [3]
    assert dbproxy_client.shield_group(2, group_id).result_code == 0
    shields = dbproxy_client.group_shield(group_id, [*range(9000, 11_500), 2]).shield_status_list
    assert [(entry.user_id, entry.shield_status) for entry in shields] == [*((user, 0) for user in range(9000, 11_500)), (2, 1)]
    versions = {**dict.fromkeys(range(9000, 11_500), 0), group_id: 0}
    assert [list(group.group_member_list) for group in dbproxy_client.group_info(versions).group_info_list] == [[1, 2, 3]]


def test_equal_lookups_of_a_batch_are_read_once(dbproxy_stack: Stack) -> None:
    dbproxy_stack.reset()
    seed.users(dbproxy_stack, "alice", "bob")
    requests = [buddy_pb2.IMAllUserReq(user_id=number, latest_update_time=0, attach_data=b"%d" % number) for number in range(1, 41)]

    def selects() -> int:
        return int(str(dbproxy_stack.rows("show global status like 'Com_select'")[0]["Value"]))

    with InProcessProxy(dbproxy_stack, {"ThreadNum": 1, "MaxActiveBatches": 1}) as proxy, proxy.client() as client:
        client.all_users()
        before = selects()
        replies = client.requests(requests)
        assert selects() - before < 10
    for number, reply in enumerate(replies, start=1):
        assert isinstance(reply, buddy_pb2.IMAllUserRsp)
        assert (reply.user_id, reply.attach_data, len(reply.user_list)) == (number, b"%d" % number, 2)


def test_more_members_than_a_request_may_name_are_refused(dbproxy_stack: Stack, dbproxy_client: Client) -> None:
    seed.users(dbproxy_stack, "alice", "bob")
    group_id = dbproxy_client.create_group(1, [1, 2]).group_id
    too_many = range(1, MAX_MEMBERS + 2)
    assert dbproxy_client.create_group(1, too_many).result_code == 1
    assert dbproxy_client.add_members(1, group_id, too_many).result_code == 1
    assert dbproxy_client.remove_members(1, group_id, too_many).result_code == 1
    assert [list(group.group_member_list) for group in dbproxy_client.group_info({group_id: 0}).group_info_list] == [[1, 2]]
