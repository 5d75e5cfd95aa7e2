"""The pages of imports: a file is uploaded, shown, checked, imported; what was refused is reported, passwords are given once."""

from __future__ import annotations

import csv
import html
import io
import re
import threading
from collections.abc import Callable, Iterator

import pytest
from admin_pages import SCRIPT, text_of
from admin_site import AdminApp, Visitor
from werkzeug.test import TestResponse

from dbproxy.admin.access.roles import Role
from dbproxy.admin.people.user_import import UserImport
from dbproxy.admin.web.cookies import NAME
from dbproxy.admin.web.jobs import Job, State
from dbproxy.admin.web.views import UPLOAD_BODY
from dbproxy.testing import Stack, seed
from dbproxy.testing.waiting import eventually

pytestmark = pytest.mark.watchdog(240)


@pytest.fixture
def operator(admin_app: AdminApp, stack: Stack) -> Visitor:
    seed.department(stack, 1, "总部")
    seed.department(stack, 2, "研发", parent_id=1)
    seed.users(stack, "alice")
    return admin_app.visitor(Role.OPERATOR)


def upload(visitor: Visitor, data: bytes, name: str = "users.csv", **fields: str) -> TestResponse:
    return visitor.post("/imports", {"file": (io.BytesIO(data), name), "department_id": "1", **fields})


def settled(app: AdminApp, visitor: Visitor, address: str) -> str:
    """The page of a file, as soon as nothing is being done with it."""
    assert eventually(lambda: [job.state for job in [app.site.jobs.last("import")] if job], [State.RUNNING], 0) is not None
    assert eventually(lambda: 'http-equiv="refresh"' in visitor.get(address).text, False, 120) is False
    return visitor.get(address).text


def passwords(visitor: Visitor, page: str) -> TestResponse:
    return visitor.post("/imports/passwords", {"name": re.findall(r'name="name" value="([^"]+)"', page)[0]}, form="/imports")


