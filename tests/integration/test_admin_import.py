"""dbproxy-admin: users are imported from files as Excel writes them, many at once; every line that is refused is reported."""

from __future__ import annotations

import csv
import io
import threading
from pathlib import Path

import pytest

from dbproxy.admin.administration import Administration
from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people.csv_file import csv_writer
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.admin.people.user_import import REPORTED, RefusedLine, UserImport
from dbproxy.admin.people.users import NewUser, Users
from dbproxy.testing import Client, Stack, seed


@pytest.fixture
def departments(stack: Stack) -> None:
    seed.department(stack, 1, "总部")
    seed.department(stack, 2, "研发", parent_id=1)
    seed.department(stack, 3, "销售", parent_id=1)


def upload(*lines: str, encoding: str = "utf-8") -> io.BytesIO:
    return io.BytesIO("\r\n".join([*lines, ""]).encode(encoding))


def reasons(lines: tuple[RefusedLine, ...]) -> list[tuple[int, str]]:
    return [(line.line, line.reason) for line in lines]


@pytest.mark.usefixtures("departments")
@pytest.mark.parametrize("encoding", ["utf-8-sig", "gb18030", "utf-16"])
def test_a_file_of_excel_is_imported_and_its_users_log_in(
    dbproxy_client: Client, stack: Stack, administration: Administration, encoding: str
) -> None:
    latest = dbproxy_client.all_users(0).latest_update_time
    file = upload(
        "用户名;昵称;性别;部门;邮箱;电话;密码;备注",
        "xiaoming;小明;男;总部/研发;xm@example.com;13800000001;geheim-1;x",
        "xiaohong;小红;女;3;;;geheim-2;y",
        encoding=encoding,
    )
    report = UserImport(administration).run(file)
    assert (report.added, report.refused, report.ignored, report.generated) == (2, (), ("备注",), 0)
    listed = {user.user_real_name: user for user in dbproxy_client.all_users(latest).user_list}
    assert {name: (user.user_nick_name, user.user_gender, user.department_id) for name, user in listed.items()} == {
        "xiaoming": ("小明", 1, 2),
        "xiaohong": ("小红", 0, 3),
    }
    assert dbproxy_client.login("xiaoming", "geheim-1").result_code == 0
    assert dbproxy_client.login("xiaohong", "geheim-2").result_code == 0


@pytest.mark.usefixtures("departments")
@pytest.mark.data(users=["alice"])
def test_every_refused_line_is_reported_with_its_reason_and_the_others_are_imported(stack: Stack, administration: Administration) -> None:
    lines = [
        ("bob,总部,,secret", None),
        ("alice,总部,,secret", "the name 'alice' is taken by the user with the id 1"),
        ("bob,总部,,secret", "line 2 has the same name"),
        (",总部,,secret", "the name is empty"),
        (f"{'x' * 33},总部,,secret", "has 33 characters; at most 32"),
        ("carol,nowhere,,secret", "there is no department 'nowhere'"),
        ("carol,9,,secret", "there is no department '9'"),
        ("carol,,,secret", "no department is given; there are 3"),
        ("carol,总部,1.38E+10,secret", "the phone is '1.38E+10'"),
        ("carol,总部,,x", "the password has 1 characters"),
        ("carol,总部,,", "there is no password"),
        ("carol,总部,'+86123,secret", None),
        ("carol", "there is no password"),
    ]
    lines[-1] = ("dave", "no department is given")
    file = upload("name,department,phone,password", *(line for line, _ in lines))
    dry = UserImport(administration).run(file, dry_run=True)
    every: list[RefusedLine] = []
    report = UserImport(administration).run(file, on_refused=every.append)
    refused = {line.line: line.reason for line in report.refused}
    assert every == list(report.refused) == sorted(every, key=lambda line: line.line)
    for number, (_, reason) in enumerate(lines, start=2):
        assert reason is None or reason in refused.pop(number), number
    assert refused == {}
    assert (report.added, report.refused_count) == (2, 11)
    assert {row["name"] for row in stack.rows("select name from IMUser")} == {"alice", "bob", "carol"}
    assert stack.rows("select phone from IMUser where name='carol'") == [{"phone": "+86123"}]
    # a line without a password is refused only when there is no file for the one that is generated
    assert (dry.added, dry.generated, dry.refused_count) == (2, 1, 11)


@pytest.mark.usefixtures("departments")
def test_generated_passwords_are_written_to_a_file_and_work(
    dbproxy_client: Client, stack: Stack, administration: Administration, tmp_path: Path
) -> None:
    file = upload("name,department", "alice,总部", "bob,总部", "alice,总部")
    with pytest.raises(RefusedError, match="no column of passwords; say where"):
        UserImport(administration).run(file)
    path = tmp_path / "passwords.csv"
    with PasswordFile(path) as passwords:
        report = UserImport(administration).run(file, passwords=passwords)
    assert (report.added, report.generated) == (2, 2)
    assert path.stat().st_mode & 0o777 == 0o600
    written = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    assert [row["name"] for row in written] == ["alice", "bob"]
    for row in written:
        assert dbproxy_client.login(row["name"], row["password"]).result_code == 0
        assert row["password"] not in administration.log.path.read_text()


