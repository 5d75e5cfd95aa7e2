"""``python -m dbproxy`` is the command db_proxy_server. Nothing is imported here that takes time: see ``main``."""

from __future__ import annotations

import signal
import sys


def main(argv: list[str] | None = None) -> int:
    """Run the command with ``argv`` (None: that of the process) and return its exit code; see ``cli.main``.

    Signals that are not to end a proxy are ignored before its modules are imported. A reload asked for so early needs nothing to be done:
    the configuration has not been read yet. A caller that survives an error gets its handlers back.
    """
    numbers = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
    former = {number: signal.signal(number, signal.SIG_IGN) for number in numbers}
    try:
        from dbproxy import cli

        return cli.main(argv)
    except BaseException:
        for number, handler in former.items():
            signal.signal(number, handler)
        raise


if __name__ == "__main__":
    sys.exit(main())
