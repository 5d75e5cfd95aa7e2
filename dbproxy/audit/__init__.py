"""dbproxy-audit: looks whether a live installation is as the proxy promises to keep it, and mends what can be mended meanwhile.

::

    from dbproxy.audit import audit, open_stores
    from dbproxy.config import load_config

    with open_stores(load_config("dbproxyserver.conf")) as stores:
        report = audit(stores)
"""

from __future__ import annotations

from dbproxy.audit.auditor import audit, open_stores
from dbproxy.audit.finding import Finding, Outcome, Report, Severity

__all__ = ["Finding", "Outcome", "Report", "Severity", "audit", "open_stores"]
