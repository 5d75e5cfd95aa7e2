"""dbproxy-audit: checks the consistency of a live installation and repairs what can be repaired while proxies are running.

::

    from dbproxy.audit import audit, open_stores
    from dbproxy.config import load_config

    with open_stores(load_config("dbproxyserver.conf")) as backends:
        report = audit(backends)
"""

from __future__ import annotations

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.audit.finding import Finding, Outcome, Report, Severity

__all__ = ["Finding", "Outcome", "Report", "Severity", "audit", "open_stores"]
