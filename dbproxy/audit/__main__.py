"""``python -m dbproxy.audit``: the command dbproxy-audit."""

from __future__ import annotations

import sys

from dbproxy.audit.cli import main

if __name__ == "__main__":
    sys.exit(main())
