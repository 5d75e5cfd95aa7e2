"""What dbproxy-init puts into a configuration: the settings, where their values come from, and the text with the values in it.

Each setting has an option; the address and user of MySQL and the address of Redis have an environment variable too, and are asked for on a
terminal. Passwords come from variables or are asked for, and never stand in a configuration: they are in files of their own, which may hold
any character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dbproxy.config import parse_config
from dbproxy.config_keys import CACHE_INSTANCE_KEYS, DB_INSTANCE_KEYS, FILE_SUFFIX, REQUIRED_KEYS, Key
from dbproxy.errors import DbproxyError


class SettingError(DbproxyError):
    """A value that cannot be written; the text names the option or variable, the value, and what is accepted."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One value of the configuration: ``key`` of the server itself, or of every instance of a kind (then it begins with ``_``)."""

    option: str
    key: Key
    kind: str
    """``server``, ``mysql`` or ``redis``."""
    help: str
    variable: str = ""
    question: str = ""

    @property
    def attribute(self) -> str:
        """The attribute of parsed options."""
        return self.option.removeprefix("--").replace("-", "_")


@dataclass(frozen=True, slots=True)
class Password:
    """A password, or the key of the installation: it is written into ``file`` (empty: never), unless its option names another file."""

    option: str
    key: str
    kind: str
    help: str
    variable: str = ""
    question: str = ""
    file: str = ""

    @property
    def attribute(self) -> str:
        """The attribute of parsed options."""
        return self.option.removeprefix("--").replace("-", "_")


def _key(keys: tuple[Key, ...], name: str) -> Key:
    return next(key for key in keys if key.name == name)


SETTINGS = (
    Setting("--listen-ip", _key(REQUIRED_KEYS, "ListenIP"), "server", "addresses to listen on"),
    Setting("--listen-port", _key(REQUIRED_KEYS, "ListenPort"), "server", "port to listen on"),
    Setting("--file-server", _key(REQUIRED_KEYS, "MsfsSite"), "server", "file server for sounds"),
    Setting("--mysql-host", _key(DB_INSTANCE_KEYS, "_host"), "mysql", "host of MySQL", "DBPROXY_MYSQL_HOST", "MySQL host"),
    Setting("--mysql-port", _key(DB_INSTANCE_KEYS, "_port"), "mysql", "its port", "DBPROXY_MYSQL_PORT", "MySQL port"),
    Setting(
        "--mysql-database", _key(DB_INSTANCE_KEYS, "_dbname"), "mysql", "name of the database", "DBPROXY_MYSQL_DATABASE", "MySQL database"
    ),
    Setting("--mysql-user", _key(DB_INSTANCE_KEYS, "_username"), "mysql", "account of the proxy", "DBPROXY_MYSQL_USER", "MySQL user"),
    Setting("--redis-host", _key(CACHE_INSTANCE_KEYS, "_host"), "redis", "host of Redis", "DBPROXY_REDIS_HOST", "Redis host"),
    Setting("--redis-port", _key(CACHE_INSTANCE_KEYS, "_port"), "redis", "its port", "DBPROXY_REDIS_PORT", "Redis port"),
)
"""In the order of their questions."""

PASSWORDS = (
    Password(
        "--mysql-password-file",
        "_password",
        "mysql",
        "file with the password of MySQL; without it: the variable DBPROXY_MYSQL_PASSWORD, or a question",
        variable="DBPROXY_MYSQL_PASSWORD",
        question="MySQL password",
        file="mysql_password",
    ),
    Password(
        "--redis-password-file",
        "_password",
        "redis",
        "file with the password of Redis; without it: the variable DBPROXY_REDIS_PASSWORD, or a question",
        variable="DBPROXY_REDIS_PASSWORD",
        question="Redis password (empty: none)",
        file="redis_password",
    ),
    Password("--aes-key-file", "aesKey", "server", "file with the aesKey of the installation; without it: that of a stock TeamTalk"),
)


def check_value(setting: Setting, value: str, source: str) -> str:
    """Return ``value`` if it can stand in a configuration; ``${NAME}`` in it is kept for the proxy, which has the variable.

    Raises:
        SettingError: names ``source``, the option or variable that it came from.

    """
    value = value.strip()
    writable = value and "#" not in value and value.isprintable()
    if not writable or ("${" not in value and not _accepts(setting.key, value)):
        raise SettingError(f"{source}={value[:100]}: expected {setting.key.rule.accepts}")
    return value


def _accepts(key: Key, value: str) -> bool:
    try:
        key.rule.parse(value)
    except ValueError:
        return False
    return True


def ask(setting: Setting, default: str, read: Callable[[str], str], complain: Callable[[str], object]) -> str:
    """Ask until the answer is accepted and return it; ``default`` for an empty one. ``read`` shows a prompt and returns a line."""
    while True:
        answer = read(f"{setting.question} [{default}]: ").strip() or default
        try:
            return check_value(setting, answer, setting.question)
        except SettingError as error:
            complain(str(error))


class ConfigText:
    """The shipped configuration, in which values are replaced while every comment stays."""

    def __init__(self, shipped: str) -> None:
        self.text = shipped
        config = parse_config(shipped)
        self._instances = {"server": [""], "mysql": list(config.db_instances), "redis": list(config.cache_instances)}

    def value(self, setting: Setting) -> str:
        """Return the value that stands there (of the first instance of its kind)."""
        name = self._instances[setting.kind][0] + setting.key.name
        found = re.search(rf"^{re.escape(name)}=(.*)$", self.text, re.MULTILINE)
        if found is None:
            raise LookupError(name)
        return found[1]

    def set(self, setting: Setting, value: str) -> None:
        """Put ``value`` in, for every instance of its kind."""
        for instance in self._instances[setting.kind]:
            self._replace(instance + setting.key.name, f"{instance}{setting.key.name}={value}")

    def set_password(self, password: Password, path: Path | None) -> None:
        """Have the value read from ``path``; None: there is no password. For the key of the installation None changes nothing."""
        if path is None and not password.key.startswith("_"):
            return
        for instance in self._instances[password.kind]:
            name = instance + password.key
            line = "" if path is None else f"{name}{FILE_SUFFIX}={path}"
            if not self._replace(name, line or f"#{name}{FILE_SUFFIX}=") and line:
                # The shipped file has no passwords of Redis: they come after the number of the database.
                self._replace(f"{instance}_db", rf"\g<0>\n{line}", keep=True)

    def _replace(self, name: str, line: str, *, keep: bool = False) -> bool:
        replacement: str | Callable[[re.Match[str]], str] = line if keep else lambda _: line
        self.text, count = re.subn(rf"^{re.escape(name)}=.*$", replacement, self.text, count=1, flags=re.MULTILINE)
        return count > 0


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """Return attribute → value of the settings whose variable is set and not empty."""
    return {setting.attribute: environ[setting.variable] for setting in SETTINGS if setting.variable and environ.get(setting.variable)}
