"""Where values of the configuration come from: lines of the file, ``--set``, environment variables, and files with one secret each.

Nothing here knows what a key means. Values are kept as they were written until they are asked for, because only a value as written is fit
to be shown in an error: what the environment put into it may be a password. Any thread may call it; ``read_secret`` reads a file.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from dbproxy.config_keys import FILE_SUFFIX
from dbproxy.config_rules import Refused

COMMAND_LINE = "--set"
"""Stands in errors where the name of the file and the line stand otherwise."""

MAX_SECRET_LENGTH = 4096
"""Bytes that the file of a secret may have, its line end included."""

# "$${" stands for "${"; what begins with "${" and is not complete matches with an empty name.
_REFERENCE = re.compile(r"\$(?P<literal>\$\{)|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^}]*))?\})?")


@dataclass(frozen=True, slots=True)
class Entry:
    """One key as it was written: ``where`` is ``file:line`` or ``--set``; an empty ``value`` means that the key has none."""

    where: str
    value: str

    @property
    def has_reference(self) -> bool:
        """Whether a part of the value comes from the environment."""
        return "${" in self.value

    def expanded(self, environ: Mapping[str, str]) -> str:
        """Return the value with ``${NAME}`` and ``${NAME:-default}`` replaced by variables of ``environ``.

        The default counts when the variable is not set or empty. ``$${`` stands for ``${``; any other ``$`` is an ordinary character.

        Raises:
            Refused: a variable without default that is not set (its name is in the text), or ``${`` without a name and ``}``.

        """

        def replace(match: re.Match[str]) -> str:
            name, default = match["name"], match["default"]
            if match["literal"]:
                return "${"
            if name is None:
                raise Refused("expected ${NAME} or ${NAME:-default} where ${ begins; $${ stands for the characters ${")
            if default is not None:
                return environ.get(name) or default
            if name not in environ:
                raise Refused(f"the environment variable {name} is not set; ${{{name}:-default}} would have a default")
            return environ[name]

        return _REFERENCE.sub(replace, self.value)


class Entries:
    """The keys of a file, in its order, and then those of ``overrides`` (from the command line), which replace them.

    Of equal keys in the file the first one that has a value counts. An override that is empty takes a key away. ``KEY`` replaces
    ``KEY_file`` too and the other way round, because both give the same value.
    """

    def __init__(self, text: str, source: str, overrides: Mapping[str, str]) -> None:
        self._entries: dict[str, Entry] = {}
        self._empty: dict[str, Entry] = {}
        for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), start=1):
            name, equals, value = line.partition("#")[0].partition("=")
            name, value = name.strip(), value.strip()
            if equals and name:
                (self._entries if value else self._empty).setdefault(name, Entry(f"{source}:{number}", value))
        for name, value in overrides.items():
            twin = name.removesuffix(FILE_SUFFIX) if name.endswith(FILE_SUFFIX) else name + FILE_SUFFIX
            for other in (name, twin) if value else (name,):
                self._entries.pop(other, None)
        for name, value in overrides.items():
            (self._entries if value else self._empty)[name] = Entry(COMMAND_LINE, value)

    def __contains__(self, name: str) -> bool:
        """Whether the key has a value."""
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """Yield the names of all keys that have a value."""
        return iter(self._entries)

    def get(self, name: str) -> Entry | None:
        """Return the key's entry; None when it has no value."""
        return self._entries.get(name)

    def without_value(self, name: str) -> Entry | None:
        """Return where the key stands without a value, if it does."""
        return self._empty.get(name)


def read_secret(path: str) -> str:
    """Return the text of the file at ``path`` without one line end at its end.

    Raises:
        Refused: it cannot be read, is no regular file (which could wait for a writer), is too long or is not UTF-8.

    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            raw = _read(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror}") from None
    except ValueError as error:  # a path with a NUL in it
        raise error if isinstance(error, Refused) else Refused("it is no path") from None
    if len(raw) > MAX_SECRET_LENGTH:
        raise Refused(f"it has more than {MAX_SECRET_LENGTH} bytes")
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("it is not UTF-8") from None
    return text.removesuffix("\n").removesuffix("\r")


def _read(descriptor: int) -> bytes:
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise Refused("it is not a regular file")
    raw = b""
    while len(raw) <= MAX_SECRET_LENGTH and (part := os.read(descriptor, MAX_SECRET_LENGTH + 1)):
        raw += part
    return raw
