"""CSV files as spreadsheets read and write them: character sets, delimiters, and cells that must not become formulas. One thread.

A spreadsheet takes a cell that begins with ``=``, ``+``, ``-``, ``@``, their full-width forms (in Chinese and Japanese), a tab or the end
of a line as a formula, which can send data away.
So such cells are written with an apostrophe before them, and cells that have apostrophes and then one of these get one more;
``without_guard`` takes one away. What was written is read back as it was, but for zero bytes, which neither spreadsheets nor Python 3.10
take: they become U+FFFD.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Callable, Iterator, Sequence
from typing import BinaryIO, TextIO

from dbproxy.admin.errors import RefusedError

LARGEST_FILE = 256 << 20
"""Bytes of a file that is read, at most."""

LONGEST_LINE = 1 << 16
"""Characters of one line, at most."""

LONGEST_CELL = 1 << 16
"""Characters of one cell, at most; lines may end within it."""

LONGEST_ROW = 1 << 20
"""Characters of the lines of one row, at most."""

DELIMITERS = {",": "comma", ";": "semicolon", "\t": "tab"}

ENCODINGS = ("utf-8", "utf-16", "gb18030")
"""What is detected. GB18030 includes GBK and GB 2312."""

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
"""How files of Excel begin, the newer ones (and those of LibreOffice) and the old ones."""

_CHUNK = 1 << 16
_FORMULA = re.compile(r"'*[=+\-@＝＋－＠\t\r\n]")
_GUARDED = re.compile(r"'+[=+\-@＝＋－＠\t\r\n]")


def csv_writer(stream: TextIO) -> Callable[[Sequence[str]], None]:
    """Return a function that writes a row to a stream opened with ``newline=""``; for Excel its encoding is ``utf-8-sig``."""
    writer = csv.writer(stream)

    def write(cells: Sequence[str]) -> None:
        writer.writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in (cell.replace("\0", "\ufffd") for cell in cells)])

    return write


def without_guard(cell: str) -> str:
    """Return a cell without the apostrophe that ``csv_writer`` has put before it."""
    return cell[1:] if _GUARDED.match(cell) else cell


class CsvFile:
    """A file of rows under a line of column names; it must be seekable.

    ``encoding`` None: detected from a byte order mark, else UTF-8 if all of the file is, else GB18030. ``delimiter`` None: the one of
    ``DELIMITERS`` that the first line has most often, or that a first line ``sep=;`` names.

    Raises:
        RefusedError: it is empty, too large, or in no character set that is known; or there is no such character set or delimiter.

    """

    def __init__(self, file: BinaryIO, encoding: str | None = None, delimiter: str | None = None) -> None:
        if delimiter is not None and delimiter not in DELIMITERS:
            raise RefusedError(f"the delimiter is {delimiter!r}; accepted are {', '.join(DELIMITERS.values())}")
        self._file = file
        size = file.seek(0, io.SEEK_END)
        if size > LARGEST_FILE:
            raise RefusedError(f"the file has {size} bytes; at most {LARGEST_FILE} are accepted")
        self._start = 0
        self.encoding = self._chosen_encoding(encoding)
        """A name of Python."""
        first = self._first_line(0)
        named = re.fullmatch(r"sep=([,;\t])", first.strip("\r\n"))
        self._skipped = 1 if named else 0
        self.delimiter = delimiter or (named[1] if named else _most_frequent(first))
        header = next(self._parsed(), None)
        if header is None:
            raise RefusedError("the file is empty; its first line has the names of the columns")
        self.columns = tuple(cell.strip() for cell in header[1])
        """What the first line says."""

    def rows(self) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the line in which a row begins, and its cells without blanks around them; empty rows are left out. One
        iteration at a time.

        Raises:
            RefusedError: the file cannot be read further; the text says in which line.

        """
        parsed = self._parsed()
        next(parsed, None)
        for line, cells in parsed:
            stripped = [cell.strip(" \t\u3000\xa0") for cell in cells]
            if any(stripped):
                yield line, stripped

    def count(self) -> int:
        """Read all of the file and return the number of rows.

        Raises:
            RefusedError: as ``rows``.

        """
        return sum(1 for _ in self.rows())

    def _parsed(self) -> Iterator[tuple[int, list[str]]]:
        length = 0

        def bounded_lines() -> Iterator[str]:
            nonlocal length
            for text in self._lines(self._skipped):
                length += len(text)
                if length > LONGEST_ROW:
                    raise RefusedError(
                        f"the row that begins in line {line} has more than {LONGEST_ROW} characters; is a quotation mark not closed?"
                    )
                yield text

        reader = csv.reader(bounded_lines(), delimiter=self.delimiter, strict=True)
        while True:
            line, length = self._skipped + reader.line_num + 1, 0
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise RefusedError(f"the row that begins in line {line} cannot be read: {error}") from None
            if any(len(cell) > LONGEST_CELL for cell in cells):
                raise RefusedError(f"a cell of line {line} has more than {LONGEST_CELL} characters; is a quotation mark not closed?")
            yield line, cells

    def _lines(self, skipped: int) -> Iterator[str]:
        """Yield the lines, each with a line feed at its end, whatever ends them in the file."""
        self._file.seek(self._start)
        decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(self.encoding)("strict"), translate=True)
        rest, number = "", 0
        while True:
            data = self._file.read(_CHUNK)
            try:
                *lines, rest = (rest + decoder.decode(data, final=not data)).split("\n")
            except UnicodeDecodeError as error:
                before = error.object[: error.start].decode(self.encoding, "replace").replace("\r\n", "\n").replace("\r", "\n")
                lines_before = before.count("\n")
                raise RefusedError(f"the file is not in {self.encoding}: look at line {number + 1 + lines_before}") from None
            if not data and rest:
                lines.append(rest)
            for line in (*lines, rest):
                if len(line) > LONGEST_LINE:
                    raise RefusedError(f"line {number + 1} has more than {LONGEST_LINE} characters")
            for line in lines:
                number += 1
                if number > skipped:
                    yield f"{line}\n"
            if not data:
                return

    def _first_line(self, skipped: int) -> str:
        return next(self._lines(skipped), "")

    def _chosen_encoding(self, wanted: str | None) -> str:
        self._file.seek(0)
        beginning = self._file.read(4)
        if beginning in _WORKBOOKS:
            raise RefusedError("the file is a workbook of a spreadsheet program; save it as CSV there")
        named = None if wanted is None else _encoding_named(wanted)
        for mark, encoding in _BOMS:
            if beginning.startswith(mark):
                self._start = len(mark)
                return encoding
        return named or ("utf-8" if self._is_utf8() else "gb18030")

    def _is_utf8(self) -> bool:
        self._file.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")("strict")
        try:
            while data := self._file.read(_CHUNK):
                decoder.decode(data)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
        return True


def _encoding_named(text: str) -> str:
    try:
        io.TextIOWrapper(io.BytesIO(), text)  # of what Python calls encodings, some give no text
        return codecs.lookup(text).name
    except (LookupError, ValueError):
        raise RefusedError(f"the character set is {text!r}; accepted are {', '.join(ENCODINGS)}, and others that Python has") from None


def _most_frequent(line: str) -> str:
    outside_of_quotes = re.sub(r'"[^"]*"', "", line)
    return max(DELIMITERS, key=outside_of_quotes.count)
