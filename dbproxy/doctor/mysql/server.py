"""Version, settings and clock of one MySQL server, as far as the proxy depends on them."""

from __future__ import annotations

import re

from dbproxy.config import Config
from dbproxy.doctor.finding import Level, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.mysql.session import RefusedError, Session, text
from dbproxy.stores.mysql import promises
from dbproxy.stores.mysql.schema import ContentLimits
from dbproxy.stores.mysql.server_connection_id import idle_timeout

OLDEST = {"MySQL": (5, 7), "MariaDB": (10, 3)}
"""Older ones are not known to work: what conf/schema.sql and the statements need begins here."""

BATCH_PACKET = 1 << 20
"""Bytes of max_allowed_packet that a batch of messages may take: 256 KiB of bodies, all escaped, and the rest of the statement."""

SMALLEST_PACKET = 64 * 1024
"""Bytes without which even single messages of the stock length, 4096 characters, do not pass."""

_PRIVILEGES_TO_WRITE = ("SUPER", "READ ONLY ADMIN", "READ_ONLY ADMIN", "CONNECTION_ADMIN", "ALL PRIVILEGES")


def check_version(session: Session, subject: Subject, seconds: float) -> str:
    """Report the version; returns ``MySQL`` or ``MariaDB``. ``seconds``: how long a login took."""
    product = "MariaDB" if session.connection.is_mariadb else "MySQL"
    version = session.server.version
    found = re.match(r"(\d+)\.(\d+)", version)
    encrypted = ", encrypted" if session.status.get("ssl_cipher") else ""
    oldest = OLDEST[product]
    if found is None or (int(found[1]), int(found[2])) >= oldest:
        subject.ok(Kind.VERSION, f"{session.server.engine} {version}, logged in within {seconds * 1000:.0f} ms{encrypted}")
    else:
        wanted = f"{product} {oldest[0]}.{oldest[1]}"
        subject.error(Kind.VERSION, f"{product} {version} is older than {wanted}", f"upgrade the server to {wanted} or newer")
    return product


def check_session(session: Session, subject: Subject, config: Config) -> None:
    """Check that the settings that each connection asks for have arrived, and the isolation of its transactions."""
    mode, lock_wait, idle = session.values("@@session.sql_mode,@@session.innodb_lock_wait_timeout,@@session.wait_timeout")
    wanted = (str(max(1, round(config.db_lock_timeout))), str(idle_timeout(config)))
    if "STRICT_TRANS_TABLES" in mode and (lock_wait, idle) == wanted:
        subject.ok(
            Kind.SESSION_SETTINGS,
            f"sql_mode is strict, innodb_lock_wait_timeout {lock_wait} s, wait_timeout {idle} s, set for each session",
        )
    else:
        subject.error(
            Kind.SESSION_SETTINGS,
            f"the session has sql_mode '{mode}', innodb_lock_wait_timeout {lock_wait} and wait_timeout {idle} instead of "
            "STRICT_TRANS_TABLES, "
            f"{wanted[0]} and {wanted[1]}, which were set at the login",
            "something between (ProxySQL, MaxScale) does not pass them on, or shares sessions: connect to the server itself",
        )
    name = next((name for name in ("transaction_isolation", "tx_isolation") if name in session.variables), "")
    if not name:
        return
    (isolation,) = session.values(f"@@session.{name}")
    _check_isolation(session, subject, isolation)


def _check_isolation(session: Session, subject: Subject, isolation: str) -> None:
    if isolation in ("SERIALIZABLE", "READ-UNCOMMITTED"):
        why = "every read locks rows, and messages wait for each other" if isolation == "SERIALIZABLE" else "lists show what is rolled back"
        subject.warning(
            Kind.ISOLATION,
            f"transaction isolation is {isolation}: {why}",
            "SET GLOBAL transaction_isolation (MariaDB before 11.1: tx_isolation) to REPEATABLE-READ",
        )
    else:
        subject.ok(Kind.ISOLATION, f"transaction isolation {isolation}")
    if isolation.startswith("READ-") and session.is_on("log_bin") and session.variables.get("binlog_format", "").upper() == "STATEMENT":
        subject.error(
            Kind.BINARY_LOG_FORMAT,
            f"binlog_format is STATEMENT and the transaction isolation {isolation}: InnoDB refuses every write (error 1665)",
            "SET GLOBAL binlog_format='ROW', or the isolation to REPEATABLE-READ",
        )


