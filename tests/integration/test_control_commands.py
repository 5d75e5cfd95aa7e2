"""dbproxy-ctl and what it asks for, with a real proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from control import SOCKET, ask, ctl

from dbproxy.testing import ProxyProcess, Stack
from dbproxy.testing.waiting import eventually


@pytest.fixture
def proxy(stack: Stack) -> Iterator[ProxyProcess]:
    with ProxyProcess(stack, {"StopGrace": 2}) as running:
        yield running


def test_drain_stops_the_proxy_as_sigterm_does_and_says_how_many_are_told(proxy: ProxyProcess) -> None:
    with proxy.client() as first, proxy.client() as second:
        assert first.user_info([1]).user_id == second.user_info([1]).user_id
        done = ctl(proxy.directory, "drain")
        assert (done.code, done.out) == (0, "draining: 2 connections are told to send new work elsewhere\n")
        assert eventually(lambda: bool(first.user_info([1]) and first.stop_notices), True)
    assert proxy.wait(20) == 0


def test_another_log_level_is_written_for_a_while_and_then_the_configured_one_again(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 1, "LogLevel": "warning"}) as proxy:
        with proxy.client() as client:
            assert client.user_info([1]).user_id == 1
        assert "connected [" not in proxy.log()
        done = ctl(proxy.directory, "log-level", "info", "0.5")
        assert done.out == "log level info for 500.0ms, then warning\n"
        with proxy.client() as client:
            assert client.user_info([1]).user_id == 1
        assert eventually(lambda: "connected [" in proxy.log(), True)
        assert eventually(lambda: "log level: info is over, the level is warning again" in proxy.log(), True)
        before = proxy.log().count("connected [")
        with proxy.client() as client:
            assert client.user_info([1]).user_id == 1
        done = ctl(proxy.directory, "--json", "log-level", "error")
        assert json.loads(done.out) == {"level": "error", "seconds": 300.0, "configured": "warning"}
        assert proxy.log().count("connected [") == before


def test_the_socket_is_found_by_its_path_by_the_configuration_and_in_the_working_directory(stack: Stack, tmp_path: Path) -> None:
    with ProxyProcess(stack, {"StopGrace": 1, "AdminSocket": "run.sock"}) as proxy:
        where = [
            (proxy.directory, []),
            (tmp_path, ["--config", str(proxy.config_path)]),
            (tmp_path, ["--socket", str(proxy.directory / "run.sock")]),
        ]
        for directory, options in where:
            assert ctl(directory, *options, "log-level", "info").code == 0
            assert ctl(directory, "log-level", *options, "info").code == 0
        with proxy.config_path.open("a", encoding="utf-8") as file:
            file.write("MaxBatchSize=none\n")  # a mistake elsewhere is no reason not to find it
        assert ctl(tmp_path, "--config", str(proxy.config_path), "log-level", "info").code == 0


def test_where_no_proxy_is_it_says_so(tmp_path: Path) -> None:
    done = ctl(tmp_path, "drain")
    assert done.code == 3
    assert f"neither dbproxyserver.conf nor {SOCKET} is in the working directory {tmp_path}; --socket or --config" in done.err
    done = ctl(tmp_path, "--socket", "here", "drain")
    assert done == (3, "", "dbproxy-ctl: no proxy listens at here: there is no such file\n")
    done = ctl(tmp_path, "--config", "missing.conf", "drain")
    assert done == (2, "", "dbproxy-ctl: missing.conf: cannot be read: No such file or directory\n")
    (tmp_path / "file").touch()
    done = ctl(tmp_path, "--socket", "file", "drain")
    assert (done.code, done.err) == (3, "dbproxy-ctl: no proxy listens at file: the file was left by one that is gone\n")


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["log-level"], ["log-level", "loud"], ["--socket", "a", "--config", "b", "drain"]])
def test_a_mistake_in_the_command_line_exits_with_2(tmp_path: Path, arguments: list[str]) -> None:
    done = ctl(tmp_path, *arguments)
    assert (done.code, done.out) == (2, "")
    assert "usage: dbproxy-ctl" in done.err


def test_what_the_proxy_refuses_exits_with_1(proxy: ProxyProcess) -> None:
    done = ctl(proxy.directory, "log-level", "info", "1e9")
    assert done == (1, "", "dbproxy-ctl: seconds=1000000000.0: expected seconds from 0 to 604800\n")
    assert ask(proxy, b'{"command":"log-level","level":"info"}\n')[-1] == {"ok": True}


def test_reload_says_what_is_applied_what_needs_a_restart_and_what_is_wrong(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 1}) as proxy:
        assert ctl(proxy.directory, "reload") == (0, "nothing has changed\n", "")
        text = proxy.config_path.read_text(encoding="utf-8")
        proxy.config_path.write_text(text + "MaxBatchSize=7\nAdminSocket=other.sock\n", encoding="utf-8")
        done = ctl(proxy.directory, "--socket", SOCKET, "reload")
        assert done == (0, "applied: MaxBatchSize\nneeds a restart or an upgrade: AdminSocket\n", "")
        proxy.config_path.write_text(text + "MaxBatchSize=none\n", encoding="utf-8")
        done = ctl(proxy.directory, "reload")
        assert (done.code, done.err) == (1, "dbproxy-ctl: configuration not reloaded, everything stays as it was\n")
        assert "MaxBatchSize=none: expected a whole number" in done.out
        assert json.loads(ctl(proxy.directory, "reload", "--json").out)["restart"] == []


def test_a_reload_ends_another_log_level(stack: Stack) -> None:
    with ProxyProcess(stack, {"StopGrace": 1, "LogLevel": "warning"}) as proxy:
        assert ctl(proxy.directory, "log-level", "info", "0").out == "log level info until the next reload, then warning\n"
        with proxy.client() as client:
            assert client.user_info([1]).user_id == 1
        assert eventually(lambda: proxy.log().count("connected ["), 1) == 1
        assert ctl(proxy.directory, "reload").code == 0
        with proxy.client() as client:
            assert client.user_info([1]).user_id == 1
        assert ctl(proxy.directory, "drain").code == 0
        assert proxy.wait(20) == 0
        assert proxy.log().count("connected [") == 1
