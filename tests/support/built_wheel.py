"""The wheel of this checkout, built from a copy of it so that nothing is left in the checkout."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ("dbproxy", "protos", "conf", "docs", "scripts", "tests", "setup.cfg", "pyproject.toml", "README.md", "LICENSE")


def build_wheel(directory: Path) -> Path:
    """Build the wheel in ``directory``, which must be empty, and return its path."""
    source, target = directory / "source", directory / "wheel"
    source.mkdir()
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(target), str(source)]
    subprocess.run(command, check=True)
    (wheel,) = target.glob("dbproxy-*.whl")
    return wheel
