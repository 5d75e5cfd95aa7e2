"""``python -m dbproxy.install`` is the command dbproxy-init."""

from __future__ import annotations

import sys

from dbproxy.install.cli import main

if __name__ == "__main__":
    sys.exit(main())
