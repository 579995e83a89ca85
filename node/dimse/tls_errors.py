"""What may be wrong with certificates, keys and passcodes of this node, and with those that a peer shows."""

from node.domain.errors import ConfigError, DeliveryError


class NotPrivate(ConfigError):
    """A private key or passcode may be read by others than the node's user."""

    code = "HLM-2070"
    remedy = (
        "`chown` the file to the user that runs hilum and `chmod 600` it (640 where root owns it); if it stood open for long, renew it."
    )


class TlsUnusable(ConfigError):
    """A certificate, key or list of authorities cannot be read, or does not fit."""

    code = "HLM-2071"
    remedy = "Look at the file that is named, with `openssl x509 -in FILE -noout -text`; keys are PEM without a password."


class TlsExpired(ConfigError):
    """The listener's certificate, authorities or revocation list is no good any more: every handshake would fail."""

    code = "HLM-2076"
    remedy = "Renew the file that is named, or take `node: {tls: …}` out until you have."


class PasscodeUnusable(ConfigError):
    """The passcode of a user cannot be read, or is empty."""

    code = "HLM-2072"
    remedy = "Write the passcode, and nothing else, into the file (`chmod 600`), or set the environment variable where hilum is started."


class PeerUntrusted(DeliveryError):
    """There is no TLS with the peer: its certificate is not trusted, or it does not trust this node's."""

    code = "HLM-6005"
    remedy = "Compare the peer's certificate with `peers: {…: {tls: …}}`, and let its administrator trust this node's; hilum tries again."
