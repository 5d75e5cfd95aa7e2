"""The command without backends: options, exit codes, pid file, signals."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dbproxy import __version__
from dbproxy.cli import main, serve, write_pid
from dbproxy.config import Config, load_config
from dbproxy.errors import StartupError, StopRequestedError
from dbproxy.handover.channel import Channel
from dbproxy.handover.upgrade import CHANNEL_VARIABLE

HARMLESS = [signal.SIGUSR1]
STOCK = Path(__file__).parents[2] / "conf" / "dbproxyserver.conf"


class FakeService:
    """Fails in the start, or ends as it is told."""

    def __init__(self, code: int = 0, start_error: Exception | None = None, run_error: Exception | None = None) -> None:
        self.code = code
        self.start_error = start_error
        self.run_error = run_error
        self.stops = self.reloads = self.upgrades = 0
        self.signal_in_run: signal.Signals | None = None

    def start(self) -> None:
        if self.start_error:
            raise self.start_error

    def run(self) -> int:
        if self.signal_in_run is not None:
            signal.raise_signal(self.signal_in_run)
        if self.run_error:
            raise self.run_error
        return self.code

    def request_stop(self) -> None:
        self.stops += 1

    def reload(self) -> None:
        self.reloads += 1

    def upgrade(self) -> None:
        self.upgrades += 1

    def call_soon(self, action: Callable[[], None]) -> None:
        action()


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory of its own, and signal handlers and logging as they were."""
    monkeypatch.chdir(tmp_path)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGPIPE, signal.SIGHUP, *HARMLESS)}
    root = logging.getLogger()
    before, levels = root.handlers[:], (root.level, logging.getLogger("dbproxy").level)
    yield tmp_path
    for number, handler in handlers.items():
        signal.signal(number, handler)
    for added in [handler for handler in root.handlers if handler not in before]:
        root.removeHandler(added)
        added.close()
    root.setLevel(levels[0])
    logging.getLogger("dbproxy").setLevel(levels[1])


@pytest.fixture
def config() -> Config:
    return load_config(STOCK)


