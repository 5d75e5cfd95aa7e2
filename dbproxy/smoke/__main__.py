"""``python -m dbproxy.smoke`` is the command dbproxy-smoke."""

from __future__ import annotations

import sys

from dbproxy.smoke.cli import main

if __name__ == "__main__":
    sys.exit(main())
