"""The wheel holds what users of the package need, and not what only a checkout uses."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCES = ("dbproxy", "protos", "conf", "scripts", "tests", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")

pytestmark = pytest.mark.watchdog(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Build the wheel from a copy of the checkout; the names of its files."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = target.glob("dbproxy-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_module_of_the_package_and_its_data(built: set[str]) -> None:
    files = [path for path in (ROOT / "dbproxy").rglob("*") if path.suffix in (".py", ".pyi", ".sql", ".typed")]
    assert {path.relative_to(ROOT).as_posix() for path in files} - built == set()


def test_the_wheel_has_the_commands_and_the_pytest_plugin(built: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in built)
    assert {"dbproxy/__main__.py", "dbproxy/audit/__main__.py", "dbproxy/bench/__main__.py", "dbproxy/testing/plugin.py"} <= built


def test_the_wheel_leaves_out_what_only_a_checkout_uses(built: set[str]) -> None:
    assert {name.split("/")[0] for name in built if ".dist-info/" not in name} == {"dbproxy"}
    assert [name for name in built if "soak" in name or "devtools" in name or "demo" in name] == []
