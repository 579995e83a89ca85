"""Why a person could not be told."""

from node.domain.errors import DeliveryError


class MessengerAway(DeliveryError):
    """The mail server or the webhook's host does not take the message now: it is kept, and sent again."""

    code = "HLM-6190"
    remedy = "See the reason: the address, a firewall, or a login that is not taken. `hilum notify` tries it at once."
    retry = True
