"""TLS to MySQL and Redis: one context for all connections of an instance. Called at the start and by a reload."""

from __future__ import annotations

import hashlib
import ssl
from pathlib import Path

from dbproxy.config import TlsSettings
from dbproxy.errors import StartupError


def tls_context(name: str, settings: TlsSettings) -> ssl.SSLContext:
    """Return the context of the instance ``name``; making one takes longer than a query, so it is made once.

    With ``ca`` nothing else is trusted, without it the authorities of the system are.

    Raises:
        StartupError: a file holds no certificate or key that can be used; names the keys to look at.

    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        if not settings.verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        elif settings.ca:
            context.load_verify_locations(settings.ca)
        else:
            context.load_default_certs()
    except OSError as error:
        raise StartupError(f"{name}: the certificates in {settings.ca} cannot be used: {error} (keys {name}_ssl_ca)") from error
    if settings.cert:
        try:
            # An empty password: without one, OpenSSL would stop and ask the terminal for that of an encrypted key.
            context.load_cert_chain(settings.cert, settings.key, password="")
        except OSError as error:
            files = settings.cert + (f" and {settings.key}" if settings.key else "")
            raise StartupError(f"{name}: {files} cannot be used: {error} (keys {name}_ssl_cert, {name}_ssl_key)") from error
    return context


def certificate_digests(settings: TlsSettings | None) -> dict[str, bytes]:
    """Return a digest of each file that ``tls_context`` reads, by the end of its configuration key, to see whether one has changed. A file
    that cannot be read has an empty one.
    """
    if settings is None:
        return {}
    paths = {"_ssl_ca": settings.ca or ssl.get_default_verify_paths().cafile, "_ssl_cert": settings.cert, "_ssl_key": settings.key}
    return {end: _digest(path) for end, path in paths.items() if path}


def _digest(path: str) -> bytes:
    try:
        return hashlib.sha256(Path(path).read_bytes()).digest()
    except OSError:
        return b""


def tls_keys(settings: TlsSettings | None) -> tuple[str, ...]:
    """Return the ends of the configuration keys that matter when a connection with these settings fails."""
    return () if settings is None else ("ssl", "ssl_ca", "ssl_cert", "ssl_key", "ssl_verify")


def is_tls_refusal(error: BaseException | None) -> bool:
    """Whether an error comes from TLS itself, such as a certificate that is not trusted, and not from a connection that was lost."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))
        error = error.__cause__ or error.__context__
    return False