@pytest.fixture
def slow_import(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Every import waits after its first batch until the test calls this."""
    go_on = threading.Event()
    progress = Job.progress

    def waiting(job: Job, done: int, total: int | None = None) -> None:
        go_on.wait(60)
        progress(job, done, total)

    monkeypatch.setattr(Job, "progress", waiting)
    yield go_on.set
    go_on.set()


def test_a_file_from_excel_is_shown_checked_and_imported(operator: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    data = "用户名;昵称;部门;电话;备注\r\nli;李雷;总部/研发;138;x\r\nalice;Alice;;;\r\nhan;韩梅梅;没有;;\r\nlin;林涛 🙂;2;139;\r\n".encode(
        "gb18030"
    )
    answer = upload(operator, data, "员工.csv")
    assert answer.status_code == 303
    page = settled(admin_app, operator, answer.location)
    said = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", page)))
    assert "员工.csv" in said
    assert "Character set gb18030" in said
    assert "Columns are separated by semicolons" in said
    assert "Columns without a meaning 备注" in said
    assert 'id="added">2<' in page
    assert 'id="refused">2<' in page
    assert re.search(r"3 alice .* is taken by the user with the id 1", said)
    assert len(stack.rows("select * from IMUser")) == 1  # only looked at
    assert operator.post(f"{answer.location}/run").status_code == 303
    page = settled(admin_app, operator, answer.location)
    assert 'id="added">2<' in page
    stored = {row["name"]: row for row in stack.rows("select * from IMUser")}
    assert {name: (row["nick"], row["departId"]) for name, row in stored.items()} == {
        "alice": ("Alice", 1),
        "li": ("李雷", 2),
        "lin": ("林涛 🙂", 2),
    }
    given = passwords(operator, page)
    rows = {row["name"]: row["password"] for row in csv.DictReader(io.StringIO(given.data.decode("utf-8-sig")))}
    assert set(rows) == {"li", "lin"}
    for name, password in rows.items():
        assert stored[name]["password"] == seed.password_hash(password, str(stored[name]["salt"]))
    log = admin_app.log.path.read_text(encoding="utf-8")
    assert not any(password in log for password in rows.values())
    assert '"action": "users.passwords"' in log


def test_passwords_are_given_once(operator: Visitor, admin_app: AdminApp) -> None:
    address = upload(operator, b"name\nbob\n").location
    settled(admin_app, operator, address)
    operator.post(f"{address}/run")
    page = settled(admin_app, operator, address)
    assert passwords(operator, page).status_code == 200
    assert passwords(operator, page).status_code == 404
    assert "passwords-" not in operator.get("/imports").text
    assert list((admin_app.site.directory / "imports").iterdir()) == []


def test_passwords_that_nobody_has_taken_survive_a_restart(operator: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    address = upload(operator, b"name\nbob\n").location
    settled(admin_app, operator, address)
    operator.post(f"{address}/run")
    settled(admin_app, operator, address)
    with AdminApp(stack, admin_app.site.directory.parent) as restarted:
        assert restarted.site.backends.wait(30)
        visitor = restarted.visitor(Role.OPERATOR, name="other")
        gone = visitor.get(address)
        assert gone.status_code == 404
        assert "dbproxy-admin was restarted" in text_of(gone)
        assert b"bob," in passwords(visitor, visitor.get("/imports").text).data


def test_passwords_that_nobody_needs_are_removed_after_a_question(operator: Visitor, admin_app: AdminApp) -> None:
    address = upload(operator, b"name\nbob\n").location
    settled(admin_app, operator, address)
    operator.post(f"{address}/run")
    page = settled(admin_app, operator, address)
    link = re.findall(r'href="(/imports/passwords/[^"]+/remove)"', page)[0]
    assert "nobody knows them any more" in text_of(operator.get(link))
    assert operator.post(link).location == "/imports"
    assert "The file of passwords was removed." in text_of(operator.get("/imports"))
    assert passwords(operator, page).status_code == 404
    assert operator.get(link).status_code == 404
    assert operator.get("/imports/passwords/..%2Faccounts.db/remove").status_code == 404


def test_a_file_name_of_passwords_cannot_lead_elsewhere(operator: Visitor, admin_app: AdminApp) -> None:
    secret = admin_app.site.directory / "accounts.db"
    for name in ("../accounts.db", str(secret), "passwords-20260101-000000-00000000.csv", ""):
        assert operator.post("/imports/passwords", {"name": name}, form="/imports").status_code == 404
    assert secret.exists()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty"),
        (b"nick,phone\nx,1\n", "no column of login names"),
        (b"name,name\nx,y\n", "are both the name of a user"),
        (b'name,nick\n"x,y\n', "cannot be read"),
        (b"name\n" + b"x" * 70_000, "has more than 65536 characters"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(operator: Visitor, admin_app: AdminApp, stack: Stack, data: bytes, said: str) -> None:
    answer = upload(operator, data)
    assert answer.status_code == 400
    assert said in text_of(answer)
    assert admin_app.site.imports.uploads() == []


def test_no_file_and_a_file_that_is_too_large_are_refused(operator: Visitor, admin_app: AdminApp) -> None:
    assert operator.post("/imports", {"department_id": "1"}).status_code == 400
    client = admin_app.app.test_client()
    client.set_cookie(NAME, operator.cookie())
    assert client.post("/imports", data=b"x" * (UPLOAD_BODY + 1), content_type="multipart/form-data; boundary=x").status_code == 413
    assert admin_app.site.imports.uploads() == []


def test_hostile_cells_and_file_names_stay_texts(operator: Visitor, admin_app: AdminApp) -> None:
    answer = upload(operator, f'name,nick,"{SCRIPT[:31]}"\n"{SCRIPT[:31]}",x,y\nbad\x01name,x,y\n=1+1,x,y\n'.encode(), f"{SCRIPT}.csv")
    page = settled(admin_app, operator, answer.location)
    assert "<script>" not in page
    assert "<img" not in page
    assert SCRIPT[:31] in html.unescape(page)
    refused = operator.get(f"{answer.location}/refused.csv")
    assert [row["line"] for row in csv.DictReader(io.StringIO(refused.data.decode("utf-8-sig")))] == ["3"]


def test_departments_are_added_where_that_was_asked_for(operator: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    data = "name,department\nbob,总部/市场\n".encode()
    plain = upload(operator, data).location
    assert 'id="added">0<' in settled(admin_app, operator, plain)
    assert '<button class="primary" disabled>' in operator.get(plain).text
    address = upload(operator, data, create_departments="1").location
    page = settled(admin_app, operator, address)
    assert 'id="added">1<' in page
    assert "总部/市场" in page
    operator.post(f"{address}/run")
    settled(admin_app, operator, address)
    assert stack.rows("select d.departName as name from IMUser u join IMDepart d on d.id=u.departId where u.name='bob'") == [
        {"name": "市场"}
    ]


def test_all_refused_lines_can_be_downloaded(operator: Visitor, admin_app: AdminApp) -> None:
    address = upload(operator, b"name,sex\n" + b"".join(b"user%d,neither\n" % number for number in range(250))).location
    page = settled(admin_app, operator, address)
    assert 'id="refused">250<' in page
    assert page.count("neither") == 100 + 2 * 20  # the first ones, and the preview with the reasons
    refused = operator.get(f"{address}/refused.csv")
    rows = list(csv.DictReader(io.StringIO(refused.data.decode("utf-8-sig"))))
    assert (len(rows), rows[249]["line"], rows[249]["name"]) == (250, "251", "user249")
    assert "the sex is 'neither'" in rows[0]["reason"]


def test_an_import_goes_on_while_its_page_is_left_and_others_wait(
    operator: Visitor, admin_app: AdminApp, stack: Stack, slow_import: Callable[[], None]
) -> None:
    data = b"name,password\n" + b"".join(b"user%d,secret-password-%d\n" % (number, number) for number in range(2500))
    address = upload(operator, data).location
    page = operator.get(address).text
    assert '<meta http-equiv="refresh" content="2">' in page
    assert "The file is being checked; nothing is changed" in page
    other = admin_app.visitor(Role.OPERATOR, name="other")
    second = upload(other, b"name\nzoe\n")
    assert "another one was being checked or imported" in text_of(other.get(second.location))
    refused = other.post(f"{second.location}/check")
    assert (refused.status_code, "operator has started the same already" in text_of(refused)) == (400, True)
    assert operator.post(f"{address}/discard").status_code == 400  # it is being read
    slow_import()
    assert 'id="added">2,500<' in settled(admin_app, operator, address)
    assert other.post(f"{second.location}/check").status_code == 303
    assert 'id="added">1<' in settled(admin_app, other, second.location)
    operator.post(f"{address}/run")
    settled(admin_app, operator, address)
    assert len(stack.rows("select id from IMUser")) == 2501
    assert operator.post(f"{address}/run").status_code == 400  # not twice
    assert operator.post(f"{address}/discard").status_code == 303
    assert operator.get(address).status_code == 404


def test_an_import_can_be_stopped_and_what_was_added_stays(
    operator: Visitor, admin_app: AdminApp, stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = b"name\n" + b"".join(b"user%d\n" % number for number in range(2500))
    address = upload(operator, data).location
    settled(admin_app, operator, address)
    progress = Job.progress

    def stopping(job: Job, done: int, total: int | None = None) -> None:
        operator.post(f"{address}/stop")
        progress(job, done, total)

    monkeypatch.setattr(Job, "progress", stopping)
    operator.post(f"{address}/run")
    page = settled(admin_app, operator, address)
    assert "Stopped." in page
    assert "1,000 of 2,500 rows" in page
    names = {row["name"] for row in stack.rows("select name from IMUser where name like 'user%%'")}
    assert len(names) == 1000
    given = {row["name"] for row in csv.DictReader(io.StringIO(passwords(operator, page).data.decode("utf-8-sig")))}
    assert given == names  # everybody who was added can log in
    (entry,) = (entry for entry in admin_app.log.newest(20)[0] if entry["action"] == "users.import")
    assert (entry["details"]["added"], entry["outcome"].partition(":")[0]) == (1000, "StoppedError")


def test_a_lost_backend_ends_the_import_and_the_page_says_so(operator: Visitor, admin_app: AdminApp, stack: Stack) -> None:
    address = upload(operator, b"name\nbob\n").location
    settled(admin_app, operator, address)
    stack.mariadb.kill()
    try:
        operator.post(f"{address}/run")
        page = settled(admin_app, operator, address)
        assert "It has failed." in page
        assert "teamtalk_master" in page  # which one it was
    finally:
        stack.mariadb.start()
    assert [row["name"] for row in stack.rows("select name from IMUser")] == ["alice"]


def test_a_defect_ends_the_import_and_is_in_the_log(
    operator: Visitor, admin_app: AdminApp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(UserImport, "run", broken)
    address = upload(operator, b"name\nbob\n").location
    page = settled(admin_app, operator, address)
    assert "internal error, see the log: ZeroDivisionError" in page
    assert "A job of the web administration has failed: import" in caplog.text


def test_uploads_are_bounded(operator: Visitor, admin_app: AdminApp) -> None:
    addresses = []
    for number in range(10):
        addresses.append(upload(operator, b"name\nbob\n", f"{number}.csv").location)
        settled(admin_app, operator, addresses[-1])
    assert [one.file_name for one in admin_app.site.imports.uploads()] == [f"{number}.csv" for number in range(9, 1, -1)]
    assert operator.get(addresses[0]).status_code == 404
