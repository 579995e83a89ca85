"""`node:` the listener and the processes behind it."""

from datetime import timedelta

from ruamel.yaml.nodes import Node as YamlNode

from node.settings.blocks import Block, Key, Nodes, Values
from node.settings.config import Node, Receiver
from node.settings.errors import BadValue
from node.settings.kinds import (
    ADDRESS,
    AE_TITLE,
    DURATION,
    SIZE,
    SWITCH,
    Address,
    Choice,
    Schema,
    Several,
    whole,
)
from node.settings.security import TlsListener
from node.settings.source import Here, scalar_text
from node.settings.tls import LISTENER
from node.settings.trusted_proxies import TRUSTED_PROXIES, TrustedProxies


def _node(
    *,
    ae_title: tuple[str, ...],
    listen: Address | None,
    tls: TlsListener | None,
    strangers: bool,
    max_associations: int,
    connections_per_address: int,
    trusted_proxies: TrustedProxies,
    proxy_protocol: bool,
    receiver: Receiver,
    receivers: int,
    acse_timeout: timedelta,
    dimse_timeout: timedelta,
    idle_timeout: timedelta,
    workers: int,
    decode_ahead: int,
    patient_data_in_logs: bool,
    metrics: Address | None,
) -> Node:
    return Node(
        ae_titles=ae_title,
        host="" if listen is None else listen.host,
        port=0 if listen is None else listen.port,
        plain=listen is not None,
        tls=tls,
        strangers=strangers,
        max_associations=max_associations,
        connections_per_address=connections_per_address,
        trusted_proxies=trusted_proxies,
        proxy_protocol=proxy_protocol,
        receiver=receiver,
        receivers=receivers,
        acse_timeout=acse_timeout,
        dimse_timeout=dimse_timeout,
        idle_timeout=idle_timeout,
        workers=workers,
        ahead_bytes=decode_ahead,
        patient_data_in_logs=patient_data_in_logs,
        metrics_host=None if metrics is None else metrics.host,
        metrics_port=0 if metrics is None else metrics.port,
    )


class _Listen:
    """An address, or `off`."""

    wants = "an address `host:port`, or `off`"

    def read(self, at: YamlNode, here: Here) -> Address | None:
        return None if scalar_text(at, here, self.wants) == "off" else ADDRESS.read(at, here)

    def schema(self) -> Schema:
        return {"anyOf": [{"const": "off"}, ADDRESS.schema()]}


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


NODE = Block(
    build=_node,
    check=_check,
    keys=(
        Key(
            name="ae_title",
            kind=Several(of=AE_TITLE, bare=True, least=1),
            default="HILUM",
            says="The called AE titles that are answered; routes may decide on them (`to`). The node calls under the first.",
        ),
        Key(
            name="listen",
            kind=_Listen(),
            default="127.0.0.1:11112",
            says="Where associations are accepted without TLS. `0.0.0.0:11112` listens on every network; port 0 takes a free one; `off` "
            "leaves `tls` alone.",
        ),
        Key(name="tls", kind=LISTENER, says="Where associations are accepted with TLS (PS3.15 B.12, B.13). Without it, nowhere."),
        Key(
            name="strangers",
            kind=SWITCH,
            default="false",
            says="Admit calling AE titles that are no peer. A laboratory's setting: every peer that you know belongs under `peers`. "
            "Without it, a connection from an address that no peer has is closed at once. With it, strangers get half of the seats.",
        ),
        Key(name="max_associations", kind=whole(1, 1000), default="40", says="Associations at once, all peers together."),
        Key(
            name="connections_per_address",
            kind=whole(1, 1000),
            default="64",
            says="Connections from one address (of IPv6, one /64) that are not admitted yet, for each receive process; one more displaces "
            "the oldest. Addresses of peers and trusted proxies are not bounded so.",
        ),
        Key(
            name="trusted_proxies",
            kind=TRUSTED_PROXIES,
            default="[]",
            says="IP addresses or networks behind which many senders are one address: NAT, a container bridge, a load balancer. No bound "
            "of an address holds there, and a peer that comes from there is known by its AE title, certificate and user alone, unless "
            "`proxy_protocol` tells its address.",
        ),
        Key(
            name="proxy_protocol",
            kind=SWITCH,
            default="false",
            says="The trusted proxies begin each connection with a header of the PROXY protocol, version 1 or 2 (HAProxy: `send-proxy`, "
            "`send-proxy-v2`; nginx: `proxy_protocol on`), from which the sender's own address is taken. A connection of theirs "
            "without one is closed.",
        ),
        Key(
            name="receiver",
            kind=Choice(of=Receiver),
            default="fast",
            says="Who serves associations that only store: fast, or stock (pynetdicom, which serves all others in either case).",
        ),
        Key(
            name="receivers",
            kind=whole(1, 16),
            default="1",
            says="Processes that receive; one that dies refuses nobody, and several senders at once are served by as many cores.",
        ),
        Key(name="acse_timeout", kind=DURATION, default="10s", says="How long an association may take to be negotiated or released."),
        Key(name="dimse_timeout", kind=DURATION, default="60s", says="How long a DIMSE message may take to arrive or to be answered."),
        Key(name="idle_timeout", kind=DURATION, default="60s", says="How long an association may be silent before it is aborted."),
        Key(name="workers", kind=whole(1, 64), default="1", says="Processes that infer and encode. Each holds the models it used last."),
        Key(
            name="decode_ahead",
            kind=SIZE,
            default="2GiB",
            says="How much disk idle workers may fill with decoded pixels of compressed studies that are still coming in, so that a study "
            "that is complete is analysed at once; `0B` for none, and then no headers are read ahead either.",
        ),
        Key(
            name="patient_data_in_logs",
            kind=SWITCH,
            default="false",
            says="Let patient names and identifiers into the events. Leave it off unless your log store may hold them.",
        ),
        Key(
            name="metrics",
            kind=ADDRESS,
            says="Where Prometheus finds `/metrics`, and others `/health/live` and `/health/ready`, such as `127.0.0.1:9464`; without it, "
            "nowhere. Nobody is asked who they are: open it to your monitoring only. There is no patient data in it.",
        ),
    ),
)
