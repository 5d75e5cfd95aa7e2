"""The file server (MsfsSite): reached, a sound stored and fetched. One thread."""

from __future__ import annotations

import os
import time
from urllib.parse import urlsplit

from dbproxy.config import Config
from dbproxy.doctor.finding import Findings, Subject
from dbproxy.doctor.kinds import Kind
from dbproxy.doctor.reach import chain
from dbproxy.errors import FileServerError
from dbproxy.stores.file_server import FileServer
from dbproxy.stores.resolver import Resolver

TRIAL_SIZE = 256
"""Bytes of the sound that is stored as a trial."""


def check_file_server(config: Config, findings: Findings, resolver: Resolver, *, upload: bool) -> None:
    """Examine the file server; with ``upload`` a sound of ``TRIAL_SIZE`` bytes stays on it, because it has no command to delete one."""
    subject = findings.about("File server")
    with subject.guarded():
        if upload:
            _check_trial(config, subject)
        else:
            _check_connect(config, subject, resolver)


def _check_connect(config: Config, subject: Subject, resolver: Resolver) -> None:
    url = urlsplit(config.msfs_site)
    host, port = url.hostname or "", url.port or (443 if url.scheme == "https" else 80)
    try:
        resolver.connect(host, port, config.file_server_timeout).close()
    except OSError as error:
        _report(subject, Kind.UNREACHABLE, f"{host}:{port}: {error}", error)
    else:
        subject.info(Kind.NO_UPLOAD, f"{host}:{port} takes connections; whether it stores sounds was not tried (--no-upload)")


def _check_trial(config: Config, subject: Subject) -> None:
    sound = b"dbproxy-doctor: a trial, may be deleted\n" + os.urandom(TRIAL_SIZE)
    sound = sound[:TRIAL_SIZE]
    server = FileServer(config.msfs_site, config.file_server_timeout, 1, config.max_audio_length)
    try:
        began = time.monotonic()
        try:
            url = server.upload(sound)
        except FileServerError as error:
            _report(subject, Kind.UPLOAD, str(error), error)
            return
        subject.ok(
            Kind.UPLOAD,
            f"stored {TRIAL_SIZE} bytes in {(time.monotonic() - began) * 1000:.0f} ms, which stay there: {subject.foreign(url)}",
        )
        _check_download(server, subject, url, sound)
    finally:
        server.close()


def _check_download(server: FileServer, subject: Subject, url: str, sound: bytes) -> None:
    remedy = "the address comes from the file server's own configuration: it must lead back to it from this host too"
    try:
        received = server.download(url, len(sound))
    except FileServerError as error:
        subject.error(Kind.DOWNLOAD, f"what was stored cannot be fetched, so sounds would be lost: {subject.foreign(error)}", remedy)
        return
    if received == sound:
        subject.ok(Kind.DOWNLOAD, "what was stored could be fetched again")
    else:
        subject.error(Kind.DOWNLOAD, f"{subject.foreign(url)} holds other bytes than were stored", remedy)


def _report(subject: Subject, kind: Kind, text: str, error: BaseException) -> None:
    remedy = "start it (msfs of TeamTalk), check MsfsSite; without it sounds are refused (msg_id 0), and everything else works"
    refused = any(isinstance(cause, FileServerError) and "status" in str(cause) for cause in chain(error))
    subject.error(
        kind,
        f"no sound can be stored: {subject.foreign(text)}",
        "something answers there, but not as msfs does: check MsfsSite (host, port, path), and the log of the file server"
        if refused
        else remedy,
    )
