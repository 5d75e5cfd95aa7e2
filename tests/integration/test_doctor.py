"""dbproxy-doctor as a command: text, JSON, exit codes; and what it finds on this host and on the file server."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from examined import Examined, examined

from dbproxy.cli import main as daemon_main
from dbproxy.config import load_config
from dbproxy.doctor.cli import main
from dbproxy.doctor.file_server import TRIAL_SIZE, check_file_server
from dbproxy.doctor.finding import Findings, Level
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.local import check_host
from dbproxy.testing import FileServer, PrivateRedis, ProxyProcess, Stack
from dbproxy.testing.process import free_port
from dbproxy.testing.stack import POOLS

WARNING, ERROR = Level.WARNING, Level.ERROR

pytestmark = [pytest.mark.watchdog(90), pytest.mark.usefixtures("stack")]

check_with_upload = partial(check_file_server, upload=True)


@pytest.fixture(scope="module")
def durable() -> Iterator[dict[str, Any]]:
    """The keys for a Redis that keeps what is written, which a healthy installation has."""
    with PrivateRedis(persistent=True) as server:
        yield {f"{pool}_port": server.port for pool in POOLS}


@pytest.fixture
def files() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


def run(stack: Stack, capsys: pytest.CaptureFixture[str], *options: str, **keys: object) -> tuple[int, str]:
    code = main(["--config", str(stack.write_config(overrides=keys)), *options])
    return code, capsys.readouterr().out


def test_a_healthy_installation_ends_with_0(
    stack: Stack, durable: dict[str, Any], files: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    code, said = run(stack, capsys, **durable, MsfsSite=files.site)
    assert (code, said.splitlines()[-1].split(" to know")[0][:-2]) == (0, "0 errors, 0 warnings,")
    for subject in ("Configuration", "This host", "MySQL teamtalk_master", "MySQL teamtalk_slave", "Redis unread", "File server"):
        assert said.splitlines().count(subject) == 1
    assert run(stack, capsys, "--quiet", **durable, MsfsSite=files.site)[1] == said.splitlines()[-1] + "\n"


def test_warnings_end_with_1_and_say_what_to_do(stack: Stack, files: FileServer, capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(stack, capsys, "--quiet", MsfsSite=files.site)
    assert code == 1
    lines = said.splitlines()
    place = lines.index("Redis unread")
    assert lines[place + 1].startswith("  warning  no persistence")
    assert lines[place + 2].strip().startswith("> CONFIG SET appendonly yes")
    assert "  ok" not in said


def test_errors_end_with_3_and_json_has_every_finding(stack: Stack, durable: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    code, said = run(stack, capsys, "--json", **durable, MsfsSite="127.0.0.1:1")
    found = json.loads(said)
    assert code == 3
    assert {tuple(finding) for finding in found} == {("level", "subject", "kind", "what", "remedy")}
    assert [(finding["subject"], finding["kind"]) for finding in found if finding["level"] in ("warning", "error")] == [
        ("File server", "upload")
    ]
    assert {finding["level"] for finding in json.loads(run(stack, capsys, "--json", "--quiet", **durable, MsfsSite="127.0.0.1:1")[1])} == {
        "error"
    }


def test_a_mistake_in_the_configuration_ends_with_2(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--config", str(stack.write_config(overrides={"unread_port": "x"}))])
    captured = capsys.readouterr()
    assert (code, captured.out, "unread_port=x" in captured.err) == (2, "", True)
    with pytest.raises(SystemExit) as ended:
        main(["--no-such-option"])
    assert ended.value.code == 2


def test_the_daemon_has_the_same_examination(
    stack: Stack, durable: dict[str, Any], files: FileServer, capsys: pytest.CaptureFixture[str]
) -> None:
    config = str(stack.write_config(overrides={**durable, "MsfsSite": files.site, "AnUnknownKey": 1}))
    codes, texts = [], []
    for command, options in ((main, []), (daemon_main, ["--check-backends"])):
        codes.append(command(["--config", config, *options]))
        texts.append([line.split()[0:4] for line in capsys.readouterr().out.splitlines()])
    assert codes == [1, 1]
    assert texts[0] == texts[1]


def test_the_module_is_a_command(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "dbproxy.doctor", "--config", str(tmp_path / "none")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, "cannot be read" in done.stderr) == (2, True)


def test_a_reader_that_goes_away_changes_neither_the_examination_nor_the_exit_code(stack: Stack, durable: dict[str, Any]) -> None:
    config = stack.write_config(overrides={**durable, "MsfsSite": "127.0.0.1:1"})
    command = [sys.executable, "-m", "dbproxy.doctor", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        said = process.stderr.read()
        assert (process.wait(60), said) == (3, "")


def test_no_password_is_printed(stack: Stack, durable: dict[str, Any], capsys: pytest.CaptureFixture[str]) -> None:
    keys = {f"{name}_password": "zqx-secret" for name in (*POOLS, "teamtalk_master", "teamtalk_slave")}
    for options in ([], ["--json"]):
        code, said = run(stack, capsys, *options, **durable, **keys)
        assert (code, "zqx" in said) == (3, False)


def test_dead_hosts_cost_no_more_than_their_connect_timeouts(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    names = (*POOLS, "teamtalk_master", "teamtalk_slave")
    keys: dict[str, object] = {f"{name}_host": "192.0.2.1" for name in names}  # nobody has these addresses
    began = time.monotonic()
    code, said = run(stack, capsys, **keys, DBConnectTimeout=0.3, CacheConnectTimeout=0.3, FileServerTimeout=0.3, MsfsSite="192.0.2.1:8700")
    assert code == 3
    assert said.count("  error ") == len(names) + 1
    assert time.monotonic() - began < 30  # without the limits it would be some minutes


def host(stack: Stack, **overrides: object) -> Examined:
    return examined(check_host, stack, overrides)


def test_keys_that_nobody_reads(stack: Stack) -> None:
    finding = host(stack, ThreadNumber=3).only(Kind.CONFIGURATION)
    assert (finding.level, finding.what) == (WARNING, "unknown key ThreadNumber is ignored; did you mean ThreadNum?")


def test_descriptors_that_do_not_suffice(stack: Stack) -> None:
    assert host(stack, MaxConnections=100).only(Kind.DESCRIPTORS).level is Level.OK
    finding = host(stack, MaxConnections=1_000_000).only(Kind.DESCRIPTORS)
    assert (finding.level, "LimitNOFILE=1000" in finding.remedy) == (WARNING, True)


def test_host_names_are_looked_up_once_each(stack: Stack) -> None:
    found = host(stack, unread_host="localhost", token_host="localhost", MsfsSite="no-such-host.invalid")
    assert [(finding.level, finding.what.split()[0]) for finding in found.of(Kind.NAME_LOOKUP)] == [
        (Level.OK, "localhost"),
        (ERROR, "no-such-host.invalid"),
    ]


def test_an_address_that_another_process_listens_on(stack: Stack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        finding = host(stack, ListenPort=taken.getsockname()[1]).only(Kind.LISTEN)
    assert (finding.level, f"process {os.getpid()} " in finding.what) == (ERROR, True)


def test_an_address_that_a_running_proxy_listens_on(stack: Stack) -> None:
    port = free_port()
    with ProxyProcess(stack, {"ListenPort": port}) as proxy:
        finding = host(stack, ListenPort=proxy.port).only(Kind.LISTEN)
    assert (finding.level, f"pid {proxy.pid}" in finding.what) == (Level.INFO, True)


def test_an_address_of_another_host(stack: Stack) -> None:
    finding = host(stack, ListenIP="192.0.2.1").only(Kind.LISTEN)
    assert (finding.level, "ListenIP" in finding.remedy) == (ERROR, True)


def test_who_may_connect(stack: Stack) -> None:
    assert host(stack).of(Kind.ANYONE_MAY_CONNECT) == []
    assert host(stack, ListenIP="0.0.0.0").only(Kind.ANYONE_MAY_CONNECT).level is Level.INFO
    assert host(stack, ListenIP="0.0.0.0", AllowedPeers="10.0.0.0/8").of(Kind.ANYONE_MAY_CONNECT) == []


def test_a_sound_is_stored_and_fetched(stack: Stack, files: FileServer) -> None:
    found = examined(check_with_upload, stack, {"MsfsSite": files.site})
    assert [(finding.kind, finding.level) for finding in found.findings] == [(Kind.UPLOAD, Level.OK), (Kind.DOWNLOAD, Level.OK)]
    assert [len(content) for content in files.files.values()] == [TRIAL_SIZE]


def test_nothing_is_stored_when_it_is_not_wanted(stack: Stack, files: FileServer) -> None:
    check = partial(check_file_server, upload=False)
    assert examined(check, stack, {"MsfsSite": files.site}).only(Kind.NO_UPLOAD).level is Level.INFO
    assert (files.files, files.uploads) == ({}, 0)
    assert examined(check, stack, {"MsfsSite": "127.0.0.1:1"}).only(Kind.UNREACHABLE).level is ERROR


@pytest.mark.parametrize(
    ("faults", "kind", "hint"),
    [
        ({"status": 500}, Kind.UPLOAD, "HTTP status 500"),
        ({"error_code": 7}, Kind.UPLOAD, "error_code 7"),
        ({"garbage": True}, Kind.UPLOAD, "not understood"),
        ({"size_change": -1}, Kind.DOWNLOAD, "not the 256 bytes"),
        ({"delay": 5}, Kind.UPLOAD, "no sound can be stored"),
    ],
)
def test_a_file_server_that_fails(stack: Stack, files: FileServer, faults: dict[str, Any], kind: Kind, hint: str) -> None:
    for name, value in faults.items():
        setattr(files.faults, name, value)
    found = examined(check_with_upload, stack, {"MsfsSite": files.site, "FileServerTimeout": 0.5})
    finding = found.only(kind)
    assert (finding.level, hint in finding.what) == (ERROR, True)


def test_a_check_that_is_broken_is_reported_and_the_others_go_on(stack: Stack) -> None:
    findings = Findings(load_config(stack.write_config()))
    subject = findings.about("Something")
    with subject.guarded():
        raise ValueError("zqx-secret")
    (finding,) = findings.all
    assert (finding.level, finding.kind, "ValueError" in finding.what, "zqx" in finding.what) == (ERROR, Kind.UNEXPECTED, True, False)
