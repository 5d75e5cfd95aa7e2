"""What holds when a request does not say otherwise; the server and dbproxy-ctl both know it."""

from __future__ import annotations

LISTED_CONNECTIONS = 50
"""Connections that are listed."""

TOP_INTERVAL = 2.0
"""Seconds between two snapshots of ``top``."""
