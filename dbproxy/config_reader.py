"""Takes the values of known keys out of what was written, and collects every mistake on the way. The thread that reads a configuration."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from dbproxy.config_keys import CLUSTER_DB, FILE_SUFFIX, OPTIONAL_KEYS, REMOVED_KEYS, TLS_KEYS, Key
from dbproxy.config_rules import Refused
from dbproxy.config_source import COMMAND_LINE, Entries, Entry, read_secret

# A lower bound above its upper bound, or a lock wait that outlasts the wait for its statement, makes no sense.
_NOT_ABOVE = (("MaxSendBuffer", "MaxSendBufferTotal"),)
_BELOW = (("DBLockTimeout", "DBTimeout"),)

_TOGETHER = ("_sentinels", "_service")
"""Ends of keys of an instance that need each other."""


def names_by_former_name() -> dict[str, str]:
    """Return former name → name of the optional keys that were called otherwise."""
    return {key.former_name: key.name for key in OPTIONAL_KEYS if key.former_name}


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return the end of a sentence about an unknown key: the known one that looks like it, if there is one."""
    by_lower = {key.lower(): key for key in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.75)
    return f"; did you mean {by_lower[near[0]]}?" if near else ""


class _FoundProblem(Exception):  # noqa: N818 - no error of this package: it ends the reading of one key
    """The key has no value that can be used, and ``problems`` says why."""


