"""One node of a private Galera cluster: :class:`GaleraNode`."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pymysql

from dbproxy.errors import StartupError
from dbproxy.testing.process import listening_port
from dbproxy.testing.servers import SCHEMA, PrivateMariaDB, is_mysql, mysqld
from dbproxy.testing.waiting import eventually

if TYPE_CHECKING:
    from typing_extensions import Self

_PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")

_SST, _SST_COMMON = "wsrep_sst_rsync", "wsrep_sst_common"
_SST_METHOD = "private"

_TIMEOUTS = "evs.keepalive_period=PT0.5S;evs.inactive_check_period=PT0.5S;evs.suspect_timeout=PT3S;evs.inactive_timeout=PT6S"
"""How long a node may be silent before the others go on without it: 3 s instead of 5 s, so that tests need not wait so long."""


def missing_for_galera() -> str:
    """Return why no Galera cluster can be run here, as the reason of a skipped test; empty: it can."""
    if is_mysql(mysqld()):
        return "the server that was chosen is MySQL, which has no Galera"
    if not _provider():
        return "the Galera library is not installed (Debian: apt-get install galera-4)"
    lacking = [program for program in (_SST, "rsync") if shutil.which(program) is None]
    return f"{', '.join(lacking)} is not installed (Debian: apt-get install mariadb-server rsync)" if lacking else ""


def _provider() -> str:
    return next((path for path in _PROVIDERS if Path(path).exists()), "")


class GaleraNode(PrivateMariaDB):
    """A MariaDB server that is a node of a Galera cluster; its name is ``nodeN`` with ``number`` N.

    All communication is on 127.0.0.1, at ports that stay the same over restarts. ``peers`` are the addresses of the communication of
    all nodes of the cluster, in a list that the nodes share and that each of them adds itself to. A node that starts takes what it
    lacks from another one, as a transfer of the missed transactions or of all data, both with Galera's own scripts.
    """

    start_timeout = 90

    def __init__(
        self,
        directory: Path,
        number: int,
        peers: list[str],
        *,
        schema: Path | str = SCHEMA,
        keep: bool | None = None,
        options: Sequence[str] = (),
    ) -> None:
        super().__init__(directory, keep=keep, schema=schema, options=options)
        self.number = number
        self.name = f"Galera node {number}"
        self._new_cluster = False
        self._peers = peers
        self._ports = [listening_port() for _ in range(3)]
        peers.append(self.group_address)

    @property
    def group_address(self) -> str:
        """Host and port of the communication between nodes."""
        return f"127.0.0.1:{self._ports[0]}"

    def bootstrap(self) -> Self:
        """Start it as the first node of the cluster, whose data all others take."""
        state = self.directory / "data" / "grastate.dat" if self._directory is not None else None
        if state is not None and state.exists():
            state.write_text(re.sub(r"safe_to_bootstrap: \d", "safe_to_bootstrap: 1", state.read_text()))
        self._new_cluster = True
        try:
            return self.start()
        finally:
            self._new_cluster = False

    def copy_to(self, other: GaleraNode) -> None:
        """Give the data of this node, which is stopped, to one that was never started, so that it need not be sent them later."""
        target = other._claim_directory() / "data"
        if not target.exists():
            shutil.copytree(self.directory / "data", target, ignore=shutil.ignore_patterns("galera.cache", "gvwstate.dat"))

    def status(self, name: str) -> str:
        """Return a status variable (``wsrep_cluster_size``); empty when the server does not answer."""
        try:
            with contextlib.closing(self._root()) as connection, connection.cursor() as cursor:
                cursor.execute("SHOW GLOBAL STATUS LIKE %s", (name,))
                row = cursor.fetchone()
        except (OSError, pymysql.MySQLError):
            return ""
        return str(row["Value"]) if row else ""

    @property
    def is_primary(self) -> bool:
        """Whether the node belongs to the part of the cluster that may write, and has all its data."""
        return self.running and self.status("wsrep_ready") == "ON" and self.status("wsrep_cluster_status") == "Primary"

    def wait_for_size(self, nodes: int, timeout: float = 60) -> bool:
        """Wait until the node is in a cluster of so many nodes, and may write; whether that came true."""
        return eventually(lambda: self.is_primary and self.status("wsrep_cluster_size") == str(nodes), True, timeout)

    def isolate(self) -> None:
        """Cut the node off from the others, as a broken network does; clients still reach it."""
        self._set_isolated(True)

    def rejoin(self) -> None:
        """End ``isolate``."""
        self._set_isolated(False)

    def _set_isolated(self, isolated: bool) -> None:
        with contextlib.closing(self._root()) as connection, connection.cursor() as cursor:
            cursor.execute("SET GLOBAL wsrep_provider_options=%s", (f"gmcast.isolate={int(isolated)}",))

    def _command(self, directory: Path) -> list[str]:
        programs = _transfer_programs(directory)
        group, transfer, snapshot = self._ports
        provider = {
            "gmcast.listen_addr": f"tcp://127.0.0.1:{group}",
            "ist.recv_addr": f"127.0.0.1:{transfer}",
            "gcache.size": "32M",
            "pc.recovery": "FALSE",
        }
        options = ";".join([*(f"{key}={value}" for key, value in provider.items()), _TIMEOUTS])
        return [
            *("/usr/bin/env", f"PATH={programs}:{os.environ.get('PATH', os.defpath)}"),
            *super()._command(directory),
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            "--innodb-log-file-size=16M",
            "--wsrep-on=ON",
            f"--wsrep-provider={_provider()}",
            f"--wsrep-provider-options={options}",
            "--wsrep-cluster-name=private",
            f"--wsrep-cluster-address=gcomm://{'' if self._new_cluster else ','.join(self._peers)}",
            f"--wsrep-node-address=127.0.0.1:{group}",
            f"--wsrep-node-name=node{self.number}",
            f"--wsrep-sst-method={_SST_METHOD}",
            f"--wsrep-sst-receive-address=127.0.0.1:{snapshot}",
            *(("--wsrep-new-cluster",) if self._new_cluster else ()),
            *self._recovered_position(directory),
        ]

    def _recovered_position(self, directory: Path) -> list[str]:
        """The option that says which transaction was the last one, for a node that was killed: the file that says it is written only at
        the end. Without it the node would be sent all data.
        """
        state = directory / "data" / "grastate.dat"
        if not state.exists() or "seqno:   -1" not in state.read_text():
            return []
        command = [*super()._command(directory), "--wsrep-recover", "--skip-networking", f"--log-error={directory / 'recover.log'}"]
        subprocess.run(command, cwd=directory, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=60)
        found = re.findall(r"Recovered position: *(\S+)", (directory / "recover.log").read_text(errors="replace"))
        return [f"--wsrep-start-position={found[-1]}"] if found else []

    def _answers(self) -> bool:
        return super()._answers() and self.status("wsrep_ready") == "ON"

    def _prepare(self) -> None:
        if self._new_cluster:  # the others have it from there
            super()._prepare()


def _transfer_programs(directory: Path) -> Path:
    """Return a directory with the script that transfers all data: Galera's own with rsync, but one that also works for root, as whom the
    daemon of rsync would otherwise read as "nobody".
    """
    programs = directory / "programs"
    script = programs / f"wsrep_sst_{_SST_METHOD}"
    if script.exists():
        return programs
    original = shutil.which(_SST)
    if original is None:
        raise StartupError(missing_for_galera())
    programs.mkdir(exist_ok=True)
    (programs / _SST_COMMON).symlink_to(Path(original).with_name(_SST_COMMON))
    text = Path(original).read_text(encoding="utf-8")
    if os.geteuid() == 0:
        text = text.replace("use chroot = no", "use chroot = no\nuid = root\ngid = root")
    script.write_text(text, encoding="utf-8")
    script.chmod(0o700)
    return programs
