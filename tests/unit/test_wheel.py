"""The wheel holds what users of the package need, and not what only a checkout uses."""

from __future__ import annotations

import zipfile

import pytest
from built_wheel import ROOT, build_wheel

pytestmark = pytest.mark.watchdog(300)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The names of the files in the wheel."""
    wheel = build_wheel(tmp_path_factory.mktemp("build"))
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_has_every_module_of_the_package_and_its_data(built: set[str]) -> None:
    files = [path for path in (ROOT / "dbproxy").rglob("*") if path.suffix in (".py", ".pyi", ".sql", ".typed", ".conf", ".service")]
    assert {path.relative_to(ROOT).as_posix() for path in files} - built == set()


def test_the_wheel_has_the_commands_and_the_pytest_plugin(built: set[str]) -> None:
    assert any(name.endswith(".dist-info/entry_points.txt") for name in built)
    assert {
        "dbproxy/__main__.py",
        "dbproxy/audit/__main__.py",
        "dbproxy/bench/__main__.py",
        "dbproxy/install/__main__.py",
        "dbproxy/testing/plugin.py",
    } <= built


def test_the_wheel_has_every_file_of_the_dashboard(built: set[str]) -> None:
    files = [path for path in (ROOT / "dbproxy" / "ops" / "dashboard").rglob("*") if path.is_file()]
    assert len(files) > 20
    assert {path.relative_to(ROOT).as_posix() for path in files} - built == set()


def test_the_wheel_has_every_file_of_the_web_application(built: set[str]) -> None:
    files = [path for path in (ROOT / "dbproxy" / "admin" / "web").rglob("*") if path.is_file() and path.suffix != ".pyc"]
    assert {path.suffix for path in files} >= {".py", ".html", ".css", ".js", ".mo", ".po"}
    assert {path.relative_to(ROOT).as_posix() for path in files} - built == set()


def test_the_wheel_leaves_out_what_only_a_checkout_uses(built: set[str]) -> None:
    assert {name.split("/")[0] for name in built if ".dist-info/" not in name and ".data/" not in name} == {"dbproxy"}
    assert [name for name in built if "soak" in name or "devtools" in name or "demo" in name] == []


def test_the_wheel_has_the_manual_pages_where_man_finds_them(built: set[str]) -> None:
    pages = {f"share/man/man{path.suffix[1:]}/{path.name}" for path in (ROOT / "docs" / "man").iterdir()}
    assert {name.split(".data/data/")[1] for name in built if ".data/" in name} == pages
