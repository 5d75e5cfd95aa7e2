"""What dbproxy-doctor finds in the backends of a stack."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from dbproxy.config import Config, load_config
from dbproxy.doctor.finding import Finding, Findings, Level
from dbproxy.doctor.kinds import Kind
from dbproxy.stores.resolver import Resolver
from dbproxy.testing import Stack


class Examined:
    """Findings, to be asked for by their kind."""

    def __init__(self, findings: list[Finding]) -> None:
        self.findings = findings

    @property
    def problems(self) -> list[tuple[str, str, str]]:
        """Level, subject and kind of each warning and error."""
        return [(finding.level.name, finding.subject, finding.kind.value) for finding in self.findings if finding.level >= Level.WARNING]

    def of(self, kind: Kind, subject: str = "") -> list[Finding]:
        """The findings of a kind whose subject begins so."""
        return [finding for finding in self.findings if finding.kind is kind and finding.subject.startswith(subject)]

    def only(self, kind: Kind, subject: str = "") -> Finding:
        """The one finding of a kind."""
        (found,) = self.of(kind, subject)
        return found


def examined(check: Callable[[Config, Findings, Resolver], None], stack: Stack, overrides: Mapping[str, Any] | None = None) -> Examined:
    """Run one part of the examination on a stack."""
    config = load_config(stack.write_config(overrides=overrides))
    findings = Findings(config)
    check(config, findings, Resolver())
    return Examined(findings.all)
