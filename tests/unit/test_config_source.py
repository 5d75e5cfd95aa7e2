"""Values of the configuration from the command line, from environment variables and from files with a secret."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from dbproxy.config import Config, key_warnings, load_config, parse_config
from dbproxy.config_source import MAX_SECRET_LENGTH
from dbproxy.errors import ConfigError

STOCK = Path(__file__).parents[2] / "conf" / "dbproxyserver.conf"
TEXT = STOCK.read_text(encoding="utf-8")
SECRET = "s3cr3t-of-the-test"


def parse(lines: str = "", overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """The shipped file with ``lines`` in place of its lines with the same keys or their files."""
    text = TEXT
    for name in re.findall(r"(?m)^(\w+)=", lines):
        replaced = name.removesuffix("_file") if name.endswith(("password_file", "Key_file")) else name
        text = re.sub(rf"(?m)^{replaced}=.*\n", "", text)
    return parse_config(lines + text, source="test.conf", overrides=overrides, environ=environ or {})


def problems(lines: str = "", overrides: Mapping[str, str] | None = None, environ: Mapping[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(lines, overrides, environ)
    assert SECRET not in str(caught.value)
    return caught.value.problems


def master_password(config: Config) -> str:
    return config.db_instances["teamtalk_master"].password


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("written", "environ", "value"),
    [
        ("${PW}", {"PW": "x"}, "x"),
        ("a${PW}b${PW}", {"PW": "x"}, "axbx"),
        ("${PW}", {"PW": "a#b = ${PW} "}, "a#b = ${PW} "),
        ("${PW:-other}", {}, "other"),
        ("${PW:-other}", {"PW": ""}, "other"),
        ("${PW:-other}", {"PW": "x"}, "x"),
        ("${PW:-}", {}, ""),
        ("${PW}", {"PW": ""}, ""),
        ("${PW:-a:-b{c}", {}, "a:-b{c"),
        ("$${PW}", {"PW": "x"}, "${PW}"),
        ("$PW", {"PW": "x"}, "$PW"),
        ("pa$$word$", {}, "pa$$word$"),
        ("$(PW)", {}, "$(PW)"),
    ],
)
def test_a_value_takes_variables_in_braces_and_keeps_every_other_dollar(written: str, environ: Mapping[str, str], value: str) -> None:
    assert master_password(parse(f"teamtalk_master_password={written}\n", environ=environ)) == value


def test_a_variable_may_stand_in_any_value() -> None:
    environ = {"PORT": "1234", "DB_HOST": "db.example", "CACHES": "unread,group_set,token,group_member"}
    config = parse(
        "ListenPort=${PORT}\nteamtalk_slave_host=${DB_HOST}\nCacheInstances=${CACHES}\nStopGrace=${GRACE:-2.5}\n", environ=environ
    )
    assert (config.listen_port, config.db_instances["teamtalk_slave"].host, config.stop_grace) == (1234, "db.example", 2.5)
    assert list(config.cache_instances) == ["unread", "group_set", "token", "group_member"]


def test_the_variables_are_those_of_the_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DBPROXY_TEST_PORT", "4321")
    path = tmp_path / "dbproxyserver.conf"
    path.write_text("ListenPort=${DBPROXY_TEST_PORT}\n" + TEXT, encoding="utf-8")
    assert load_config(path).listen_port == 4321


def test_a_variable_that_is_not_set_is_named_with_its_key() -> None:
    (found,) = problems("teamtalk_master_password=${MYSQL_PW}\n")
    assert found == (
        "test.conf:1: teamtalk_master_password: the environment variable MYSQL_PW is not set; ${MYSQL_PW:-default} would have a default"
    )


@pytest.mark.parametrize("written", [f"${{{SECRET}", f"${{{SECRET}}}", "${}", "${1A}", "${A-b}", "${A:?b}", "x${"])
def test_a_reference_that_is_not_complete_is_refused_without_showing_it(written: str) -> None:
    (found,) = problems(f"teamtalk_master_password={written}\n", environ={"A": "1"})
    assert found.startswith("test.conf:1: teamtalk_master_password: expected ${NAME} or ${NAME:-default} where ${ begins")


def test_a_variable_in_a_key_that_nobody_reads_does_no_harm() -> None:
    assert parse("Other=${NOT_SET}\n").unknown_keys == ("Other",)


def test_an_empty_variable_means_no_value() -> None:
    assert parse("LogLevel=${LEVEL}\n", environ={"LEVEL": ""}).log_level == "info"
    (found,) = problems("ListenPort=${PORT}\n", environ={"PORT": ""})
    assert found == "test.conf:1: ListenPort has no value: expected a whole number from 0 to 65535"


def test_a_value_from_the_environment_is_not_shown() -> None:
    (found,) = problems("ListenPort=${PORT}\n", environ={"PORT": SECRET})
    assert found == "test.conf:1: ListenPort=${PORT}: expected a whole number from 0 to 65535 (the value is from the environment)"


def test_bytes_of_the_environment_that_are_not_utf8_are_refused() -> None:
    (found,) = problems("teamtalk_master_password=${PW}\n", environ={"PW": os.fsdecode(b"\xff")})
    assert found == "test.conf:1: teamtalk_master_password: the value is not UTF-8"


@pytest.mark.parametrize(
    ("content", "value"),
    [
        (b"x\n", "x"),
        (b"x\r\n", "x"),
        (b"x", "x"),
        (b" x y \n\n", " x y \n"),
        ("密码#1\n".encode(), "密码#1"),
        (b"${A}\n", "${A}"),
        (b"", ""),
    ],
)
def test_a_file_holds_a_password_and_loses_one_line_end(content: bytes, value: str, tmp_path: Path) -> None:
    (tmp_path / "password").write_bytes(content)
    config = parse(f"teamtalk_master_password_file={tmp_path}/password\nunread_password_file={tmp_path}/password\n")
    assert master_password(config) == value
    assert config.cache_instances["unread"].password == value
    assert config.unknown_keys == ()


def test_the_aes_key_may_be_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("abcdefghijklmnopqrstuvwxyz123456\n", encoding="ascii")
    assert parse(f"aesKey_file={tmp_path}/key\n").aes_key == "abcdefghijklmnopqrstuvwxyz123456"
    assert parse("aesKey_file=${DIR}/key\n", environ={"DIR": str(tmp_path)}).aes_key == "abcdefghijklmnopqrstuvwxyz123456"


def test_a_wrong_value_in_a_file_is_not_shown(secret: Path) -> None:
    (found,) = problems(f"aesKey_file={secret}\n")
    assert found == f"test.conf:1: aesKey: expected exactly 32 ASCII characters (it has {len(SECRET)} characters, {len(SECRET)} bytes)"


def test_an_empty_file_is_no_aes_key(tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    (found,) = problems(f"aesKey_file={tmp_path}/key\n")
    assert found == "test.conf:1: aesKey has no value: expected exactly 32 ASCII characters"


def test_a_password_and_its_file_exclude_each_other(secret: Path) -> None:
    (found,) = problems(f"teamtalk_master_password_file={secret}\nteamtalk_master_password={SECRET}\n")
    assert found == (
        "test.conf:1: teamtalk_master_password_file: teamtalk_master_password is given too, at test.conf:2; only one of the two can be"
    )


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "long").write_bytes(b"x" * (MAX_SECRET_LENGTH + 1))
    (tmp_path / "binary").write_bytes(b"\xff")
    reasons = {
        "missing": "it cannot be read: No such file or directory",
        "fifo": "it is not a regular file",
        ".": "it is not a regular file",
        "long": "it has more than 4096 bytes",
        "binary": "it is not UTF-8",
    }
    for name, reason in reasons.items():
        (found,) = problems(f"unread_password_file={tmp_path}/{name}\n")
        where = f"test.conf:1: unread_password_file={tmp_path}/{name}"
        assert found == f"{where}: expected the path of a file with the value of unread_password ({reason})"


def test_only_secrets_may_be_in_files(tmp_path: Path) -> None:
    config = parse(f"ThreadNum_file={tmp_path}\nunread_pasword_file={tmp_path}\n")
    assert config.unknown_keys == ("ThreadNum_file", "unread_pasword_file")
    assert key_warnings(config)[1] == "unknown key unread_pasword_file is ignored; did you mean unread_password_file?"


def test_overrides_replace_add_and_take_away_keys() -> None:
    config = parse("LogLevel=debug\n", {"ListenPort": "1", "StopGrace": "9", "LogLevel": "", "unread_password": "a#b"})
    assert (config.listen_port, config.stop_grace, config.log_level) == (1, 9, "info")
    assert config.cache_instances["unread"].password == "a#b"
    assert config.unknown_keys == ()


def test_an_override_takes_variables_too() -> None:
    assert parse("", {"ListenPort": "${PORT}"}, {"PORT": "77"}).listen_port == 77


def test_an_override_of_a_password_or_its_file_replaces_the_other(secret: Path) -> None:
    assert master_password(parse("", {"teamtalk_master_password_file": str(secret)})) == SECRET
    assert master_password(parse(f"teamtalk_master_password_file={secret}\n", {"teamtalk_master_password": "x"})) == "x"
    (found,) = problems("", {"teamtalk_master_password_file": str(secret), "teamtalk_master_password": SECRET})
    assert found.startswith("--set: teamtalk_master_password_file: teamtalk_master_password is given too, at --set")


def test_mistakes_in_overrides_are_named_as_such() -> None:
    assert problems("", {"ListenPort": "abc"}) == ("--set: ListenPort=abc: expected a whole number from 0 to 65535",)
    assert problems("", {"ListenPort": ""}) == ("--set: ListenPort has no value: expected a whole number from 0 to 65535",)
    assert problems("", {"aesKey": SECRET})[0].startswith("--set: aesKey: expected exactly 32 ASCII characters")


def test_an_override_of_a_key_that_nobody_knows_is_refused() -> None:
    assert problems("", {"LisenPort": SECRET}) == ("--set: unknown key LisenPort; did you mean ListenPort?",)
    assert problems("", {"unread_pasword_file": "x"}) == ("--set: unknown key unread_pasword_file; did you mean unread_password_file?",)
    (removed,) = problems("", {"MaxSendBufferHard": "1"})
    assert removed.startswith("--set: MaxSendBufferHard has no effect any more: ")


def test_an_override_by_a_former_name_counts_unless_the_file_has_the_present_one() -> None:
    assert parse("", {"RunLimit": "3"}).max_batch_size == 3
    assert problems("MaxBatchSize=5\n", {"RunLimit": "3"}) == ("--set: RunLimit is called MaxBatchSize now",)


def test_the_command_line_s_values_have_no_comments() -> None:
    assert parse("", {"LogFile": "/var/log/a#b.log"}).log_file == "/var/log/a#b.log"
