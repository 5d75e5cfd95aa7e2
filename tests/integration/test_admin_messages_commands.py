"""The commands of dbproxy-admin about messages: what they print, how they end, and what they leave behind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dbproxy.admin.cli import main
from dbproxy.admin.commands.times import parse_point
from dbproxy.testing import Stack, seed

pytestmark = [pytest.mark.watchdog(60), pytest.mark.data(users=["alice", "bob", "carol"], groups={9: [1, 2, 3]})]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(stack: Stack, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command: exit status, standard output, standard error."""
    seed.relation(stack, 1, 2, relate_id=3)
    seed.messages(stack, 1, 2, [f"text {number}" for number in range(1, 6)], relate_id=3)
    seed.group_messages(stack, 1, 9, ["to all \x1b[31m\u202e", "line\nline"])
    config = stack.write_config(overrides={"AdminDataDir": stack.new_directory("admin")})

    def command(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        try:
            status = main(["--config", str(config), *map(str, arguments)])
        except SystemExit as error:
            status = int(error.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return command


def test_a_conversation_is_shown_page_by_page(run: Run) -> None:
    status, out, err = run("messages", "show", "alice", "2", "--limit", 2)
    assert status == 0
    assert out.splitlines()[0] == "Alice — Bob (users 1 and 2)"
    assert [line.strip() for line in out.splitlines() if line.startswith(" ")] == ["text 5", "text 4"]
    after = err.split()[-1]
    status, out, err = run("messages", "show", "bob", "alice", "--after", after)
    assert [line.strip() for line in out.splitlines() if line.startswith(" ")] == ["text 3", "text 2", "text 1"]
    assert err == ""


def test_what_would_steer_the_terminal_is_shown_as_escapes(run: Run) -> None:
    status, out, _ = run("messages", "show", "--group", 9)
    assert status == 0
    assert "    to all \\x1b[31m\\u202e\n" in out
    assert "    line\n    line\n" in out


def test_json_has_every_field(run: Run) -> None:
    status, out, _ = run("messages", "search", "1", "2", "TEXT 3", "--json")
    document = json.loads(out)
    assert (status, document["conversation"]["conversation_id"], document["following"]) == (0, 3, None)
    assert [(message["msg_id"], message["content"], message["hidden"]) for message in document["messages"]] == [(3, "text 3", False)]


def test_an_export_goes_to_a_file_of_its_own(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "export.html"
    status, out, _ = run("messages", "export", "--group", 9, "--format", "html", "--output", path)
    assert (status, out) == (0, f"2 messages of group 9 written to {path}\n")
    assert path.read_text(encoding="utf-8").endswith("</html>\n")
    assert path.stat().st_mode & 0o777 == 0o600
    status, _, err = run("messages", "export", "--group", 9, "--output", tmp_path / "absent" / "x")
    assert (status, "cannot be written" in err) == (1, True)
    assert json.loads(run("messages", "export", "1", "2", "--output", path, "--json")[1])["messages"] == 5
    status, _, err = run("messages", "export", "1", "2", "--output", "-")
    assert (status, "not to the standard output" in err, Path("-").exists()) == (1, True, False)


def test_hiding_is_tried_done_and_taken_back(run: Run, stack: Stack) -> None:
    assert "would be hidden" in run("messages", "hide", "1", "2", "5", "--dry-run")[1]
    assert "is now hidden\nnote: clients keep" in run("messages", "hide", "1", "2", "5")[1]
    assert "is hidden already" in run("messages", "hide", "1", "2", "5")[1]
    assert "[hidden]" in run("messages", "show", "1", "2", "--limit", 1)[1]
    assert json.loads(run("messages", "unhide", "--group", 9, "2", "--json", "--dry-run")[1])["changed"] is False
    assert "is now visible" in run("messages", "unhide", "1", "2", "5")[1]
    assert run("messages", "hide", "1", "2", "77")[::2] == (
        1,
        "dbproxy-admin: the conversation of users 1 and 2 has no message with the msg_id 77\n",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("show", "alice"), "1 arguments given, expected USER PEER"),
        (("show", "--group", "9", "alice"), "1 arguments given, expected no further argument"),
        (("search", "alice", "bob"), "2 arguments given, expected USER PEER TEXT"),
        (("hide", "--group", "9", "x"), "MSG_ID: 'x': expected a whole number"),
        (("show", "alice", "bob", "--since", "yesterday"), "'yesterday': expected a date (2025-01-31)"),
        (("show", "alice", "bob", "--limit", "501"), "'501': expected a whole number from 1 to 500"),
        (("export", "alice", "bob"), "--output"),
    ],
)
def test_a_mistake_in_the_command_line_is_explained(run: Run, arguments: tuple[str, ...], said: str) -> None:
    status, out, err = run("messages", *arguments)
    assert (status, out, said in err) == (2, "", True)


def test_further_relations_are_pointed_out(run: Run, stack: Stack) -> None:
    seed.relation(stack, 1, 2, relate_id=20)
    assert run("messages", "show", "1", "2")[2] == ""  # it has no messages, as after a merge
    seed.messages(stack, 1, 2, ["lost to view"], relate_id=20, created=seed.T0 - 10)
    status, _, err = run("messages", "show", "1", "2")
    assert (status, "further relations (20)" in err) == (0, True)


def test_recent_conversations_and_figures_are_listed(run: Run) -> None:
    status, out, _ = run("messages", "recent")
    assert (status, [line.split()[:2] for line in out.splitlines()[1:]]) == (0, [["people", "3"], ["group", "9"]])
    assert " alice bob " in out
    status, out, _ = run("stats", "--days", 3, "--hours", 8784)
    assert status == 0
    assert "users:    3 active, 0 disabled\n" in out
    document = json.loads(run("stats", "--json")[1])
    assert document["overview"]["groups"] == 1
    assert len(document["messages_per_day"]) == 14


def test_old_messages_are_counted_and_then_archived(run: Run, stack: Stack, tmp_path: Path) -> None:
    arguments = ("prune", "--older-than", "2024-01-01", "--archive-dir", tmp_path / "old")
    status, out, _ = run(*arguments, "--dry-run")
    assert (status, [line.split() for line in out.splitlines()[1:-1]]) == (
        0,
        [["table", "older", "kept", "would", "be", "removed"], ["IMMessage_3", "5", "1", "4"], ["IMGroupMessage_1", "2", "1", "1"]],
    )
    assert "5 messages in all" in out
    assert not (tmp_path / "old").exists()
    document = json.loads(run(*arguments, "--json")[1])
    assert (document["archived"], document["removed"]) == (5, 5)
    assert [row["msgId"] for row in stack.rows("select msgId from IMMessage_3")] == [5]
    assert run(*arguments)[1].startswith("no message from before 2024-01-01")
    (tmp_path / "file").touch()
    status, _, err = run("prune", "--older-than", "2024-01-01", "--archive-dir", tmp_path / "file", "--dry-run")
    assert (status, err) == (1, f"dbproxy-admin: the archive {tmp_path / 'file'} cannot be read: Not a directory\n")
    status, _, err = run("prune", "--older-than", "1h")
    assert (status, "last 24 hours are not archived" in err) == (1, True)
    assert run("prune")[0] == 2


def test_points_in_time_are_dates_and_ages() -> None:
    assert parse_point("2h") - parse_point("1d") == pytest.approx(79200, abs=2)
    assert parse_point("2025-01-31") + 18 * 3600 == parse_point("2025-01-31T18:00")
    assert parse_point("2025-01-31T18:00:00+00:00") == 1738346400
    for wrong in ("", "5", "5y", "2025-02-30", "-1d", "9999999d", "1960-01-01", "2025"):
        with pytest.raises(ValueError, match="expected a date"):
            parse_point(wrong)
