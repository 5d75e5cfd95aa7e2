"""What dbproxy-init prints at its end: what is still to be done, as commands."""

from __future__ import annotations

from pathlib import Path

from dbproxy.install.files import CONFIG, group_of

_TEXT = """
Next:

1. Look through {directory}/{config}. aesKey must be the same in all servers of the installation, MsfsSite is
   the file server for sounds, and ListenIP an address that the message servers can reach (and nobody else: see AllowedPeers).

       {bin}/db_proxy_server --config {directory}/{config} --check-config

2. The tables, for a new installation: into an empty database, with an account that may make them.

       {bin}/dbproxy-init {directory} --database

   The proxy itself needs SELECT, INSERT, UPDATE and DELETE. An existing TeamTalk database is used as it is. indexes.sql has optional
   indexes for large installations.

3. Connect to every backend, and see what would go wrong there:

       {bin}/dbproxy-doctor --config {directory}/{config}

4. Start it by hand,

       cd {directory} && {bin}/db_proxy_server

   or with systemd, as root:

{useradd}       chgrp {group} {directory}/{config}{passwords}
       cp {directory}/dbproxy.service {directory}/dbproxy@.service /etc/systemd/system/
       systemctl daemon-reload
       systemctl enable --now dbproxy                           # one proxy, or
       systemctl enable --now dbproxy@10600 dbproxy@10601       # several, each on its own port

   dbproxy-admin.service is the web application for users and groups, which needs an account first: docs/ADMIN.md.
"""


def next_steps(directory: Path, commands: Path, user: str) -> str:
    """Return the text for a directory that has been written; ``commands`` is where the commands of this installation are."""
    group = group_of(user)
    useradd = "" if group else f"       useradd --system --no-create-home --shell /usr/sbin/nologin {user}\n"
    passwords = "".join(f" {path}" for path in sorted(directory.glob("*_password")))
    return _TEXT.format(
        directory=directory, config=CONFIG, bin=commands, useradd=useradd, group=group or user, passwords=passwords
    ).rstrip()
