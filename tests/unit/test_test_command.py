"""scripts/test says by its exit status whether everything has passed, whichever part it was."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from dbproxy.testing.waiting import eventually

ROOT = Path(__file__).parents[2]

PYTHON = """#!/bin/sh
case "$*" in
    *tests/unit*) echo first; exit {first} ;;
    *tests/faults*) echo second; exit {second} ;;
    *tests/browser*) echo third; exit {third} ;;
esac
echo "others: $*"
exit {chosen}
"""


def checkout(directory: Path, *, ruff: int = 0, mypy: int = 0, first: int = 0, second: int = 0, third: int = 0, chosen: int = 0) -> Path:
    """A checkout whose tools do nothing but end with these statuses."""
    programs = {
        "scripts/prepare": "#!/bin/sh\n",
        ".venv/bin/ruff": f"#!/bin/sh\nexit {ruff}\n",
        ".venv/bin/mypy": f"#!/bin/sh\nexit {mypy}\n",
        ".venv/bin/python": PYTHON.format(first=first, second=second, third=third, chosen=chosen),
    }
    for name, text in programs.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
    (directory / "tmp").mkdir()
    return Path(shutil.copy(ROOT / "scripts" / "test", directory / "scripts" / "test"))


def run(script: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": "/usr/bin:/bin", "TMPDIR": str(script.parents[1] / "tmp")}
    return subprocess.run([script, *arguments], capture_output=True, text=True, timeout=60, check=False, env=environment)


def test_all_passed_is_status_0_and_shows_all_runs(tmp_path: Path) -> None:
    done = run(checkout(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["first", "second", "third"]
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("part", ["ruff", "mypy", "first", "second", "third"])
def test_a_failure_of_any_part_is_the_status(tmp_path: Path, part: str) -> None:
    done = run(checkout(tmp_path, **{part: 3}))
    assert done.returncode == 3
    assert list((tmp_path / "tmp").iterdir()) == []


def test_every_folder_of_tests_is_in_one_of_the_runs() -> None:
    command = (ROOT / "scripts" / "test").read_text(encoding="utf-8")
    words = [word for line in command.splitlines() if line.startswith('"${pytest[@]}" tests/') for word in line.split()]
    assert sorted(word for word in words if (ROOT / word).is_dir()) == sorted(
        {str(path.parent.relative_to(ROOT)) for path in ROOT.glob("tests/*/test_*.py")}
    )
    assert words.count("tests/integration/test_a*.py") == words.count("--ignore-glob='tests/integration/test_a*'") == 1


def test_a_signal_ends_all_runs(tmp_path: Path) -> None:
    script = checkout(tmp_path)
    pids = tmp_path / "pids"
    (tmp_path / ".venv/bin/python").write_text(f"#!/bin/sh\necho $$ >>{pids}\nexec sleep 60\n")
    with subprocess.Popen([script], env={"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path / "tmp")}) as process:
        assert eventually(lambda: pids.exists() and len(pids.read_text().split()), 3, 20) == 3
        process.terminate()
        assert process.wait(20) == 143
    assert [pid for pid in pids.read_text().split() if Path("/proc", pid).exists()] == []
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize("status", [0, 5])
def test_arguments_go_to_pytest_whose_status_is_returned(tmp_path: Path, status: int) -> None:
    done = run(checkout(tmp_path, chosen=status), "tests/other", "-k", "x")
    assert (done.returncode, done.stdout) == (status, "others: -m pytest tests/other -k x\n")
