"""``python -m dbproxy`` is the command db_proxy_server. Nothing is imported here that takes time: see ``main``."""

from __future__ import annotations

import signal
import sys


def main() -> int:
    """Run the command with the arguments of the process and return its exit code; see ``cli.main``.

    Signals that are not to end a proxy are ignored before its modules are imported. A reload asked for so early needs nothing to be done:
    the configuration has not been read yet.
    """
    for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    from dbproxy import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
