"""``python -m dbproxy.conformance`` is the command dbproxy-conformance."""

from __future__ import annotations

import sys

from dbproxy.conformance.cli import main

if __name__ == "__main__":
    sys.exit(main())