class Reader:
    """Takes the values of known keys and collects the problems on the way."""

    def __init__(self, entries: Entries, source: str, environ: Mapping[str, str]) -> None:
        self.problems: list[str] = []
        self.former_keys: list[str] = []
        self._entries = entries
        self._source = source
        self._environ = environ
        self._known: dict[str, None] = {}
        self._used: set[str] = set()

    def take(self, keys: Iterable[Key], prefix: str = "") -> dict[str, Any]:
        """Return field → value for those of ``keys`` that are in order; the others become problems."""
        values: dict[str, Any] = {}
        before = len(self.problems)
        for key in keys:
            # a key that takes the place of this one and has no value that can be used is a problem already, this one is not missing then
            if key.replaced_by and (values.get(key.replaced_by) or (key.replaced_by not in values and len(self.problems) > before)):
                self._refuse_replaced(prefix + key.name, key.replaced_by, prefix)
            else:
                in_cluster = key.field == "db" and values.get("cluster")
                self._take_one(CLUSTER_DB if in_cluster else key, prefix + key.name, values)
        return values

    def _refuse_replaced(self, name: str, by: str, prefix: str) -> None:
        """Complain about a key whose place another one has taken."""
        self._known[name] = None
        entry = self._entries.get(name)
        if entry is not None:
            self._used.add(name)
            self._complain(entry, f"{name}: {prefix}_{by} is given too; only one of the two can be")

    def _take_one(self, key: Key, name: str, values: dict[str, Any]) -> None:
        self._known |= dict.fromkeys([name, name + FILE_SUFFIX] if key.secret else [name])
        if name not in self._entries and key.former_name in self._entries:
            name = key.former_name
            self.former_keys.append(name)
        entry, value = self._entries.get(name), ""
        try:
            if key.secret and (holder := self._entries.get(name + FILE_SUFFIX)) is not None:
                value = self._secret(name, holder, entry)
                entry = holder
            elif entry is not None:
                self._used.add(name)
                value = self._expanded(name, entry)
        except _FoundProblem:
            return
        # A variable or a file that is empty gives no value, as an empty line of the file does.
        if entry is not None and value:
            self._parse(key, name, entry, value, values)
        elif key.default is not None:
            values[key.field] = key.rule.parse(key.default)
        elif (where := entry or self._entries.without_value(name)) is not None:
            self._complain(where, f"{name} has no value: expected {key.rule.accepts}")
        else:
            self.problems.append(f"{self._source}: {name} is missing: expected {key.rule.accepts}")

    def _parse(self, key: Key, name: str, entry: Entry, value: str, values: dict[str, Any]) -> None:
        try:
            value.encode()
            values[key.field] = key.rule.parse(value)
        except UnicodeEncodeError:
            self._complain(entry, f"{name}: the value is not UTF-8")
        except ValueError as error:
            # Only our own remarks are fit to be shown: the texts of other errors repeat the value.
            remark = str(error) if isinstance(error, Refused) else ""
            if entry.has_reference:
                remark = f"{remark}; the value is from the environment".removeprefix("; ")
            self._complain(entry, key.complaint(name, entry.value, remark))

    def _expanded(self, name: str, entry: Entry) -> str:
        """Return the entry's value with variables of the environment; ``_FoundProblem`` after a complaint when one is not set."""
        try:
            return entry.expanded(self._environ)
        except Refused as error:
            self._complain(entry, f"{name}: {error}")
            raise _FoundProblem from None

    def _secret(self, name: str, entry: Entry, direct: Entry | None) -> str:
        """Return what is in the file that ``NAME_file`` (``entry``) names; ``direct`` is what stands behind ``NAME`` itself."""
        file_key = name + FILE_SUFFIX
        self._used |= {name, file_key}
        if direct is not None:
            self._complain(entry, f"{file_key}: {name} is given too, at {direct.where}; only one of the two can be")
            raise _FoundProblem
        path = self._expanded(file_key, entry)
        if not path:
            return ""
        try:
            return read_secret(path)
        except Refused as error:
            self._complain(entry, f"{file_key}={entry.value[:300]}: expected the path of a file with the value of {name} ({error})")
            raise _FoundProblem from None

    def _complain(self, entry: Entry, sentence: str) -> None:
        self.problems.append(f"{entry.where}: {sentence}")

    def refuse_unknown(self, overrides: Iterable[str]) -> None:
        """Complain about every key of ``overrides`` that nobody took: unlike old files, a command line has no keys of other programs."""
        former = names_by_former_name()
        for name in overrides:
            if name in self._used or name in self._known:
                continue
            shown = name.encode("utf-8", "backslashreplace").decode()[:100]
            if name in former:
                self.problems.append(f"{COMMAND_LINE}: {shown} is called {former[name]} now")
            elif name in REMOVED_KEYS:
                self.problems.append(f"{COMMAND_LINE}: {shown} has no effect any more: {REMOVED_KEYS[name]}")
            else:
                self.problems.append(f"{COMMAND_LINE}: unknown key {shown}" + did_you_mean(shown, self._known))

    def take_instances(
        self, names_key: Key, required: Iterable[str], keys: tuple[Key, ...], kind: type[Any], tls_kind: type[Any]
    ) -> Mapping[str, Any]:
        """Return name → ``kind`` for the instances that ``names_key`` lists; their ``tls`` is a ``tls_kind``, or None for plain text."""
        names: tuple[str, ...] = self.take([names_key]).get(names_key.field, ())
        entry = self._entries.get(names_key.name)
        if names and entry is not None:
            lacking = [name for name in required if name not in names]
            if lacking:
                self._complain(entry, f"{names_key.name}={entry.value}: {', '.join(lacking)} must be in the list")
        instances: dict[str, Any] = {}
        for name in names:
            before = len(self.problems)
            self._check_together(name, _TOGETHER)
            values = self.take(keys, prefix=name)
            tls = self._take_tls(name, tls_kind)
            if len(self.problems) == before:
                instances[name] = kind(name=name, tls=tls, **values)
        return MappingProxyType(instances)

    def _check_together(self, name: str, ends: tuple[str, ...]) -> None:
        """Complain about an instance that has some of the keys that end like ``ends``, but not all of them."""
        given = [name + end for end in ends if name + end in self._entries]
        missing = [name + end for end in ends if name + end not in self._entries]
        entry = self._entries.get(given[0]) if given and missing else None
        if entry is not None:
            self._complain(entry, f"{given[0]}: needs {' and '.join(missing)}, too")

    def _take_tls(self, name: str, kind: type[Any]) -> object:
        values = self.take(TLS_KEYS, prefix=name)
        key = self._entries.get(f"{name}_ssl_key")
        if key is not None and values.get("key") and not values.get("cert"):
            self._complain(key, f"{name}_ssl_key: needs {name}_ssl_cert")
        # Who names a certificate wants TLS, unless the switch says otherwise.
        wanted = values.pop("on", False) or (f"{name}_ssl" not in self._entries and any(values.get(pem) for pem in ("ca", "cert", "key")))
        if not wanted or len(values) != len(TLS_KEYS) - 1:
            return None
        return kind(**values)

    def check_pairs(self, values: Mapping[str, Any]) -> None:
        """Compare keys that limit each other."""
        fields = {key.name: key.field for key in OPTIONAL_KEYS}
        for pairs, relation in ((_NOT_ABOVE, "at most"), (_BELOW, "below")):
            for low, high in pairs:
                first, second = values.get(fields[low]), values.get(fields[high])
                if first is None or second is None or first < second or (first == second and relation == "at most"):
                    continue
                self.problems.append(f"{self._source}: {low}={first:.12g}: must be {relation} {high} ({second:.12g})")

    def unused(self) -> tuple[str, ...]:
        """Return the keys that nobody took, in the file's order."""
        names = (name for name in self._entries if name not in self._used)
        # They will be printed, which bytes that are no UTF-8 would not survive.
        return tuple(name.encode("utf-8", "backslashreplace").decode() for name in names)
