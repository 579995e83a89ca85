"""The node's own receiver as a caller on this machine reaches it: where it listens, with or without TLS, and under whose AE title."""

from ipaddress import ip_address
from pathlib import Path

from node.assembly.compose import calling as requestor_of
from node.console.context import Sent
from node.settings.config import Config
from node.settings.peers import May, Peer
from node.settings.tls import PeerTls, TlsListener

_STRANGER = "HILUM-SEND"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class OwnReceiverOf:
    """That of a configuration (`node.console.context.OwnReceiver`)."""

    def __init__(self, config: Config) -> None:
        self._config = config
        node = config.node
        self._secure = None if node.plain else node.tls
        host, self._port = (node.host, node.port) if self._secure is None else (self._secure.host, self._secure.port)
        self._host = _EVERYWHERE.get(host, host)

    @property
    def titles(self) -> tuple[str, ...]:
        """Of peers that may store from where this machine calls itself, and name no user; those with a certificate where TLS alone is
        spoken: the node shows its own."""
        if not self._port:
            return ()
        admitted = {one.ae_title for one in self._config.peers.values() if self._is_here(one)}
        here = sorted(admitted, key=lambda title: (title != _STRANGER, title))
        return tuple(here) or ((_STRANGER,) if self._config.node.strangers else ())

    def _is_here(self, peer: Peer) -> bool:
        if May.STORE not in peer.may or peer.user is not None or (peer.certificate is not None and not self._secure):
            return False
        return peer.host == self._host or (_is_loopback(peer.host) and _is_loopback(self._host))

    def send(self, file: Path, name: str, calling: str, unpacked: Path, most: int) -> Sent:
        """See the port."""
        from node.dimse.requestor.sendable import collect

        found = collect([file], unpacked, largest=most)
        told = {path: f"{name}{shown.removeprefix(str(file))}" for shown, path in found.files}
        left = [(f"{name}{shown.removeprefix(str(file))}", reason) for shown, reason in (*found.unusable, *found.skipped)]
        if not found.files:
            return Sent(accepted=0, studies=(), left=tuple(left))
        statuses = requestor_of(self._peer(), calling).store([str(path) for path in told])
        taken = []
        for path, status in zip(told, statuses, strict=True):
            if status.accepted:
                taken.append(path)
            else:
                answer = "no answer" if status.status is None else f"{status.status:04X}"
                left.append((told[path], f"{answer} {status.detail}".rstrip()))
        return Sent(accepted=len(taken), studies=tuple(dict.fromkeys(filter(None, map(_study_of, taken)))), left=tuple(left))

    def _peer(self) -> Peer:
        node = self._config.node
        tls = None if self._secure is None else _to_oneself(self._secure)
        return Peer(name="this node", ae_title=node.ae_titles[0], host=self._host, port=self._port, tls=tls)


def _to_oneself(listener: TlsListener) -> PeerTls:
    """TLS to the node's own listener, whose certificate is expected under the first name that it bears."""
    from cryptography import x509

    bears = x509.load_pem_x509_certificate(listener.certificate.read_bytes())
    names = bears.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    first = next(iter((*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))), "")
    return PeerTls(
        authorities=listener.authorities,
        certificate=listener.certificate,
        key=listener.key,
        server_name=first,
        profile=listener.profile,
        places=listener.places,
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _study_of(path: Path) -> str:
    """The study of an instance that the receiver took."""
    from node.dicom.header import read_header

    identity, _ = read_header(path)
    return identity.study_instance_uid
