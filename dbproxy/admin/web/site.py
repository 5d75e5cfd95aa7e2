"""Site: what the pages of the web application work with. Made once; any thread."""

from __future__ import annotations

from pathlib import Path

from dbproxy.admin.access.accounts import Accounts
from dbproxy.admin.access.accounts_database import AccountsDatabase
from dbproxy.admin.access.audit_log import AuditLog
from dbproxy.admin.access.web_sessions import WebSessions
from dbproxy.admin.web.backend_connection import BackendConnection
from dbproxy.admin.web.figures import FigureCache
from dbproxy.admin.web.import_desk import ImportDesk
from dbproxy.admin.web.jobs import Jobs
from dbproxy.admin.web.login_limits import LoginLimits
from dbproxy.config import Config


class Site:
    """The parts that live as long as the process.

    Raises:
        AdminError: the directory of dbproxy-admin cannot be used.

    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self.directory = Path(config.admin.data_dir)
        database = AccountsDatabase(self.directory)
        self.signing_key = database.signing_key()
        self.accounts = Accounts(database)
        self.sessions = WebSessions(database, config.admin.web_session_timeout)
        self.log = AuditLog(self.directory)
        self.log.check()
        self.login_limits = LoginLimits()
        self.figures = FigureCache()
        self.backends = BackendConnection(config)
        self.jobs = Jobs(self.accounts.has)
        self.imports = ImportDesk(self.directory, self.jobs, self.backends, self.log)

    def close(self) -> None:
        """Stop what is being done, and close the connections to the backends."""
        self.jobs.close()
        self.imports.close()
        self.backends.close()
