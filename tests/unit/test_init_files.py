"""dbproxy-init without servers: what it writes, what it keeps, and what it refuses."""

from __future__ import annotations

import io
import re
import shutil
import stat
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

from dbproxy.config import Config, load_config
from dbproxy.install import cli
from dbproxy.install.database import statements
from dbproxy.install.files import shipped
from dbproxy.install.settings import PASSWORDS, SETTINGS

CONF = Path(__file__).parents[2] / "conf"
FILES = {"dbproxyserver.conf", "schema.sql", "indexes.sql", "dbproxy.service", "dbproxy@.service", "dbproxy-admin.service"}
SECRET = "p#ss ${w}$$"


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in (*SETTINGS, *PASSWORDS):
        monkeypatch.delenv(setting.variable or "DBPROXY_NONE", raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "proxy"


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The answers that somebody at a terminal gives, in turn; passwords too."""
    answers: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda prompt="": answers.pop(0))
    monkeypatch.setattr("getpass.getpass", lambda prompt="": answers.pop(0))
    return answers


def init(directory: Path, *arguments: str) -> int:
    return cli.main([str(directory), *arguments])


def mysql(config: Config) -> set[tuple[object, ...]]:
    return {(db.host, db.port, db.dbname, db.username, db.password) for db in config.db_instances.values()}


def redis(config: Config) -> set[tuple[object, ...]]:
    return {(cache.host, cache.port, cache.password) for cache in config.cache_instances.values()}


@pytest.mark.parametrize("name", ["dbproxyserver.conf", "schema.sql", "indexes.sql"])
def test_what_is_shipped_is_what_conf_has(name: str) -> None:
    assert shipped(name) == (CONF / name).read_text(encoding="utf-8")
    package = resources.files("dbproxy") if name == "schema.sql" else resources.files("dbproxy.install") / "data"
    assert Path(str(package / name)).resolve() == CONF / name  # one file, and a link to it


def test_a_directory_gets_all_files_and_says_what_to_do_next(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(target) == 0
    assert {path.name for path in target.iterdir()} == FILES
    assert stat.S_IMODE((target / "dbproxyserver.conf").stat().st_mode) == 0o640
    assert stat.S_IMODE((target / "schema.sql").stat().st_mode) == 0o644
    config = load_config(target / "dbproxyserver.conf")
    assert mysql(config) == {("127.0.0.1", 3306, "teamtalk", "test", "")}
    assert redis(config) == {("127.0.0.1", 6379, "")}
    assert (config.aes_key, config.unknown_keys) == ("12345678901234567890123456789012", ())
    assert f"db_proxy_server --config {target}/dbproxyserver.conf --check-config" in capsys.readouterr().out


def test_the_comments_of_the_configuration_are_those_of_the_shipped_one(target: Path) -> None:
    init(target)
    written = (target / "dbproxyserver.conf").read_text(encoding="utf-8").splitlines()
    comments = [line for line in (CONF / "dbproxyserver.conf").read_text(encoding="utf-8").splitlines() if line.startswith("#")]
    assert [line for line in written if line.startswith("#") and not re.match(r"#\w+_password_file=", line)] == comments


def test_options_come_before_variables_and_passwords_go_into_files(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "db1", "PORT": "3307", "USER": "u", "PASSWORD": SECRET}.items():
        monkeypatch.setenv(f"DBPROXY_MYSQL_{name}", value)
    monkeypatch.setenv("DBPROXY_REDIS_PASSWORD", "redis")
    assert (
        init(target, "--mysql-host", "db2", "--mysql-database", "tt", "--redis-host", "::1", "--redis-port", "1", "--listen-port", "0") == 0
    )
    config = load_config(target / "dbproxyserver.conf")
    assert mysql(config) == {("db2", 3307, "tt", "u", SECRET)}
    assert redis(config) == {("::1", 1, "redis")}
    assert config.listen_port == 0
    assert SECRET not in (target / "dbproxyserver.conf").read_text(encoding="utf-8")
    assert stat.S_IMODE((target / "mysql_password").stat().st_mode) == 0o640


def test_named_files_of_secrets_need_not_be_there_yet(target: Path, tmp_path: Path) -> None:
    files = [f"--{name}-file={tmp_path}/{name}" for name in ("mysql-password", "redis-password", "aes-key")]
    assert init(target, *files) == 0
    for name, value in {"mysql-password": "m", "redis-password": "r", "aes-key": "k" * 32}.items():
        (tmp_path / name).write_text(value, encoding="ascii")
    config = load_config(target / "dbproxyserver.conf")
    assert {row[-1] for row in mysql(config)} == {"m"}
    assert {row[-1] for row in redis(config)} == {"r"}
    assert config.aes_key == "k" * 32


def test_values_may_name_variables_of_the_proxy(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert init(target, "--mysql-host", "${DB:-mariadb}", "--redis-port=${REDIS_PORT}") == 0
    monkeypatch.setenv("REDIS_PORT", "77")
    config = load_config(target / "dbproxyserver.conf")
    assert {row[0] for row in mysql(config)} == {"mariadb"}
    assert {row[1] for row in redis(config)} == {77}


@pytest.mark.parametrize(
    "argument",
    [
        "--mysql-port=x",
        "--mysql-port=0",
        "--mysql-host=a b",
        "--redis-host=",
        "--mysql-user=a#b",
        "--listen-port=70000",
        "--mysql-user=a\nb",
    ],
)
def test_a_wrong_value_is_refused_and_nothing_is_written(argument: str, target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(target, argument) == 2
    assert capsys.readouterr().err.startswith(f"dbproxy-init: {argument.strip()}: expected ")
    assert not target.exists()


def test_a_wrong_variable_is_named(target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("DBPROXY_REDIS_PORT", "many")
    assert init(target) == 2
    assert capsys.readouterr().err == "dbproxy-init: DBPROXY_REDIS_PORT=many: expected a whole number from 1 to 65535\n"


def test_files_that_are_there_are_kept_unless_forced(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target.mkdir()
    for name in ("schema.sql", "dbproxyserver.conf"):
        (target / name).write_text("mine", encoding="ascii")
    assert init(target) == 0
    assert {name for name in FILES if (target / name).read_text(encoding="utf-8") == "mine"} == {"schema.sql", "dbproxyserver.conf"}
    assert f"kept     {target}/schema.sql" in capsys.readouterr().out
    assert init(target, "--force") == 0
    assert {path.name for path in target.iterdir()} == FILES
    assert load_config(target / "dbproxyserver.conf").listen_port == 10600
    assert "IMUser" in (target / "schema.sql").read_text(encoding="utf-8")


def test_a_setting_that_would_have_no_effect_is_refused(target: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(target)
    assert init(target, "--mysql-host", "db", "--aes-key-file", "k") == 2
    assert "exists, so --mysql-host, --aes-key-file would have no effect" in capsys.readouterr().err


def test_a_password_never_replaces_another_one_silently(
    target: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target.mkdir()
    (target / "mysql_password").write_text("old", encoding="ascii")
    monkeypatch.setenv("DBPROXY_MYSQL_PASSWORD", SECRET)
    assert init(target) == 2
    assert (target / "mysql_password").read_text(encoding="ascii") == "old"
    assert [path.name for path in target.iterdir()] == ["mysql_password"]
    assert SECRET not in capsys.readouterr().err
    assert init(target, "--force") == 0
    assert (target / "mysql_password").read_text(encoding="ascii") == SECRET + "\n"


def test_a_terminal_is_asked_until_the_answer_is_accepted(target: Path, terminal: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    terminal += ["db1", "many", "3307", "", "u", "6380", SECRET, ""]
    assert init(target, "--redis-host", "r1") == 0
    assert terminal == []
    assert "MySQL port=many: expected a whole number from 1 to 65535" in capsys.readouterr().out
    config = load_config(target / "dbproxyserver.conf")
    assert mysql(config) == {("db1", 3307, "teamtalk", "u", SECRET)}
    assert redis(config) == {("r1", 6380, "")}


@pytest.mark.parametrize("name", ["with blank", "per%cent", "hash#", "dol$lar"])
def test_a_directory_that_cannot_stand_in_a_unit_is_refused(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(tmp_path / name) == 2
    assert "expected a path of letters, digits and the characters" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_directory_that_cannot_be_made_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert init(tmp_path / "file" / "proxy") == 1
    assert capsys.readouterr().err.startswith(f"dbproxy-init: {tmp_path}/file")


@pytest.mark.parametrize("name", ["a b", "", "-x", "a;b"])
def test_a_user_that_cannot_stand_in_a_unit_is_refused(name: str, target: Path) -> None:
    with pytest.raises(SystemExit) as caught:
        init(target, f"--service-user={name}")
    assert caught.value.code == 2


def test_the_schema_is_cut_into_its_statements() -> None:
    found = list(statements(shipped("schema.sql")))
    assert found[0] == "SET NAMES utf8mb4"
    assert len(found) == 1 + shipped("schema.sql").count("CREATE TABLE IF NOT EXISTS `")
    assert all(
        re.fullmatch(r"CREATE TABLE IF NOT EXISTS `\w+` \(.*\) ENGINE=InnoDB [^;]*", statement, re.DOTALL) for statement in found[1:]
    )


def directives(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith(("#", "["))]


def test_the_units_differ_only_in_what_belongs_to_one_port() -> None:
    single, template = (directives(shipped(name)) for name in ("dbproxy.service", "dbproxy@.service"))
    differing = {line.split("=")[0] for line in set(single) ^ set(template)}
    assert differing == {"Description", "ExecStart", "RuntimeDirectory", "WorkingDirectory"}
    assert all("%i" in line for line in set(template) - set(single))


HARDENING = re.compile(
    r"(NoNewPrivileges|(Capability|Ambient)\w+|Restrict(?!art)\w+|SystemCall\w+|Protect\w+|Private\w+|LockPersonality|Memory\w+|RemoveIPC)="
)


def test_the_unit_of_the_web_application_may_do_no_more_than_the_daemon() -> None:
    daemon, web = (directives(shipped(name)) for name in ("dbproxy.service", "dbproxy-admin.service"))
    # the daemon raises its limit of open files
    assert {line for line in web if HARDENING.match(line)} == {line for line in daemon if HARDENING.match(line)} - {
        "SystemCallFilter=setrlimit prlimit64"
    }
    assert len([line for line in web if HARDENING.match(line)]) > 20
    assert {line for line in web if line.startswith(("StateDirectory", "LogsDirectory", "RuntimeDirectory", "ReadWrite"))} == {
        "StateDirectory=dbproxy-admin",
        "StateDirectoryMode=0700",
    }


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with the daemon's command, from which dbproxy-init seems to run."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("db_proxy_server", "dbproxy-admin"):
        (folder / name).write_text("#!/bin/sh\n", encoding="ascii")
        (folder / name).chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(folder / "dbproxy-init")])
    return folder


def test_the_units_name_this_installation(target: Path, commands: Path) -> None:
    assert init(target, "--service-user", "nobody") == 0
    for name, command, more in (
        ("dbproxy.service", "db_proxy_server", ""),
        ("dbproxy@.service", "db_proxy_server", " --set ListenPort=%i"),
        ("dbproxy-admin.service", "dbproxy-admin", " serve"),
    ):
        lines = directives((target / name).read_text(encoding="utf-8"))
        assert f"ExecStart={commands}/{command} --config {target}/dbproxyserver.conf{more}" in lines
        assert "User=nobody" in lines
        assert not any(re.search(r"@[A-Z]+@", line) for line in lines)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_systemd_finds_no_mistake_in_the_units(target: Path, commands: Path) -> None:
    init(target)
    (target / "dbproxy@.service").rename(target / "dbproxy@10601.service")
    for name in ("dbproxy.service", "dbproxy@10601.service", "dbproxy-admin.service"):
        command = ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(target / name)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
