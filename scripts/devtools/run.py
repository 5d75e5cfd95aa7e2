"""``scripts/run``: a proxy with private backends and three sample users, for trying things out."""

from __future__ import annotations

import argparse
import signal
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from dbproxy.errors import DbproxyError, StartupError
from dbproxy.testing import seed
from dbproxy.testing.file_server import FileServer
from dbproxy.testing.private_server import choose_servers
from dbproxy.testing.process import free_port
from dbproxy.testing.proxy import ProxyProcess
from dbproxy.testing.stack import POOLS, Stack
from dbproxy.testing.successor import inherit_orphans
from devtools.web_admin import ACCOUNT, WebAdmin, new_password

USERS = ("alice", "bob", "carol")

PORT = 10600
"""The port of a stock installation."""

ADMIN_PORT = 10680
"""The port of the HTTP endpoint."""

DEMO_CONFIG = ".stack/proxy/dbproxyserver.conf"
"""The configuration file that ``scripts/demo`` reads if it is not told another."""

WEB_ADMIN_PORT = 10690
"""The port of the web application."""


def main(argv: Sequence[str] | None = None) -> int:
    """Start backends, file server and proxy, print their addresses, print the proxy's log until Ctrl-C; return the exit status."""
    parser = argparse.ArgumentParser(prog="scripts/run", description="Run a proxy with private backends.")
    parser.add_argument("--directory", type=Path, default=Path(".stack"), help="where all data is kept (default: %(default)s)")
    parser.add_argument("--port", type=int, default=PORT, help="the proxy's port on 127.0.0.1 (default: %(default)s)")
    parser.add_argument("--mysqld", metavar="PATH", help="another MariaDB or MySQL server program than the installed one")
    parser.add_argument("--redis-server", metavar="PATH", help="another Redis or Valkey server program than the installed one")
    options = parser.parse_args(argv)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        choose_servers(options.mysqld, options.redis_server)
        _check_port(options.port)
        _print(f"starting MariaDB and Redis in {options.directory.resolve()} ...")
        files = FileServer(directory=options.directory.resolve() / "files")
        with Stack(options.directory, persistent=True) as stack, files:
            _add_users(stack)
            settings = {"ListenPort": options.port, "MsfsSite": files.site, "AdminListen": f"127.0.0.1:{_usual_port(ADMIN_PORT)}"}
            data = (stack.directory / "proxy" / "admin").resolve()
            settings["AdminDataDir"] = str(data)  # so that dbproxy-admin finds it from every directory
            proxy = ProxyProcess(stack, settings, directory=stack.directory / "proxy")
            inherit_orphans()  # so that a process that takes over in an upgrade can be waited for
            with proxy, WebAdmin(proxy.config_path, _usual_port(WEB_ADMIN_PORT), proxy.directory / "dbproxy-admin.log") as web:
                _print_addresses(
                    stack, files, proxy, settings["AdminListen"], f"{web.url}    (account {ACCOUNT}, password {new_password(data)})"
                )
                return _follow(proxy)
    except KeyboardInterrupt:
        _print("\nEverything is stopped; the data is kept.")
        return 0
    except (DbproxyError, OSError, TimeoutError) as error:
        print(f"scripts/run: {error}", file=sys.stderr)
        return 1


def _check_port(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise StartupError(
                f"port {port} of 127.0.0.1 cannot be used: {error.strerror}. Perhaps another scripts/run is running; "
                f"stop it, or choose another port: scripts/run --port {port + 1} --directory .stack/second"
            ) from None


def _usual_port(port: int) -> int:
    """Return this port of 127.0.0.1, or another one if it is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return free_port()
    return port


def _add_users(stack: Stack) -> None:
    if stack.rows("SELECT id FROM IMUser LIMIT 1"):
        return
    seed.department(stack, 1, "Engineering")
    seed.users(stack, *USERS)


def _print_addresses(stack: Stack, files: FileServer, proxy: ProxyProcess, admin: str, management: str) -> None:
    database, redis_port = stack.mariadb, stack.redis_server.port
    pools = ", ".join(f"{number} {name}" for name, number in POOLS.items())
    config = _shown(proxy.config_path)
    programs = Path(sys.prefix) / "bin"
    demo = "scripts/demo" if config == DEMO_CONFIG else f"scripts/demo --config {config}"
    _print(
        f"""
The proxy answers on {proxy.host}:{proxy.port}.

  management   {management}
               {_shown(programs / "dbproxy-admin")} --config {config} users list
  dashboard    http://{admin}/    (metrics: http://{admin}/metrics)
  control      {_shown(programs / "dbproxy-ctl")} --config {config} status
  users        {", ".join(USERS)}; password 123456
  MariaDB      mariadb --skip-ssl -h 127.0.0.1 -P {database.port} -u {database.user} -p{database.password} {database.database}
  Redis        redis-cli -p {redis_port} -n 1    (databases: {pools})
  sounds       http://{files.site}/ (replaces the file server)
  settings     {proxy.config_path}
  log          {proxy.log_path}

Next: leave this running and type  {demo}  in another terminal. Ctrl-C stops everything and keeps the data.
"""
    )


def _shown(path: Path) -> str:
    """The path from the working directory if it is below it: short, to be typed."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _follow(proxy: ProxyProcess) -> int:
    """Print the proxy's log until the proxy ends, over upgrades; return 1, because it ends by itself only after an error or a ``drain``."""
    with proxy.log_path.open(encoding="utf-8", errors="replace") as log:
        log.seek(0, 2)
        while True:
            alive = proxy.running
            text = log.read()
            if text:
                sys.stdout.write(text)
                sys.stdout.flush()
            if not alive and not proxy.adopt_successor():
                _print(f"the proxy has ended with status {proxy.returncode}")
                return 1
            time.sleep(0.2)


def _interrupt(number: int, frame: FrameType | None) -> None:
    del number, frame
    raise KeyboardInterrupt


def _print(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