@pytest.mark.parametrize("option", ["-v", "--version"])
def test_version_is_printed(option: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([option]) == 0
    assert capsys.readouterr().out == f"db_proxy_server {__version__}\n"


def test_an_unknown_option_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--colour"])
    assert caught.value.code == 2
    assert "--colour" in capsys.readouterr().err


def test_a_missing_file_exits_with_2_and_names_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert capsys.readouterr().err == "dbproxyserver.conf: cannot be read: No such file or directory\n"


def test_mistakes_are_printed_one_per_line_and_nothing_is_started(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = STOCK.read_text(encoding="utf-8").replace("ThreadNum=48", "ThreadNum=many").replace("ListenPort=10600", "")
    (workplace / "dbproxyserver.conf").write_text(text, encoding="utf-8")
    for arguments in ([], ["--check-config"]):
        assert main(arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2
        assert any("ThreadNum=many" in line for line in lines)
        assert any("ListenPort is missing" in line for line in lines)
    assert not (workplace / "server.pid").exists()


def test_check_config_says_ok_and_warns_of_unknown_keys(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(STOCK), "--check-config"]) == 0
    assert capsys.readouterr().out == f"{STOCK}: ok\n"
    path = workplace / "other.conf"
    path.write_text(STOCK.read_text(encoding="utf-8") + "RunLimt=3\n", encoding="utf-8")
    assert main(["--config", str(path), "--check-config"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"{path}: ok",
        f"{path}: warning: unknown key RunLimt is ignored",
    ]


def test_a_log_file_that_cannot_be_opened_exits_with_2(workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = workplace / "dbproxyserver.conf"
    path.write_text(STOCK.read_text(encoding="utf-8") + "LogFile=/no/such/proxy.log\n", encoding="utf-8")
    assert main([]) == 2
    assert "LogFile=/no/such/proxy.log: cannot be opened" in capsys.readouterr().err


def test_a_clean_run_returns_the_service_s_code_and_leaves_the_pid(workplace: Path, config: Config) -> None:
    assert serve(config, lambda _: FakeService(code=0)) == 0
    assert (workplace / "server.pid").read_text(encoding="ascii") == f"{os.getpid()}\n"
    assert [path.name for path in workplace.iterdir()] == ["server.pid"]


def test_a_failed_start_exits_with_3_and_keeps_the_other_proxys_pid_file(
    workplace: Path, config: Config, caplog: pytest.LogCaptureFixture
) -> None:
    (workplace / "server.pid").write_text("1", encoding="ascii")
    assert serve(config, lambda _: FakeService(start_error=StartupError("unread: 127.0.0.1:6379 refused"))) == 3
    assert "cannot start: unread: 127.0.0.1:6379 refused" in caplog.text
    assert (workplace / "server.pid").read_text(encoding="ascii") == "1"


def test_an_unexpected_error_exits_with_1_and_is_logged_with_its_traceback(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    assert serve(config, lambda _: FakeService(run_error=RuntimeError("surprise"))) == 1
    assert "Traceback" in caplog.text
    assert "surprise" in caplog.text


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_first_signal_asks_for_a_stop(number: signal.Signals, config: Config) -> None:
    service = FakeService()
    service.signal_in_run = number
    assert serve(config, lambda _: service) == 0
    assert service.stops == 1
    assert signal.getsignal(signal.SIGPIPE) is signal.SIG_IGN


@pytest.mark.parametrize("number", HARMLESS)
def test_other_signals_are_logged_and_stop_nothing(number: signal.Signals, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService()
    service.signal_in_run = number
    assert serve(config, lambda _: service) == 0
    assert service.stops == 0
    assert f"signal {number.name} is ignored" in caplog.text


def test_sighup_reloads_and_stops_nothing(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService()
    service.signal_in_run = signal.SIGHUP
    assert serve(config, lambda _: service) == 0
    assert (service.stops, service.reloads) == (0, 1)
    assert "ignored" not in caplog.text


def test_sigusr2_asks_for_an_upgrade(config: Config) -> None:
    service = FakeService()
    service.signal_in_run = signal.SIGUSR2
    assert serve(config, lambda _: service) == 0
    assert (service.stops, service.upgrades) == (0, 1)


def test_signals_that_come_before_there_is_a_service_reach_it(config: Config, caplog: pytest.LogCaptureFixture) -> None:
    service = FakeService()

    def create(_: Config) -> FakeService:
        for number in (signal.SIGHUP, *HARMLESS, signal.SIGUSR2, signal.SIGTERM):
            signal.raise_signal(number)
        return service

    assert serve(config, create) == 0
    assert (service.stops, service.reloads, service.upgrades) == (1, 1, 1)
    assert [f"signal {number.name} is ignored" in caplog.text for number in HARMLESS] == [True]


def test_a_stop_during_the_start_is_a_clean_end_without_a_pid(workplace: Path, config: Config, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    assert serve(config, lambda _: FakeService(start_error=StopRequestedError("x"))) == 0
    assert "stopped before it was ready" in caplog.text
    assert list(workplace.iterdir()) == []


def test_the_second_signal_ends_the_process_at_once(workplace: Path) -> None:
    program = f"""
import signal
from dbproxy.cli import serve
from dbproxy.config import load_config

class Stubborn:
    def start(self): pass
    def request_stop(self): print("asked", flush=True)
    def run(self):
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        print("survived", flush=True)

serve(load_config({str(STOCK)!r}), lambda config: Stubborn())
"""
    environment = {**os.environ, "PYTHONPATH": str(STOCK.parents[1])}
    done = subprocess.run([sys.executable, "-c", program], cwd=workplace, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (128 + signal.SIGINT, "asked\n")


def test_a_pid_that_cannot_be_written_is_only_a_warning(workplace: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_pid(workplace / "none" / "server.pid")
    assert "server.pid cannot be written: No such file or directory" in caplog.text


def test_the_pid_file_follows_no_link(workplace: Path) -> None:
    victim = workplace / "victim"
    victim.write_text("precious", encoding="ascii")
    for name in ("server.pid", f"server.pid.{os.getpid()}"):
        (workplace / name).symlink_to(victim)
    write_pid(workplace / "server.pid")
    assert victim.read_text(encoding="ascii") == "precious"
    pid_file = workplace / "server.pid"
    assert not pid_file.is_symlink()
    assert pid_file.read_text(encoding="ascii") == f"{os.getpid()}\n"
    assert pid_file.stat().st_mode & 0o777 == 0o644


def test_the_module_is_the_command(workplace: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(STOCK.parents[1])}
    done = subprocess.run([sys.executable, "-m", "dbproxy"], cwd=workplace, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "dbproxyserver.conf: cannot be read" in done.stderr


def test_set_overrides_keys_and_the_last_one_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--config", str(STOCK), "--check-config", "--set", "ListenPort=0", "--set", "StopGrace = 1"]) == 0
    assert main(["--config", str(STOCK), "--check-config", "--set", "ListenPort=0", "--set", "ListenPort=x"]) == 2
    assert capsys.readouterr().err == "--set: ListenPort=x: expected a whole number from 0 to 65535\n"


@pytest.mark.parametrize("argument", ["ListenPort", "=1", ""])
def test_set_without_key_or_equals_sign_exits_with_2(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--config", str(STOCK), "--check-config", "--set", argument])
    assert caught.value.code == 2
    assert "argument --set: expected KEY=VALUE" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["SIGHUP", "SIGUSR1", "SIGUSR2"])
def test_a_signal_that_comes_while_the_modules_are_imported_does_not_end_the_command(workplace: Path, name: str) -> None:
    program = f"""
import runpy, signal, sys

class SignalsAtImports:
    def find_spec(self, module, path=None, target=None):
        if module == "dbproxy.cli":
            signal.raise_signal(signal.{name})

sys.meta_path.insert(0, SignalsAtImports())
sys.argv = ["db_proxy_server", "--version"]
runpy.run_module("dbproxy", run_name="__main__")
"""
    environment = {**os.environ, "PYTHONPATH": str(STOCK.parents[1])}
    done = subprocess.run([sys.executable, "-c", program], cwd=workplace, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, f"db_proxy_server {__version__}\n")


def test_a_reload_that_is_asked_for_while_the_file_is_read_is_done_when_the_proxy_serves(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (workplace / "dbproxyserver.conf").write_text(STOCK.read_text(encoding="utf-8"), encoding="utf-8")
    service = FakeService()

    def read(_options: argparse.Namespace) -> Config:
        signal.raise_signal(signal.SIGHUP)
        return load_config(STOCK)

    monkeypatch.setattr("dbproxy.cli.config_of", read)
    monkeypatch.setattr("dbproxy.cli._application", lambda *_: service)
    assert main([]) == 0
    assert service.reloads == 1


def test_a_log_file_that_cannot_be_opened_is_told_to_the_process_that_is_to_be_replaced(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = workplace / "dbproxyserver.conf"
    path.write_text(STOCK.read_text(encoding="utf-8") + "LogFile=/no/such/proxy.log\n", encoding="utf-8")
    channel, theirs = Channel.pair(5.0)
    monkeypatch.setenv(CHANNEL_VARIABLE, str(theirs.detach()))
    assert main([]) == 2
    assert "LogFile=/no/such/proxy.log: cannot be opened" in channel.receive("failed").fields["reason"]
    channel.close()
