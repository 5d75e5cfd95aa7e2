"""``python -m dbproxy`` is the command db_proxy_server."""

from __future__ import annotations

import sys

from dbproxy.cli import main

if __name__ == "__main__":
    sys.exit(main())
