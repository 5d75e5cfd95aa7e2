"""What the commands of the benchmark have in common: options, errors, and private backends."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from types import FrameType

from dbproxy.bench import chart
from dbproxy.bench.progress import Progress
from dbproxy.bench.site import Site, private_site
from dbproxy.errors import DbproxyError

PROGRAM = "python -m dbproxy.bench"
"""The command as it can be called from everywhere; in a checkout ``scripts/bench`` is the same."""


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of every measurement on private backends."""
    parser.add_argument("--quick", action="store_true", help="less of everything, in less than a minute")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all results as JSON")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw a chart (.png, .svg, .pdf; needs matplotlib)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a key of the private proxy's configuration")
    parser.add_argument("--indexes", type=Path, metavar="FILE", help="SQL for the private database first, such as conf/indexes.sql")


def run_command(program: str, options: argparse.Namespace, measure: Callable[[Progress], int]) -> int:
    """Run a measurement and turn its errors into messages of ``program``; return the exit status. SIGTERM acts as Ctrl-C."""
    signal.signal(signal.SIGTERM, _interrupt)
    progress = Progress(sys.stderr)
    try:
        if options.chart is not None:
            chart.check(options.chart)
        return measure(progress)
    except KeyboardInterrupt:
        progress.end()
        print("stopped", file=sys.stderr)  # noqa: T201 - a command
        return 1
    except (DbproxyError, OSError, TimeoutError) as error:
        progress.end()
        print(f"{program}: {error}", file=sys.stderr)  # noqa: T201
        return 1


@contextlib.contextmanager
def open_private_site(options: argparse.Namespace, overrides: Mapping[str, object]) -> Iterator[Site]:
    """Start private backends and a proxy as the common options say; ``overrides`` are further keys of the proxy's configuration."""
    settings: dict[str, object] = dict(overrides)
    for pair in options.set:
        key, _, value = pair.partition("=")
        settings[key] = value
    with private_site(settings) as site:
        if options.indexes is not None:
            site.load_sql(options.indexes)
        yield site


def names_of(known: Collection[str]) -> Callable[[str], list[str]]:
    """Return the argparse type of a comma-separated list of known names; the result is in the order of ``known``."""

    def names(text: str) -> list[str]:
        chosen = [name.strip() for name in text.split(",") if name.strip()]
        unknown = [name for name in chosen if name not in known]
        if unknown or not chosen:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown) or 'nothing'} is not among {', '.join(known)}")
        return [name for name in known if name in chosen]

    return names


def print_parts(*parts: str) -> None:
    """Print texts with a blank line between them."""
    print("\n\n".join(parts), flush=True)  # noqa: T201


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt
