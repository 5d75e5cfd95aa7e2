"""Reports of a run: lines as it goes on, a table by topic, JSON, and JUnit's XML for CI systems. Pure functions."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from xml.etree import ElementTree as ET

from dbproxy.conformance.runner import CaseResult
from dbproxy.testing.capabilities import Capabilities

AGREES = "agrees"
MAX_PROBLEMS = 8
"""Problems of a case that are printed; reports in files have all."""


def case_lines(result: CaseResult, number: int, total: int, *, verbose: bool) -> list[str]:
    """Return what is printed about one case."""
    lines = [f"[{number:>{len(str(total))}}/{total}] {result.name} ({result.topic}): {result.verdict}"]
    shown = result.problems if verbose else result.problems[:MAX_PROBLEMS]
    lines += [f"      {problem}" for problem in shown]
    if len(shown) < len(result.problems):
        lines.append(f"      ... and {len(result.problems) - len(shown)} more (--verbose)")
    return lines


def table(results: Sequence[CaseResult]) -> list[str]:
    """Return the table by profile and topic, and a last line with the sums."""
    rows: list[tuple[str, ...]] = [("profile", "topic", "cases", "agree", "differ", "died or hung", "not run")]
    for profile, topic in dict.fromkeys((result.profile, result.topic) for result in results):
        among = [result.verdict for result in results if (result.profile, result.topic) == (profile, topic)]
        lost = among.count("died") + among.count("hangs")
        counts = (len(among), among.count("agrees"), among.count("differs"), lost, among.count("not run"))
        rows.append((profile, topic, *map(str, counts)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([*map(str.ljust, row[:2], widths), *map(str.rjust, row[2:], widths[2:])]) for row in rows]
    agreeing = sum(result.verdict == AGREES for result in results)
    return [line.rstrip() for line in lines] + ["", f"{agreeing} of {len(results)} cases agree"]


def as_json(results: Sequence[CaseResult], program: str, capabilities: Capabilities | None) -> str:
    """Return the whole report as JSON."""
    known = None
    if capabilities is not None:
        known = {
            "start_seconds": round(capabilities.start_seconds, 3),
            "writes_pid_file": capabilities.writes_pid_file,
            "sync_interval": capabilities.sync_interval,
            "honours_sync_interval": capabilities.honours_sync_interval,
        }
    cases = [{**asdict(result), "seconds": round(result.seconds, 3)} for result in results]
    return json.dumps({"program": program, "capabilities": known, "cases": cases}, ensure_ascii=False, indent=1)


def as_junit(results: Sequence[CaseResult], program: str) -> str:
    """Return the report as JUnit's XML: a test suite for each profile, a class for each topic."""
    root = ET.Element("testsuites", name=_xml_text(program))
    for profile in dict.fromkeys(result.profile for result in results):
        among = [result for result in results if result.profile == profile]
        failed = sum(result.verdict not in (AGREES, "not run") for result in among)
        suite = ET.SubElement(
            root,
            "testsuite",
            name=profile,
            tests=str(len(among)),
            failures=str(failed),
            errors=str(sum(result.verdict == "not run" for result in among)),
            time=f"{sum(result.seconds for result in among):.3f}",
        )
        for result in among:
            case = ET.SubElement(
                suite, "testcase", classname=f"{profile}.{result.topic.replace(' ', '_')}", name=result.name, time=f"{result.seconds:.3f}"
            )
            if result.verdict != AGREES:
                kind = "error" if result.verdict == "not run" else "failure"
                ET.SubElement(case, kind, message=result.verdict).text = _xml_text("\n".join(result.problems))
    ET.indent(root)
    return ET.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _xml_text(text: str) -> str:
    """Replace what XML cannot hold."""
    return "".join(_xml_characters(text))


def _xml_characters(text: str) -> Iterator[str]:
    for character in text:
        code = ord(character)
        allowed = code in (0x9, 0xA, 0xD) or 0x20 <= code <= 0xD7FF or 0xE000 <= code <= 0xFFFD or code >= 0x10000
        yield character if allowed else "\N{REPLACEMENT CHARACTER}"
