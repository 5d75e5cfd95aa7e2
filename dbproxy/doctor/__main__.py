"""``python -m dbproxy.doctor``: the command dbproxy-doctor."""

from __future__ import annotations

import sys

from dbproxy.doctor.cli import main

if __name__ == "__main__":
    sys.exit(main())
