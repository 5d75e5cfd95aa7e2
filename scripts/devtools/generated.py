"""Files that are made from others and committed: written, or compared with what is committed."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]


def write_or_check(program: str, description: str, path: Path, make: Callable[[], str], argv: Sequence[str] | None = None) -> int:
    """Write what ``make`` returns to ``path``; with --check compare it only, and return 1 if it differs."""
    parser = argparse.ArgumentParser(prog=program, description=description)
    parser.add_argument("--check", action="store_true", help="compare only; exit 1 on a difference")
    text = make()
    if parser.parse_args(argv).check:
        return 0 if path.read_text(encoding="utf-8") == text else 1
    path.write_text(text, encoding="utf-8")
    print(f"{path.relative_to(ROOT)} is written")
    return 0
