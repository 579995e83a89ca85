"""What `hilum doctor` says of certificates and of how open the node is."""

from collections.abc import Iterator
from datetime import UTC, datetime

from node.cli.finding import Finding
from node.settings.config import Config


def look_at_certificates(config: Config) -> Iterator[Finding]:
    """Certificates, authorities and revocation lists: whether they can be used, and for how long."""
    from inference.errors import HilumError
    from node.assembly.certificates import SOON_S
    from node.dimse.tls import server_context
    from node.dimse.validity import validities

    if config.node.tls is not None:
        address = f"{config.node.tls.host}:{config.node.tls.port}"
        try:
            server_context(config.node.tls)
        except HilumError as wrong:
            yield Finding(subject="tls", level="bad", detail=f"{wrong} [{wrong.code}]", fix=wrong.remedy)
        else:
            plain = f"; without TLS on {config.node.host}:{config.node.port} too" if config.node.plain else ""
            yield Finding(subject="tls", level="good", detail=f"associations are accepted on {address}{plain}")
    now = datetime.now(UTC)
    for one in validities(config):
        subject = f"{one.use.value} {one.path.name}"
        if one.until is None:
            yield Finding(subject=subject, level="bad", detail=one.why, fix="Put a good file there; it is read again by itself.")
            continue
        left_s = one.left_s(now)
        day, days = f"{one.until:%Y-%m-%d}", abs(left_s) / 86400
        fix = f"Renew {one.path}; the node reads it again by itself."
        if left_s <= 0:
            yield Finding(subject=subject, level="bad", detail=f"expired on {day}, {days:.0f} days ago", fix=fix)
        else:
            soon = left_s < SOON_S
            yield Finding(
                subject=subject,
                level="warning" if soon else "good",
                detail=f"good until {day}, {days:.0f} days",
                fix=fix if soon else "",
            )
