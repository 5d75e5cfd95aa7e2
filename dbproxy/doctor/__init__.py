"""dbproxy-doctor: connects to every backend of a configuration and says what would go wrong, and what to do about it.

::

    from dbproxy.config import load_config
    from dbproxy.doctor import examine

    findings = examine(load_config("dbproxyserver.conf"))
"""

from __future__ import annotations

from dbproxy.doctor.examination import Options, examine
from dbproxy.doctor.finding import Finding, Level
from dbproxy.doctor.kinds import Kind

__all__ = ["Finding", "Kind", "Level", "Options", "examine"]
