"""Login: makes the connection of one ``DBConn``, up to where statements can be sent. It belongs to the thread that has the connection."""

from __future__ import annotations

import socket
import ssl
from functools import partial

from dbproxy.config import Config, DBInstance
from dbproxy.stores.kernel_socket import detect_dead_peer, set_kernel_timeouts
from dbproxy.stores.mysql.driver import DriverConnection, connect_socket
from dbproxy.stores.mysql.server_connection_id import idle_timeout
from dbproxy.stores.resolver import Resolver

_IDLE_MARGIN = 2
"""Seconds before ``wait_timeout`` after which an idle connection is not used any more: the server must not close it while we send."""


class Login:
    """TCP, TLS, account, settings of the session and time limits of the socket."""

    def __init__(self, instance: DBInstance, config: Config, tls: ssl.SSLContext | None, resolver: Resolver) -> None:
        wait_timeout = idle_timeout(config)
        # For MariaDB only: no subquery here is evaluated twice for the same row, so a cache of their results is wasted work.
        session = (
            f"set sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout={max(1, round(config.db_lock_timeout))}"
            f", wait_timeout={wait_timeout} /*M!100300 , optimizer_switch='subquery_cache=off' */"
        )
        self._make = partial(DriverConnection, instance, session, tls=tls)
        self._leads_to = (instance.addresses[0], config.db_connect_timeout)
        self.driver = self._make(config.db_connect_timeout)
        """Of the last connection; it keeps address and time limit."""
        self.max_idle = wait_timeout - _IDLE_MARGIN
        """Seconds after which an idle connection is not used any more."""
        self._resolver = resolver
        self.statement_timeout = config.db_timeout
        """Seconds to wait for each part of an answer."""

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """Connect within ``timeout`` seconds, and log in. The socket that is returned has the time limit of a connect: ``serve`` gives it
        the one of statements.

        Raises:
            pymysql.err.Error: the server cannot be reached, or does not let us in.

        """
        connected = connect_socket(self._resolver, host, port, timeout)
        if self._leads_to != ((host, port), timeout):
            self._leads_to = ((host, port), timeout)
            self.driver = self._make(timeout, address=(host, port))
        sock = self.driver.login(connected)
        sock.settimeout(timeout)  # a server that accepts and then sends nothing must not take longer
        detect_dead_peer(sock, self.statement_timeout)
        return sock

    def serve(self, sock: socket.socket) -> None:
        """From now on ``sock`` is for statements."""
        if isinstance(sock, ssl.SSLSocket):
            sock.settimeout(self.statement_timeout)
        else:
            set_kernel_timeouts(sock, self.statement_timeout)
