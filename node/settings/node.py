"""`node:` the listener and the processes behind it."""

from dataclasses import dataclass
from datetime import timedelta

from ruamel.yaml.nodes import Node as YamlNode

from node.observe.events import LogForm
from node.settings.blocks import Key, Nodes, Values, block, part, setting
from node.settings.kinds import (
    ADDRESS,
    AE_TITLE,
    DURATION,
    SIZE,
    SWITCH,
    TRUSTED_PROXIES,
    Address,
    Choice,
    Schema,
    Several,
    TrustedProxies,
    whole,
)
from node.settings.source import BadValue, Here, scalar_text
from node.settings.tls import LISTENER, TlsListener


class _Listen:
    """An address, or `off`."""

    wants = "an address `host:port`, or `off`"

    def read(self, at: YamlNode, here: Here) -> Address | None:
        return None if scalar_text(at, here, self.wants) == "off" else ADDRESS.read(at, here)

    def schema(self) -> Schema:
        return {"anyOf": [{"const": "off"}, ADDRESS.schema()]}


_LISTEN = Key(
    name="listen",
    kind=_Listen(),
    default="127.0.0.1:11112",
    says="Where associations are accepted without TLS. `0.0.0.0:11112` listens on every network; port 0 takes a free one; `off` "
    "leaves `tls` alone.",
)
_METRICS = Key(
    name="metrics",
    kind=ADDRESS,
    says="Where Prometheus finds `/metrics`, and others `/health/live` and `/health/ready`, such as `127.0.0.1:9464`; without it, "
    "nowhere. Nobody is asked who they are: open it to your monitoring only. There is no patient data in it.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """The listener. `strangers` True admits calling AE titles that are no peer (a laboratory's setting; settle and limits default).

    `plain` False: nothing listens on host and port, TLS alone is accepted. `connections_per_address` bounds those of an address without a
    peer that are not admitted yet. Behind `trusted_proxies` many senders are one address; with `proxy_protocol` they say which each has.
    `receivers` is how many processes receive. `metrics_host` None: no page for Prometheus.
    """

    ae_titles: tuple[str, ...] = setting(
        Several(of=AE_TITLE, bare=True, least=1),
        name="ae_title",
        default="HILUM",
        says="The called AE titles that are answered; routes may decide on them (`to`). The node calls under the first.",
    )
    host: str = part(_LISTEN, lambda at: "" if at is None else at.host)
    port: int = part(_LISTEN, lambda at: 0 if at is None else at.port)
    plain: bool = part(_LISTEN, lambda at: at is not None)
    tls: TlsListener | None = setting(LISTENER, says="Where associations are accepted with TLS (PS3.15 B.12, B.13). Without it, nowhere.")
    strangers: bool = setting(
        SWITCH,
        default="false",
        says="Admit calling AE titles that are no peer. A laboratory's setting: every peer that you know belongs under `peers`. "
        "Without it, a connection from an address that no peer has is closed at once. With it, strangers get half of the seats.",
    )
    max_associations: int = setting(whole(1, 1000), default="40", says="Associations at once, all peers together.")
    connections_per_address: int = setting(
        whole(1, 1000),
        default="64",
        says="Connections from one address (of IPv6, one /64) that are not admitted yet, for each receive process; one more displaces "
        "the oldest. Addresses of peers and trusted proxies are not bounded so.",
    )
    trusted_proxies: TrustedProxies = setting(
        TRUSTED_PROXIES,
        default="[]",
        says="IP addresses or networks behind which many senders are one address: NAT, a container bridge, a load balancer. No bound "
        "of an address holds there, and a peer that comes from there is known by its AE title, certificate and user alone, unless "
        "`proxy_protocol` tells its address.",
    )
    proxy_protocol: bool = setting(
        SWITCH,
        default="false",
        says="The trusted proxies begin each connection with a header of the PROXY protocol, version 1 or 2 (HAProxy: `send-proxy`, "
        "`send-proxy-v2`; nginx: `proxy_protocol on`), from which the sender's own address is taken. A connection of theirs "
        "without one is closed.",
    )
    receivers: int = setting(
        whole(1, 16),
        default="1",
        says="Processes that receive; one that dies refuses nobody, and several senders at once are served by as many cores.",
    )
    acse_timeout: timedelta = setting(DURATION, default="10s", says="How long an association may take to be negotiated or released.")
    dimse_timeout: timedelta = setting(DURATION, default="60s", says="How long a DIMSE message may take to arrive or to be answered.")
    idle_timeout: timedelta = setting(DURATION, default="60s", says="How long an association may be silent before it is aborted.")
    workers: int = setting(whole(1, 64), default="1", says="Processes that infer and encode. Each holds the models it used last.")
    ahead_bytes: int = setting(
        SIZE,
        name="decode_ahead",
        default="2GiB",
        says="How much disk idle workers may fill with decoded pixels of compressed studies that are still coming in, so that a study "
        "that is complete is analysed at once; `0B` for none, and then no headers are read ahead either.",
    )
    patient_data_in_logs: bool = setting(
        SWITCH,
        default="false",
        says="Let patient names and identifiers into the events. Leave it off unless your log store may hold them.",
    )
    log: LogForm = setting(
        Choice(of=LogForm),
        default="auto",
        says="How events are written to stderr: `json`, an object a line for programs; `people`, a line that is read; `auto`: for people "
        "on a terminal, else JSON. Colours are shown on a terminal only, and none where NO_COLOR is set.",
    )
    metrics_host: str | None = part(_METRICS, lambda at: None if at is None else at.host)
    metrics_port: int = part(_METRICS, lambda at: 0 if at is None else at.port)


def _check(values: Values, nodes: Nodes, here: Here) -> None:
    metrics, listen, tls = values["metrics"], values["listen"], values["tls"]
    if listen is None and tls is None:
        raise here.about("listen").refuse(BadValue, nodes["listen"], "nothing would listen: `off` needs the key `tls`")
    taken = {one.port for one in (listen, tls) if one is not None and one.port}
    if metrics is not None and metrics.port in taken:
        raise here.about("metrics").refuse(BadValue, nodes["metrics"], f"port {metrics.port} is the one that associations are accepted on")
    if listen is not None and tls is not None and listen.port and listen.port == tls.port:
        raise here.about("tls").refuse(BadValue, nodes["tls"], f"port {tls.port} is the one of `listen`; TLS needs a port of its own")
    if values["proxy_protocol"] and not values["trusted_proxies"]:
        why = "it is read from `trusted_proxies` alone, and there are none"
        raise here.about("proxy_protocol").refuse(BadValue, nodes["proxy_protocol"], why)


NODE = block(Node, build=Node, check=_check)
