"""The way to a Triton server: its address, TLS, and a gRPC channel that carries messages as large as gRPC allows."""

import re
import socket
import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from inference.engines.errors import Unauthenticated

PORT = 8001
_HOST = re.compile(r"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
MOST_BYTES = 2**31 - 1
"""What Triton takes in one message, and what gRPC can count."""

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # a server that comes back is found within seconds; gRPC's own longest pause is two minutes
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 500),
    ("grpc.max_reconnect_backoff_ms", 2000),
    # No keep-alive pings: a Triton with its default settings takes one in five minutes and answers more by closing the connection under
    # a long call. Calls under way are watched with ServerLive instead (`calls`), which also finds a server that hangs.
    # http_proxy is for the world outside; an inference server stands inside
    ("grpc.enable_http_proxy", 0),
)


class SharedMemory(StrEnum):
    """Which tensors go to the server through shared memory."""

    AUTO = "auto"  # large tensors, where the server sees the memory
    ON = "on"  # every tensor; a server that does not see it counts as away
    OFF = "off"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is: "host:port" as gRPC takes it, and whether the way there is encrypted."""

    target: str
    secure: bool

    def __str__(self) -> str:
        return f"{'grpcs' if self.secure else 'grpc'}://{self.target}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """PEM files: the authority behind the server's certificate (None: those that gRPC trusts), and the node's own certificate and key."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


def parse_url(url: str) -> Address:
    """Read "grpc://host:port" or "grpcs://host:port"; the port may be left out (8001).

    Raises
    ------
    ValueError
        It is something else, with what is wrong.
    """
    said = f'"{url}" is no address of a Triton server; write grpc://host:8001 or grpcs://host:8001'
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", PORT if parts.port is None else parts.port
    except ValueError as unfit:
        raise ValueError(f"{said} ({unfit})") from unfit
    extra = parts.path.strip("/") or parts.query or parts.fragment or parts.username
    if parts.scheme not in ("grpc", "grpcs") or extra or not _HOST.fullmatch(host) or port == 0:
        raise ValueError(said)
    return Address(target=f"[{host}]:{port}" if ":" in host else f"{host}:{port}", secure=parts.scheme == "grpcs")


def open_channel(address: Address, tls: Tls) -> Any:
    """A gRPC channel (grpc.Channel); nothing is sent yet. Certificates are read here: renewed ones hold from the next channel on.

    Raises
    ------
    Unauthenticated
        A file of `tls` cannot be read, or holds no certificate.
    """
    import grpc

    if not address.secure:
        return grpc.insecure_channel(address.target, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(root_certificates=_pem(tls.ca), private_key=_pem(tls.key), certificate_chain=_pem(tls.cert))
    return grpc.secure_channel(address.target, credentials, options=_OPTIONS)


def certificate_until(address: Address, tls: Tls, timeout_s: float = 3.0) -> datetime | None:
    """Until when the server's certificate is valid; None where the way is not encrypted, or the server does not show one now."""
    if not address.secure:
        return None
    host, _, port = address.target.rpartition(":")
    host = host.strip("[]")
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.set_alpn_protocols(["h2"])
        if tls.cert is not None:
            context.load_cert_chain(tls.cert, tls.key)
        with socket.create_connection((host, int(port)), timeout_s) as plain, context.wrap_socket(plain, server_hostname=host) as shown:
            certificate = shown.getpeercert() or {}
    except (OSError, ValueError):
        return None
    return datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC) if "notAfter" in certificate else None


def _pem(file: Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        content = file.read_bytes()
    except OSError as unread:
        raise Unauthenticated(f"{file}: {unread.strerror}") from unread
    if b"-----BEGIN " not in content:
        raise Unauthenticated(f"{file} is no PEM file")
    return content
