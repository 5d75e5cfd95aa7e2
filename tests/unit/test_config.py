"""What load_config and parse_config accept, refuse and say."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from dbproxy.config import AdminSettings, Config, TlsSettings, key_warnings, load_config, parse_config
from dbproxy.config_keys import ADMIN_KEYS, CACHE_INSTANCE_KEYS, OPTIONAL_KEYS, REQUIRED_KEYS, TLS_KEYS, Key
from dbproxy.errors import ConfigError

STOCK = Path(__file__).parents[2] / "conf" / "dbproxyserver.conf"
KEY = "12345678901234567890123456789012"


def stock(**changes: str | None) -> str:
    """The shipped file with keys set to other values (None: without the key)."""
    text = STOCK.read_text(encoding="utf-8")
    for name, value in changes.items():
        text = re.sub(rf"(?m)^{name}=.*\n", "", text)
        if value is not None:
            text += f"{name}={value}\n"
    return text


def problems(text: str) -> Sequence[str]:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, source="test.conf")
    return caught.value.problems


def test_the_stock_file_loads_with_the_original_s_values() -> None:
    config = load_config(STOCK)
    assert config.listen_ips == ("127.0.0.1",)
    assert (config.listen_port, config.thread_num) == (10600, 48)
    assert config.msfs_site == "http://127.0.0.1:8700/"
    assert config.aes_key == KEY
    assert list(config.db_instances) == ["teamtalk_master", "teamtalk_slave"]
    master = config.db_instances["teamtalk_master"]
    assert (master.host, master.port, master.dbname, master.username, master.password) == ("127.0.0.1", 3306, "teamtalk", "test", "12345")
    assert (master.name, master.maxconncnt, master.tls) == ("teamtalk_master", 16, None)
    assert {name: cache.db for name, cache in config.cache_instances.items()} == {
        "unread": 1, "group_set": 2, "token": 4, "sync": 3, "group_member": 5,
    }  # fmt: skip
    unread = config.cache_instances["unread"]
    assert (unread.host, unread.port, unread.maxconncnt) == ("127.0.0.1", 6379, 16)
    assert (unread.username, unread.password, unread.tls) == ("", "", None)
    assert config.unknown_keys == ()


def test_the_stock_file_documents_every_optional_key_with_its_default() -> None:
    documented = dict(re.findall(r"(?m)^#(\w+)=(.*)$", STOCK.read_text(encoding="utf-8")))
    assert documented == {key.name: key.default for key in OPTIONAL_KEYS + ADMIN_KEYS}


def test_defaults_are_what_they_promise() -> None:
    config = load_config(STOCK)
    assert config.max_pdu_length == 16777216
    assert config.stop_grace == 4.0
    assert isinstance(config.db_lock_timeout, float)
    assert (config.max_batch_size, config.max_active_batches, config.audio_threads) == (64, 2, 4)
    assert (config.log_file, config.log_level, config.allowed_peers) == ("", "info", ())


def test_every_field_has_exactly_one_key() -> None:
    others = {"db_instances", "cache_instances", "admin", "unknown_keys", "former_keys"}
    for settings, keys in ((Config, REQUIRED_KEYS + OPTIONAL_KEYS), (AdminSettings, ADMIN_KEYS)):
        keyed = [key.field for key in keys]
        assert len(keyed) == len(set(keyed))
        assert set(keyed) == {field.name for field in dataclasses.fields(settings)} - others


def test_comments_blanks_bom_and_crlf_do_not_matter() -> None:
    lines = "  ListenPort \t=  1234   # the port\nThreadNum=7#x\nno equals sign\n# a=b\n= x\n"
    text = "\ufeff" + stock(ListenPort=None, ThreadNum=None) + lines
    config = parse_config(text.replace("\n", "\r\n"))
    assert (config.listen_port, config.thread_num) == (1234, 7)
    assert config.unknown_keys == ()


def test_bom_of_a_file_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    path = tmp_path / "bom.conf"
    path.write_bytes(b"\xef\xbb\xbfListenPort=99\n" + stock(ListenPort=None).encode())
    assert load_config(path).listen_port == 99


def test_the_first_of_two_equal_keys_wins() -> None:
    assert parse_config("ThreadNum=3\n" + STOCK.read_text(encoding="utf-8")).thread_num == 3


def test_a_value_may_hold_equals_signs() -> None:
    config = parse_config(stock(teamtalk_master_password="a=b=="))
    assert config.db_instances["teamtalk_master"].password == "a=b=="


def test_comments_in_another_encoding_do_no_harm_but_values_must_be_utf8(tmp_path: Path) -> None:
    path = tmp_path / "gbk.conf"
    path.write_bytes("# 数据库\n".encode("gbk") + stock().encode())
    assert load_config(path).listen_port == 10600
    path.write_bytes("teamtalk_master_password=数据库\n".encode("gbk") + stock().encode())
    with pytest.raises(ConfigError, match="teamtalk_master_password: the value is not UTF-8"):
        load_config(path)


def test_unknown_keys_are_collected_and_come_with_a_hint() -> None:
    config = parse_config(stock() + "MaxPduLenght=5\nlistenport=1\nteamtalk_master_pasword=secret\nXyzzy=1\n")
    assert config.unknown_keys == ("MaxPduLenght", "listenport", "teamtalk_master_pasword", "Xyzzy")
    assert key_warnings(config) == [
        "unknown key MaxPduLenght is ignored; did you mean MaxPduLength?",
        "unknown key listenport is ignored; did you mean ListenPort?",
        "unknown key teamtalk_master_pasword is ignored; did you mean teamtalk_master_password?",
        "unknown key Xyzzy is ignored",
    ]


def test_an_unknown_key_that_is_not_utf8_can_be_printed(tmp_path: Path) -> None:
    path = tmp_path / "odd.conf"
    path.write_bytes(stock().encode() + b"\xff\xfe=1\n")
    "".join(key_warnings(load_config(path))).encode("utf-8")


def test_all_mistakes_are_reported_with_file_line_and_accepted_values() -> None:
    found = problems("ListenPort=abc\nThreadNum=0\n" + stock(MsfsSite=None, unread_port="0", LogLevel="loud"))
    assert len(found) == 5
    assert "test.conf:1: ListenPort=abc: expected a whole number from 0 to 65535" in found
    assert "test.conf:2: ThreadNum=0: expected a whole number of threads from 1 to 1024" in found
    assert "test.conf: MsfsSite is missing: expected host, host:port or an http(s) URL" in found
    assert any("unread_port=0: expected a whole number from 1 to 65535" in problem for problem in found)
    assert any("LogLevel=loud: expected debug, info, warning or error" in problem for problem in found)


def test_an_empty_file_names_every_key_that_is_needed() -> None:
    found = " ".join(problems(""))
    for name in ("ListenIP", "ListenPort", "ThreadNum", "MsfsSite", "aesKey", "DBInstances", "CacheInstances"):
        assert f"{name} is missing" in found


@pytest.mark.parametrize("value", ["", "-1", "+1", "1.5", "1e3", "1_0", "٣", "0x10", "65536", "9" * 5000, "10 600", "8 threads"])
def test_a_number_that_is_none_or_out_of_range_is_refused(value: str) -> None:
    assert len(problems(stock(ListenPort=value))) == 1


@pytest.mark.parametrize("value", ["-1", "nan", "inf", "0", "3601", "5s", ".5", "1e1"])
def test_a_duration_that_is_none_or_out_of_range_is_refused(value: str) -> None:
    (problem,) = problems(stock(PeerTimeout=value))
    assert "expected seconds from 0.1 to 3600" in problem


def test_durations_are_seconds_with_fractions() -> None:
    config = parse_config(stock(PeerTimeout="2.5", StopGrace="0"))
    assert (config.peer_timeout, config.stop_grace) == (2.5, 0.0)


def test_a_lock_wait_is_in_whole_seconds_and_ends_before_its_statement() -> None:
    assert "whole seconds" in problems(stock(DBLockTimeout="2.5"))[0]
    (problem,) = problems(stock(DBTimeout="5"))
    assert problem == "test.conf: DBLockTimeout=5: must be below DBTimeout (5)"


def test_the_send_buffer_of_one_connection_is_not_above_that_of_all() -> None:
    assert parse_config(stock(MaxSendBuffer="2048", MaxSendBufferTotal="2048")).max_send_buffer == 2048
    (problem,) = problems(stock(MaxSendBufferTotal="2048"))
    assert problem == "test.conf: MaxSendBuffer=8388608: must be at most MaxSendBufferTotal (2048)"


def test_the_former_name_of_a_key_still_works_with_a_warning() -> None:
    config = parse_config(stock(RunLimit="7", ActiveRuns="3", MaxActiveBatches="4"))
    assert (config.max_batch_size, config.max_active_batches) == (7, 4)
    assert key_warnings(config) == [
        "key RunLimit is called MaxBatchSize now; the former name still works",
        "key ActiveRuns is ignored: MaxActiveBatches, as it is called now, is set as well",
    ]
    (problem,) = problems(stock(RunLimit="0"))
    assert "RunLimit=0: expected a whole number of requests from 1 to 10000" in problem


def test_a_key_of_a_former_version_is_accepted_with_a_warning() -> None:
    (warning,) = key_warnings(parse_config(stock(MaxSendBufferHard="2048")))
    assert warning.startswith("key MaxSendBufferHard has no effect any more: ")


@pytest.mark.parametrize(
    ("value", "hosts"),
    [
        ("10.0.0.1;127.0.0.1", ("10.0.0.1", "127.0.0.1")),
        (" 10.0.0.1 ; ; 10.0.0.1;", ("10.0.0.1",)),
        ("::1;localhost", ("::1", "localhost")),
        ("db_1.example.com", ("db_1.example.com",)),
    ],
)
def test_listen_ip_takes_addresses_and_names(value: str, hosts: tuple[str, ...]) -> None:
    assert parse_config(stock(ListenIP=value)).listen_ips == hosts


@pytest.mark.parametrize("value", ["", ";", "300.1.1.1", "127.0.0", "a b", "-a", "a..b", "::1::", "127.0.0.1,10.0.0.1", "x" * 64])
def test_listen_ip_refuses_what_is_neither(value: str) -> None:
    assert len(problems(stock(ListenIP=value))) == 1


@pytest.mark.parametrize(
    ("value", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1/"),
        ("files.example.com:8700", "http://files.example.com:8700/"),
        ("http://files:8700", "http://files:8700/"),
        ("http://files:8700/", "http://files:8700/"),
        ("HTTPS://files/in//", "https://files/in/"),
        ("files/in", "http://files/in/"),
        ("::1", "http://[::1]/"),
        ("[::1]:8700", "http://[::1]:8700/"),
    ],
)
def test_msfs_site_becomes_a_url_that_ends_in_a_slash(value: str, url: str) -> None:
    assert parse_config(stock(MsfsSite=value)).msfs_site == url


@pytest.mark.parametrize(
    "value",
    ["", "http://", "ftp://files", "files:0", "files:99999", "files:x", "files?a=b", "a b", "[::1", "a\tb", "文件"],
)
def test_msfs_site_refuses_what_is_no_site(value: str) -> None:
    assert len(problems(stock(MsfsSite=value))) == 1


def test_a_password_in_msfs_site_is_refused_without_showing_it() -> None:
    (problem,) = problems(stock(MsfsSite="http://user:hunter2@files/"))
    assert "not supported" in problem
    assert "hunter2" not in problem


@pytest.mark.parametrize("value", [KEY[:-1], KEY + "3", "é" * 32])
def test_the_aes_key_has_exactly_32_characters_and_is_never_shown(value: str) -> None:
    (problem,) = problems(stock(aesKey=value))
    assert "aesKey: expected exactly 32 ASCII characters (it has" in problem
    assert value not in problem


def test_repr_shows_no_secret() -> None:
    text = repr(parse_config(stock(teamtalk_master_password="hunter2", unread_password="hunter3")))
    assert "teamtalk_master" in text
    assert "hunter" not in text
    assert KEY not in text


def test_master_and_slave_and_four_caches_are_needed() -> None:
    (problem,) = problems(stock(DBInstances="teamtalk_master"))
    assert "DBInstances=teamtalk_master: teamtalk_slave must be in the list" in problem
    (problem,) = problems(stock(CacheInstances="unread, token,unread"))
    assert "group_set, group_member must be in the list" in problem


def test_the_cache_that_nothing_uses_may_be_missing() -> None:
    config = parse_config(stock(CacheInstances="unread,group_set,token,group_member"))
    assert list(config.cache_instances) == ["unread", "group_set", "token", "group_member"]


def test_a_line_without_a_value_is_skipped_and_the_next_one_counts() -> None:
    empty = "ListenPort=\nThreadNum= # none\nteamtalk_master_host=\nteamtalk_master_password=\nunread_port=\n"
    config = parse_config(empty + STOCK.read_text(encoding="utf-8"))
    assert config == load_config(STOCK)


def test_a_key_that_has_no_value_anywhere_is_named_with_its_line() -> None:
    (problem,) = problems("ListenPort=\n" + stock(ListenPort=None))
    assert problem == "test.conf:1: ListenPort has no value: expected a whole number from 0 to 65535"


@pytest.mark.parametrize("key", [*OPTIONAL_KEYS, *TLS_KEYS, *CACHE_INSTANCE_KEYS[-2:]], ids=lambda key: key.name)
def test_an_optional_key_without_a_value_has_its_default(key: Key) -> None:
    name = f"unread{key.name}" if key.name.startswith("_") else key.name
    assert parse_config(stock() + f"{name}=\n") == load_config(STOCK)


def test_every_key_of_a_listed_instance_is_needed() -> None:
    found = problems(stock(DBInstances="teamtalk_master,teamtalk_slave,third"))
    assert [problem.split(" is missing")[0] for problem in found] == [
        f"test.conf: third_{name}" for name in ("host", "port", "dbname", "username", "maxconncnt")
    ]


@pytest.mark.parametrize("line", ["", None])
def test_a_database_password_may_be_empty(line: str | None) -> None:
    assert parse_config(stock(teamtalk_slave_password=line)).db_instances["teamtalk_slave"].password == ""


def test_a_redis_cluster_has_no_database_number() -> None:
    config = parse_config(stock(token_cluster="on", token_db=None, unread_cluster="on", unread_db="0"))
    assert [(config.cache_instances[name].cluster, config.cache_instances[name].db) for name in ("token", "unread", "group_set")] == [
        (True, 0),
        (True, 0),
        (False, 2),
    ]
    (problem,) = problems(stock(token_cluster="on", token_db="4"))
    assert "token_db=4: expected 0, or no such key" in problem
    (problem,) = problems(stock(token_cluster="off", token_db=None))
    assert "token_db is missing" in problem
    (problem,) = problems(stock(token_cluster="perhaps"))
    assert "token_cluster=perhaps: expected on or off" in problem


def test_cache_instances_may_have_a_login() -> None:
    token = parse_config(stock(token_username="u", token_password="p")).cache_instances["token"]
    assert (token.username, token.password) == ("u", "p")


def test_tls_is_off_unless_asked_for_and_then_verifies() -> None:
    config = parse_config(stock(unread_ssl="ON", teamtalk_slave_ssl="on", teamtalk_slave_ssl_verify="no"))
    assert config.cache_instances["unread"].tls == TlsSettings(ca=None, cert=None, key=None, verify=True)
    assert config.cache_instances["token"].tls is None
    assert config.db_instances["teamtalk_slave"].tls == TlsSettings(ca=None, cert=None, key=None, verify=False)


def test_a_certificate_asks_for_tls_unless_the_switch_is_off(tmp_path: Path) -> None:
    pem = tmp_path / "ca.pem"
    pem.write_text("x", encoding="ascii")
    tls = parse_config(stock(teamtalk_master_ssl_ca=str(pem))).db_instances["teamtalk_master"].tls
    assert tls == TlsSettings(ca=str(pem), cert=None, key=None, verify=True)
    assert parse_config(stock(teamtalk_master_ssl_ca=str(pem), teamtalk_master_ssl="off")).db_instances["teamtalk_master"].tls is None


def test_mistakes_in_tls_keys_are_named(tmp_path: Path) -> None:
    pem = tmp_path / "key.pem"
    pem.write_text("x", encoding="ascii")
    found = problems(stock(unread_ssl="maybe", sync_ssl_ca="/no/such/ca.pem", token_ssl_key=str(pem)))
    assert len(found) == 3
    assert any("unread_ssl=maybe: expected on or off" in problem for problem in found)
    assert any("sync_ssl_ca=/no/such/ca.pem: expected the path of a file (No such file or directory)" in problem for problem in found)
    assert any("token_ssl_key: needs token_ssl_cert" in problem for problem in found)


def test_allowed_peers_are_addresses_and_networks() -> None:
    config = parse_config(stock(AllowedPeers="127.0.0.1, 10.1.2.3/8;fd00::/8"))
    assert config.allowed_peers == tuple(ipaddress.ip_network(text) for text in ("127.0.0.1/32", "10.0.0.0/8", "fd00::/8"))
    assert len(problems(stock(AllowedPeers="10.0.0.0/33"))) == 1
    assert len(problems(stock(AllowedPeers="localhost"))) == 1


def test_a_config_cannot_be_changed() -> None:
    config = load_config(STOCK)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.thread_num = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        config.db_instances["x"] = config.db_instances["teamtalk_master"]  # type: ignore[index]


def test_a_file_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(tmp_path / "none.conf")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


@pytest.mark.parametrize(
    ("value", "addresses"),
    [
        ("db1", (("db1", 3307),)),
        ("db1, db2:3308,10.0.0.3", (("db1", 3307), ("db2", 3308), ("10.0.0.3", 3307))),
        ("::1", (("::1", 3307),)),
        ("[::1]:3308, [fe80::2]", (("::1", 3308), ("fe80::2", 3307))),
        ("db1,db1,db1:3307", (("db1", 3307),)),
    ],
)
def test_a_database_may_have_several_hosts(value: str, addresses: tuple[tuple[str, int], ...]) -> None:
    keys = {"teamtalk_master_host": value, "teamtalk_master_port": "3307"}
    assert parse_config(stock(), overrides=keys).db_instances["teamtalk_master"].addresses == addresses


@pytest.mark.parametrize("value", ["db1:", "db1:0", "db1:65536", "db1:x", ",", "::1:3306x", "db 1", "[::1", "db1;db2"])
def test_a_list_of_hosts_that_cannot_be_read_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match=r"teamtalk_master_host=.*expected an IP address or a host name, or several as host\[:port\]"):
        parse_config(stock(), overrides={"teamtalk_master_host": value})


def test_sentinels_take_the_place_of_host_and_port() -> None:
    text = stock(unread_host=None, unread_port=None, unread_sentinels="10.0.0.1, s2:7000,[::1]:7", unread_service="teamtalk")
    unread = parse_config(text).cache_instances["unread"]
    assert unread.sentinels == (("10.0.0.1", 26379), ("s2", 7000), ("::1", 7))
    assert (unread.service, unread.host, unread.hosts) == ("teamtalk", "", ("10.0.0.1", "s2", "::1"))
    assert unread.address == "service teamtalk of the Sentinels 10.0.0.1:26379, s2:7000, [::1]:7"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"unread_sentinels": "s1"}, "unread_host: unread_sentinels is given too; only one of the two can be"),
        (
            {"unread_sentinels": "s1", "unread_host": None, "unread_port": None, "unread_service": None},
            "unread_sentinels: needs unread_service",
        ),
        ({"unread_service": "teamtalk"}, "unread_service: needs unread_sentinels"),
        (
            {"unread_sentinels": "s1:0", "unread_host": None, "unread_port": None},
            "unread_sentinels=s1:0: expected host[:port] of each Sentinel",
        ),
    ],
)
def test_sentinels_are_given_as_a_whole_or_not_at_all(changes: dict[str, str | None], expected: str) -> None:
    changes = {"unread_service": "teamtalk", **changes}
    found = problems(stock(**changes))
    assert any(expected in problem for problem in found), found
    assert not any("is missing" in problem for problem in found)