@pytest.mark.usefixtures("departments")
def test_departments_are_added_when_asked_for(stack: Stack, administration: Administration) -> None:
    file = upload("name,department,password", "a,总部/研发/一组,secret", "b,总部/研发/一组,secret", "c,新部门,secret", "d,总部//x,secret")
    before = stack.snapshot()
    importing = UserImport(administration, create_departments=True)
    dry = importing.run(file, dry_run=True)
    assert stack.snapshot() == before
    report = importing.run(file)
    assert (report.added, report.departments) == (dry.added, dry.departments) == (3, ("总部/研发/一组", "新部门"))
    assert reasons(report.refused) == [(5, "the name of the department is empty; it needs 1 to 64 characters")]
    rows = stack.rows("select u.name,d.departName,d.parentId from IMUser u join IMDepart d on d.id=u.departId order by u.id")
    assert [tuple(row.values()) for row in rows] == [("a", "一组", 2), ("b", "一组", 2), ("c", "新部门", 0)]


@pytest.mark.usefixtures("departments")
def test_a_preview_says_how_the_file_is_understood_and_changes_nothing(stack: Stack, administration: Administration) -> None:
    seed.user(stack, 1, "alice")
    before = stack.snapshot()
    preview = UserImport(administration, department_id=1).preview(
        upload("登录名,密码,城市", "alice,secret,x", "bob,secret,y", "bob,secret,z", *(f"u{n},secret,z" for n in range(50))), limit=3
    )
    assert (preview.encoding, preview.delimiter, preview.fields, preview.ignored, preview.rows) == (
        *("utf-8", ",", ("name", "password")),
        *(("城市",), 53),
    )
    assert [(line.line, dict(line.values), line.reason) for line in preview.lines] == [
        (2, {"name": "alice"}, "the name 'alice' is taken by the user with the id 1"),
        (3, {"name": "bob"}, None),
        (4, {"name": "bob"}, "line 3 has the same name"),
    ]
    with pytest.raises(RefusedError, match="accepted are 1 to 500"):
        UserImport(administration).preview(upload("name", "x"), limit=0)
    assert stack.snapshot() == before
    assert not administration.log.path.exists()


@pytest.mark.usefixtures("departments")
@pytest.mark.data(users=["alice"])
def test_what_is_exported_can_be_imported_elsewhere(stack: Stack, administration: Administration) -> None:
    users = Users(administration)
    hostile = NewUser("=cmd()", "'=nick", 1, 2, "a@b.c", "+8612345", "@dom", "-1", '\u202e"quoted", 签名😀')
    users.add(hostile, "secret")
    users.disable(1)
    stream = io.StringIO(newline="")
    assert users.export(csv_writer(stream)) == 2
    assert not any(cell.startswith(("=", "+", "-", "@")) for row in csv.reader(io.StringIO(stream.getvalue())) for cell in row)
    stack.rows("delete from IMUser")
    file = io.BytesIO(stream.getvalue().encode("utf-8-sig"))
    report = UserImport(administration).run(file, dry_run=True)
    assert reasons(report.refused) == [(2, "the status is 'disabled'; only users whose status is active are added")]
    assert report.ignored == ("id", "created", "updated")
    path = administration.installation.data_directory / "passwords.csv"
    with PasswordFile(path) as passwords:
        assert UserImport(administration).run(file, passwords=passwords).added == 1
    found = users.get("=cmd()")
    values = (found.name, found.nick, found.sex, found.department_id, found.email, found.phone, found.domain, found.avatar, found.sign_info)
    assert values == tuple(getattr(hostile, field) for field in hostile.__slots__)


@pytest.mark.usefixtures("departments")
@pytest.mark.watchdog(240)
def test_two_imports_of_the_same_file_at_once_add_everybody_once(stack: Stack, administration: Administration) -> None:
    lines = [f"user{number},1,secret" for number in range(5000)]
    added: list[int] = []

    def run() -> None:
        added.append(UserImport(administration).run(upload("name,department,password", *lines)).added)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(200)
    assert sum(added) == 5000
    assert stack.rows("select count(*) as n,count(distinct name) as d from IMUser") == [{"n": 5000, "d": 5000}]


@pytest.mark.usefixtures("departments")
def test_the_report_of_a_file_that_is_all_wrong_is_bounded(administration: Administration) -> None:
    every: list[RefusedLine] = []
    lines = [f"user{number},nowhere,secret" for number in range(2500)]
    progress: list[tuple[int, int]] = []
    report = UserImport(administration).run(
        upload("name,department,password", *lines),
        on_refused=every.append,
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert (report.added, len(report.refused), report.refused_count, len(every)) == (0, REPORTED, 2500, 2500)
    assert progress == [(1000, 2500), (2000, 2500), (2500, 2500)]


@pytest.mark.usefixtures("departments")
@pytest.mark.parametrize(
    ("lines", "said"),
    [(("nick,password", "x,secret"), "no column of login names"), (("name,password", *["a,secret"] * 1500, '"b'), "line 1502")],
)
def test_a_file_that_cannot_be_read_to_its_end_changes_nothing(
    stack: Stack, administration: Administration, lines: tuple[str, ...], said: str
) -> None:
    with pytest.raises(RefusedError, match=said):
        UserImport(administration).run(upload(*lines))
    assert stack.rows("select id from IMUser") == []
