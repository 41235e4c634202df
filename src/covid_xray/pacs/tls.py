"""Secure DICOM connections by the BCP 195 profile of PS3.15 B.12: TLS 1.2 or 1.3, forward secrecy, AEAD ciphers."""

import hashlib
import ssl
from pathlib import Path
from typing import Any

from covid_xray.errors import UsageError
from covid_xray.pacs.settings import Peer, Tls

_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"  # of TLS 1.2 (RFC 9325 4.2); those of 1.3 are all of this kind


def listening_context(tls: Tls) -> ssl.SSLContext:
    """Make the context of the node as a server. Raises `UsageError` for files that cannot be read."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED if tls.require_certificate else ssl.CERT_OPTIONAL
    return _prepared(context, tls, tls.authority)


def connecting_context(tls: Tls, peer: Peer) -> ssl.SSLContext:
    """Make the context for connections to a peer, whose certificate must be for `server_name` or its host."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # verifies the certificate and its name
    return _prepared(context, tls, peer.authority or tls.authority)


def fingerprint_of(connection: Any) -> str:
    """Return the SHA-256 of the peer's certificate as 64 hexadecimal digits; empty without one."""
    data = connection.getpeercert(binary_form=True) if isinstance(connection, ssl.SSLSocket) else None
    return hashlib.sha256(data).hexdigest() if data else ""


def _prepared(context: ssl.SSLContext, tls: Tls, authority: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    for file in filter(None, (tls.certificate, tls.key, authority)):
        if not file.expanduser().is_file():
            raise UsageError(f"No such file: {file}. Set certificate, key and authority of `tls` to PEM files.")
    try:
        key = tls.key.expanduser() if tls.key else None
        context.load_cert_chain(tls.certificate.expanduser(), key, lambda: tls.key_password or "")
        context.load_verify_locations(authority.expanduser())
    except (ssl.SSLError, OSError):
        raise UsageError(
            "The TLS files do not fit: `certificate` and `key` must be a PEM pair, `authority` PEM certificates."
        ) from None
    return context