def check_packet(session: Session, subject: Subject, config: Config, limits: ContentLimits | None) -> None:
    """Compare max_allowed_packet with the statements that the proxy sends."""
    packet = session.number("max_allowed_packet") or 0
    longest = 0 if limits is None else min(8 * max(limits.message, limits.group_message), 2 * config.max_pdu_length) + 4096
    remedy = "SET GLOBAL max_allowed_packet=16777216, and the same in the server's configuration; it counts for new connections"
    if packet < SMALLEST_PACKET:
        subject.error(Kind.PACKET, f"max_allowed_packet is {packet} bytes: longer messages are refused (msg_id 0), and lists fail", remedy)
    elif packet < BATCH_PACKET:
        subject.warning(
            Kind.PACKET,
            f"max_allowed_packet is {packet} bytes: batches of messages are refused and then stored one by one, which is slow",
            remedy,
        )
    elif packet < longest:
        subject.info(
            Kind.PACKET,
            f"max_allowed_packet is {packet} bytes; the column content and MaxPduLength allow messages that may need {longest}",
            "raise it if such messages are sent: a message that does not pass is refused with msg_id 0",
        )
    else:
        subject.ok(Kind.PACKET, f"max_allowed_packet is {packet} bytes")


def check_time_limits(session: Session, subject: Subject, config: Config) -> None:
    """Look for limits of the server that end what the proxy would wait for."""
    limits = {
        "max_statement_time": float(session.variables.get("max_statement_time") or 0),
        "max_execution_time": (session.number("max_execution_time") or 0) / 1000,
    }
    for name, seconds in limits.items():
        if 0 < seconds < config.db_timeout:
            subject.warning(
                Kind.STATEMENT_TIME,
                f"{name} ends statements after {seconds:g} s, before DBTimeout ({config.db_timeout:g} s) does: long lists and lock waits "
                "fail",
                f"set {name} to 0 for this account, or above DBTimeout",
            )
    for name in ("idle_transaction_timeout", "idle_write_transaction_timeout"):
        seconds = float(session.number(name) or 0)
        if 0 < seconds < idle_timeout(config):
            subject.warning(
                Kind.STATEMENT_TIME,
                f"{name} is {seconds:g} s: a transaction that waits for a slow Redis is ended before the limits of the proxy "
                f"({idle_timeout(config)} s) are over, and its messages are refused",
                f"SET GLOBAL {name}=0, or at least {idle_timeout(config)}",
            )


def check_durability(session: Session, subject: Subject) -> None:
    """Say what an acknowledged message is worth when the server's machine crashes."""
    limitations = list(promises.durability(session.server))
    for limitation in limitations:
        name = limitation.text.partition(" ")[0]
        subject.add(
            Level.WARNING if limitation.breaks_promise else Level.INFO,
            Kind.DURABILITY,
            limitation.text,
            f"SET GLOBAL {name}=1, and the same in the server's configuration, if that matters more than the speed",
        )
    if not limitations:
        subject.ok(Kind.DURABILITY, "a committed message is on disk")


def check_writable(session: Session, subject: Subject) -> None:
    """Look whether the master takes writes."""
    on = session.server.read_only
    if not on:
        subject.ok(Kind.READ_ONLY, "it takes writes")
    elif on == ["read_only"] and may_write_nevertheless(session):
        subject.warning(
            Kind.READ_ONLY,
            "read_only is on, and the account may write nevertheless: this is most likely a replica, and what is written here is not "
            "on its "
            "source",
            "point teamtalk_master at the source; and take SUPER, READ_ONLY ADMIN and CONNECTION_ADMIN from the account",
        )
    else:
        subject.error(
            Kind.READ_ONLY,
            f"{' and '.join(on)} {'is' if len(on) == 1 else 'are'} on: no message can be stored",
            "is it a replica, or a source after a failover? Point teamtalk_master at the writable server, or SET GLOBAL read_only=0",
        )


def may_write_nevertheless(session: Session) -> bool:
    """Whether the account may write to a server that is read-only."""
    try:
        grants = [text(row[0]) for row in session.select("show grants")]
    except RefusedError:
        return False
    return any(f"{name}" in grant.split(" ON ")[0] for grant in grants if " ON *.*" in grant for name in _PRIVILEGES_TO_WRITE)


def check_clock(session: Session, subject: Subject) -> None:
    """Compare the clock of the server with that of this host."""
    for limitation in (limitations := list(promises.clock(session.server))):
        subject.warning(Kind.CLOCK, limitation.text, "have both synchronised (chrony, ntpd, systemd-timesyncd)")
    if not limitations:
        skew, uncertain = session.server.clock
        subject.ok(Kind.CLOCK, f"its clock and the one of this host differ by {max(0.0, abs(skew) - uncertain):.1f} s")
