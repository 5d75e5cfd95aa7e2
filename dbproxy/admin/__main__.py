"""``python -m dbproxy.admin``: the command dbproxy-admin."""

from __future__ import annotations

import sys

from dbproxy.admin.cli import main

if __name__ == "__main__":
    sys.exit(main())
