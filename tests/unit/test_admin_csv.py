"""CSV files for dbproxy-admin: what spreadsheets write is read, what they would take as a formula is written as text."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from dbproxy.admin.errors import RefusedError
from dbproxy.admin.people import csv_file
from dbproxy.admin.people.csv_file import CsvFile, csv_writer, without_guard
from dbproxy.admin.people.import_columns import check_active, fields_of, sex_of
from dbproxy.admin.people.password_file import PasswordFile
from dbproxy.errors import OutcomeUnknownError, StoreUnavailableError

TEXT = "用户名,昵称\r\n小明,明明\r\n"
ROWS = [(2, ["小明", "明明"])]


def read(data: bytes, **how: str) -> tuple[CsvFile, list[tuple[int, list[str]]]]:
    file = CsvFile(io.BytesIO(data), **how)
    return file, list(file.rows())


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (TEXT.encode(), "utf-8"),
        (TEXT.encode("utf-8-sig"), "utf-8"),
        (codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"), "utf-16-le"),
        (codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), "utf-16-be"),
        (TEXT.encode("gbk"), "gb18030"),
        (TEXT.replace("\r\n", "\n").encode("gb18030"), "gb18030"),
        (TEXT.replace("\r\n", "\r").encode(), "utf-8"),
    ],
)
def test_character_sets_and_line_ends_are_detected(data: bytes, encoding: str) -> None:
    file, rows = read(data)
    assert (file.encoding, file.columns, rows) == (encoding, ("用户名", "昵称"), ROWS)


@pytest.mark.parametrize("encoding", ["gb18030", "utf-8", "utf-16-le"])
def test_the_line_that_is_in_another_character_set_is_named(encoding: str) -> None:
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else codecs.BOM_UTF8 if encoding == "utf-8" else b""
    text = "name,nick\r\n" + "明,x\r\n" * 30_000
    bad = b"\x00\xdc" if encoding == "utf-16-le" else b"\xff"
    with pytest.raises(RefusedError, match=f"not in {encoding}: look at line 30002$"):
        read(mark + text.encode(encoding) + bad + "\r\n".encode(encoding))


@pytest.mark.parametrize("beginning", [b"PK\x03\x04", b"\xd0\xcf\x11\xe0"])
def test_a_workbook_is_no_csv_file(beginning: bytes) -> None:
    with pytest.raises(RefusedError, match="save it as CSV"):
        read(beginning + b"a,b\n")


def test_a_character_set_that_there_is_not_is_refused_whatever_the_file_is() -> None:
    with pytest.raises(RefusedError, match="the character set is 'nope'"):
        read(codecs.BOM_UTF8 + b"name\nalice\n", encoding="nope")


def test_a_file_is_gbk_though_only_its_end_shows_it() -> None:
    rows = "".join(f"u{number},x\n" for number in range(50_000))
    file = CsvFile(io.BytesIO(("name,nick\n" + rows + "last,明明\n").encode("gbk")))
    assert file.encoding == "gb18030"
    assert list(file.rows())[-1] == (50_002, ["last", "明明"])


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_delimiters_are_detected(delimiter: str) -> None:
    data = f'name{delimiter}"nick,;\t,,,"\nalice{delimiter}"a{delimiter}b"\n'.encode()
    file, rows = read(data)
    assert (file.delimiter, rows) == (delimiter, [(2, ["alice", f"a{delimiter}b"])])


def test_the_line_in_which_excel_names_the_delimiter() -> None:
    file, rows = read(b"sep=;\nname;nick\nalice;x,y,z\n")
    assert (file.columns, rows) == (("name", "nick"), [(3, ["alice", "x,y,z"])])


def test_lines_are_counted_as_an_editor_does() -> None:
    _, rows = read(b'name,sign\na,"two\nlines"\n\n,\nb,x\n')
    assert rows == [(2, ["a", "two\nlines"]), (6, ["b", "x"])]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "is empty"),
        (b'name\n"open\nx\n', "begins in line 2 cannot be read"),
        (b'name\n"a"b\n', "begins in line 2 cannot be read"),
        (b"name\nx\n" + b"\xff\xff\n", "is not in gb18030"),
        (b"name\n" + b"x" * 70_000, "line 2 has more than 65536 characters"),
        (b'name\n"' + b"x\n" * 40_000 + b'"', "more than 65536 characters; is a quotation mark"),
        (b'name\n"' + b'x\n","' * 500_000, "begins in line 2 has more than 1048576 characters; is a quotation mark"),
        (b'"' + b'x\n","' * 500_000, "begins in line 1 has more than 1048576 characters; is a quotation mark"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_place(data: bytes, said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        read(data)


def test_large_files_and_unknown_character_sets_and_delimiters_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RefusedError, match="the character set is 'klingon'"):
        read(b"name\nx\n", encoding="klingon")
    for no_charset in ("rot13", "hex", "zlib", "base64", "a\0b", "x" * 10_000):
        with pytest.raises(RefusedError, match="the character set is "):
            read(b"name\nx\n", encoding=no_charset)
    with pytest.raises(RefusedError, match="the delimiter is 'x'; accepted are comma, semicolon, tab"):
        read(b"name\nx\n", delimiter="x")
    monkeypatch.setattr(csv_file, "LARGEST_FILE", 5)
    with pytest.raises(RefusedError, match="at most 5 are accepted"):
        read(b"name\nx\n")


HOSTILE = ["=1+1", "+86", "-1", "@x", "\tx", "'=x", "''=x", "'quoted'", "=", "", "a=b", '"', "x,y", "小明", "😀", "'"]
HOSTILE += ["＝1+1", "＋1", "－1", "＠x", "\n=1", "'＝1"]


def test_formulas_are_written_as_text_and_read_back_as_they_were() -> None:
    stream = io.StringIO(newline="")
    csv_writer(stream)(HOSTILE)
    written = next(csv.reader(io.StringIO(stream.getvalue(), newline="")))
    assert [cell for cell in written if cell[:1] in tuple("=+-@＝＋－＠\t\r\n") and cell] == []
    assert [without_guard(cell) for cell in written] == HOSTILE


def test_columns_are_found_by_english_and_chinese_names() -> None:
    fields, ignored = fields_of(("登录名", "Nick Name", "部门", "E-Mail", "手机号", "性别", "sign_info", "初始密码", "备注", "id"))
    assert fields == ("name", "nick", "department", "email", "phone", "sex", "sign_info", "password", None, None)
    assert ignored == ("备注", "id")


@pytest.mark.parametrize(
    ("columns", "said"), [(("nick", "email"), "no column of login names"), (("name", "用户名"), "'name' and '用户名' are both the name")]
)
def test_columns_that_are_missing_or_there_twice(columns: tuple[str, ...], said: str) -> None:
    with pytest.raises(RefusedError, match=said):
        fields_of(columns)


def test_what_cells_of_sex_and_status_mean() -> None:
    assert [sex_of(text) for text in ("", "女", "F", "0", "2", "男", "Male", "1")] == [0, 0, 0, 0, 0, 1, 1, 1]
    for accepted in ("", "active", "在职", "0"):
        check_active(accepted)
    calls: list[Callable[[], object]] = [lambda: sex_of("3"), lambda: check_active("disabled"), lambda: check_active("离职")]
    for call in calls:
        with pytest.raises(RefusedError, match=r"the (sex|status) is"):
            call()


def test_passwords_of_a_batch_that_was_not_added_are_taken_out_again(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"

    def fail() -> None:
        with PasswordFile(path) as file:
            file.write([("a", "1"), ("b", "2")])
            file.write([("a", "1")])  # after a deadlock
            file.keep()
            file.write([("c", "3")])
            raise StoreUnavailableError("lost")

    with pytest.raises(StoreUnavailableError):
        fail()
    assert path.read_text(encoding="utf-8-sig").split() == ["name,password", "a,1"]
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(RefusedError, match="exists already"), PasswordFile(path):
        pass


def test_passwords_of_users_who_may_have_been_added_are_kept(tmp_path: Path) -> None:
    def fail(path: Path, error: BaseException) -> None:
        with PasswordFile(path) as file:
            file.write([("a", "1")])
            raise error

    for number, error in enumerate((OutcomeUnknownError("lost"), KeyboardInterrupt())):
        path = tmp_path / f"passwords{number}.csv"
        with pytest.raises(type(error)):
            fail(path, error)
        assert path.read_text(encoding="utf-8-sig").split() == ["name,password", "a,1"]


def test_a_file_without_passwords_is_removed(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    with PasswordFile(path):
        assert path.exists()
    assert not path.exists()


def test_names_in_a_file_of_passwords_are_no_formulas(tmp_path: Path) -> None:
    path = tmp_path / "passwords.csv"
    with PasswordFile(path) as file:
        file.write([("=1+1", "secret"), ("-a", "secret")])
        file.keep()
    assert path.read_text(encoding="utf-8-sig").split() == ["name,password", "'=1+1,secret", "'-a,secret"]
