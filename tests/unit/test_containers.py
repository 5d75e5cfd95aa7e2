"""Dockerfile and compose.yaml, as far as they can be checked without building an image: files, commands, variables, secrets."""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dbproxy.config import load_config
from dbproxy.install.cli import main as init
from dbproxy.install.settings import PASSWORDS, SETTINGS
from devtools.man_pages import ROOT, console_scripts

DOCKERFILE = re.sub(r"\\\n\s*", " ", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
COMPOSE = (ROOT / "compose.yaml").read_text(encoding="utf-8")
SECRETS = {"mysql_password": "m#", "redis_password": "r", "aes_key": "k" * 32}


def instructions(name: str) -> list[str]:
    return re.findall(rf"^{name} (.*)$", DOCKERFILE, re.MULTILINE)


def command_words() -> list[list[str]]:
    """Every command that the image or its build runs."""
    shell = [part for run in instructions("RUN") for part in re.sub(r"--mount=\S+ +", "", run).split("&&")]
    lists = re.findall(r"(?:ENTRYPOINT|CMD) (\[.*\])", DOCKERFILE) + re.findall(r"entrypoint: (\[.*\])", COMPOSE)
    return [shlex.split(part) for part in shell] + [json.loads(words) for words in lists]


def init_arguments() -> list[str]:
    (words,) = (words for words in command_words() if words[0] == "dbproxy-init" and "--mysql-host" in words)
    return words[1:]


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory that dbproxy-init writes in the image, with the secrets below it instead of /run/secrets."""
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    for setting in (*SETTINGS, *PASSWORDS):
        monkeypatch.delenv(setting.variable or "DBPROXY_NONE", raising=False)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    for name, value in SECRETS.items():
        (secrets / name).write_text(value + "\n", encoding="ascii")
    directory, *options = [word.replace("/run/secrets", str(secrets)) for word in init_arguments()]
    assert directory == "/etc/dbproxy"
    assert init([str(tmp_path / "etc"), *options]) == 0
    return tmp_path / "etc"


def test_what_is_copied_into_the_build_is_there_and_enough() -> None:
    kept = re.findall(r"^!(.*)$", (ROOT / ".dockerignore").read_text(encoding="utf-8"), re.MULTILINE)
    assert [name for name in kept if not (ROOT / name).exists()] == []
    links = [path.resolve().relative_to(ROOT).as_posix() for path in (ROOT / "dbproxy").rglob("*") if path.is_symlink()]
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    named = [*re.findall(r"= (docs/man)/\*", setup), "README.md", "LICENSE", "pyproject.toml"]
    assert [name for name in [*links, *named] if not any(name == entry or name.startswith(entry + "/") for entry in kept)] == []


def test_every_command_of_image_and_composition_is_one_that_is_there() -> None:
    known = {*console_scripts(), "pip", "python", "useradd", "install"}
    assert [words for words in command_words() if words[0] not in known] == []


def test_the_configuration_of_the_image_takes_addresses_from_variables_and_secrets_from_files(
    image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(image / "dbproxyserver.conf")
    master, unread = config.db_instances["teamtalk_master"], config.cache_instances["unread"]
    assert config.listen_ips == ("0.0.0.0",)
    assert config.aes_key == SECRETS["aes_key"]
    assert (master.host, master.port, master.dbname, master.username, master.password) == ("mariadb", 3306, "teamtalk", "dbproxy", "m#")
    assert (unread.host, unread.port, unread.password) == ("redis", 6379, "r")
    for name in re.findall(r"\$\{(\w+):-", " ".join(init_arguments())):
        monkeypatch.setenv(name, "7777" if name.endswith("PORT") else "other")
    config = load_config(image / "dbproxyserver.conf")
    assert {(db.port, db.dbname) for db in config.db_instances.values()} == {(7777, "other")}
    assert {(cache.host, cache.port) for cache in config.cache_instances.values()} == {("other", 7777)}


def test_the_step_that_loads_the_schema_keeps_the_files_of_the_image(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (entrypoint,) = re.findall(r"entrypoint: (\[.*\])", COMPOSE)
    words = json.loads(entrypoint)
    before = {path.name: path.stat().st_mtime_ns for path in image.iterdir()}
    capsys.readouterr()
    assert init([str(image), *(word for word in words[2:] if word != "--database")]) == 0
    assert {path.name: path.stat().st_mtime_ns for path in image.iterdir()} == before
    assert "written" not in capsys.readouterr().out


def test_the_daemon_runs_as_a_user_of_its_own_and_gets_the_signals() -> None:
    last_stage = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    users = re.findall(r"^USER (\w+)$", last_stage, re.MULTILINE)
    assert users == ["dbproxy"]
    assert re.search(r"useradd --system --uid 10001 .* dbproxy\b", last_stage)
    assert json.loads(instructions("ENTRYPOINT")[0])[0] == "db_proxy_server"  # and not a shell, which would keep SIGTERM to itself
    assert "uid=10001" in COMPOSE


def test_variables_and_secrets_of_the_composition_are_those_of_the_image() -> None:
    variables = set(re.findall(r"^    (DBPROXY_\w+):", COMPOSE, re.MULTILINE))
    assert variables <= set(re.findall(r"\$\{(DBPROXY_\w+):-", " ".join(init_arguments())))
    defined = re.findall(r"^  (\w+): \{file: \./secrets/(\w+)\}$", COMPOSE, re.MULTILINE)
    assert dict(defined) == {name: name for name in SECRETS}
    used = {name.strip() for names in re.findall(r"secrets: \[(.*)\]", COMPOSE) for name in names.split(",")}
    assert used == set(SECRETS) == {Path(path).name for path in re.findall(r"/run/secrets/\w+", " ".join(init_arguments()))}
    assert set(re.findall(r"> secrets/(\w+)", COMPOSE)) == set(SECRETS)


def test_secrets_are_neither_committed_nor_in_the_image() -> None:
    assert "/secrets/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()[1] == "*"


def test_docker_accepts_the_composition(tmp_path: Path) -> None:
    if shutil.which("docker") is None or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode:
        pytest.skip("docker compose is not installed")
    command = ["docker", "compose", "-f", str(ROOT / "compose.yaml"), "config", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
