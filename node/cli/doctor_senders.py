"""What `hilum doctor` and `hilum config check` say of who may send: strangers, peers, no peer at all, peers that only their title tells."""

from collections.abc import Iterator

from node.cli.finding import Finding
from node.settings.config import Config
from node.settings.kinds import is_loopback


def look_at_senders(config: Config) -> Iterator[Finding]:
    """Whom the listener admits, as far as the configuration alone says it."""
    node = config.node
    if node.strangers:
        hosts = [node.host] * node.plain + ([node.tls.host] if node.tls else [])
        if all(is_loopback(host) for host in hosts):
            yield Finding(subject="senders", level="good", detail="anyone on this machine may send (`strangers: true`)")
        else:
            yield Finding(
                subject="senders",
                level="warning",
                detail="anyone who reaches the node may send, under any AE title (`strangers: true`)",
                fix="Name each sender under `peers:` with its AE title and address, then take `strangers` out.",
            )
    elif not config.peers:
        fix = "Name each sender under `peers:` with its AE title and address."
        yield Finding(subject="senders", level="warning", detail="no peers: nobody may send anything", fix=fix)
    else:
        yield Finding(subject="senders", level="good", detail="only peers may send, each from its own address; others are closed at once")
    by_title = [peer.name for peer in config.peers.values() if peer.certificate is None and peer.user is None]
    if node.trusted_proxies and not node.proxy_protocol and by_title:
        where = ", ".join(str(one).removesuffix("/32").removesuffix("/128") for one in node.trusted_proxies.networks)
        yield Finding(
            subject="trusted proxies",
            level="warning",
            detail=f"whoever comes through {where} and claims their AE title is taken for: {', '.join(by_title)}",
            fix="Have the proxies say who is behind them (`proxy_protocol: true`), or name a `certificate` or a `user` in those entries.",
        )
