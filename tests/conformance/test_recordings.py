"""Every recorded case: what the original answered and stored, and where this proxy is better on purpose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from dbproxy.conformance.programs import StartedProgram
from dbproxy.conformance.recordings import BETTER, recorded
from dbproxy.conformance.runner import Runner
from dbproxy.testing import FileServer, Stack

CASES = [pytest.param(case, id=case["name"]) for case in recorded(BETTER)]


@pytest.fixture(scope="module")
def runner(dbproxy_stack: Stack) -> Iterator[Runner]:
    with FileServer() as site, StartedProgram(dbproxy_stack, (), site.site) as program:
        yield Runner(program, site.site, timeout=8)


@pytest.mark.parametrize("case", CASES)
def test_recording(case: dict[str, Any], runner: Runner) -> None:
    (result,) = runner.run([case])
    assert result.verdict == "agrees", "\n".join(result.problems)
