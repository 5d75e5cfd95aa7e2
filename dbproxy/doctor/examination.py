"""The whole examination of a configuration. One thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dbproxy.config import Config
from dbproxy.doctor.file_server import check_file_server
from dbproxy.doctor.finding import Finding, Findings
from dbproxy.doctor.local import check_host
from dbproxy.doctor.mysql import check_databases
from dbproxy.doctor.redis import check_caches
from dbproxy.stores.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Options:
    """What is examined."""

    upload: bool = True
    """Store a sound of 256 bytes on the file server, where it stays, and fetch it."""


def examine(config: Config, options: Options | None = None, listener: Callable[[Finding], None] | None = None) -> Sequence[Finding]:
    """Examine everything that ``config`` names and return the findings; ``listener`` is told each as soon as it is made.

    Nothing is raised for a backend that fails. A dead host costs its connect timeout, a server that hangs that and one statement. Changed
    is nothing but a key in each Redis pool, which is deleted at once, and a file on the file server.
    """
    options = options or Options()
    findings = Findings(config, listener)
    resolver = Resolver()
    check_host(config, findings, resolver)
    check_databases(config, findings, resolver)
    check_caches(config, findings, resolver)
    check_file_server(config, findings, resolver, upload=options.upload)
    return findings.all
