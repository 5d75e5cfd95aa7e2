"""``python -m dbproxy.tap`` is the command dbproxy-tap."""

from __future__ import annotations

import sys

from dbproxy.tap.cli import main

if __name__ == "__main__":
    sys.exit(main())
