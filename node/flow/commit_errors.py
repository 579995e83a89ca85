"""The errors of storage commitment; those of the network stand in node.dimse."""

from node.domain.errors import DeliveryError


class NotCommitted(DeliveryError):
    """The sink accepted objects, and then would not commit to them."""

    code = "HLM-6184"
    remedy = (
        "Ask the sink's administrator why, with the reasons and UIDs in the sentence; then `hilum jobs resend JOB` sends all of it again."
    )
    retry = False


class NoReport(DeliveryError):
    """The sink has not reported on a commitment for as long as its `give_up` allows."""

    code = "HLM-6185"
    remedy = (
        "The sink has the objects. Let its administrator look whether it reports to this node's address and AE title, then `hilum jobs "
        "resend JOB`; or give the sink `commitment: no`."
    )
    retry = False
