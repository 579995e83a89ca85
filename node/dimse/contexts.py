"""What the listener accepts: all storage SOP classes, and every standard transfer syntax in the order in which it is preferred."""

from collections.abc import Sequence
from functools import cache

from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext
from pynetdicom.service_class import StorageServiceClass
from pynetdicom.sop_class import Verification, register_uid

DECODABLE: tuple[str, ...] = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.RLELossless,
    uid.JPEGLosslessSV1,
    uid.JPEGLossless,
    uid.JPEGLSLossless,
    uid.JPEG2000Lossless,
    uid.HTJ2KLossless,
    uid.HTJ2KLosslessRPCL,
    uid.JPEGExtended12Bit,  # before the next: a sender that offers both would cut 12 bits down to 8
    uid.JPEGBaseline8Bit,
    uid.JPEGLSNearLossless,
    uid.JPEG2000,
    uid.HTJ2K,
)
"""Transfer syntaxes that the node can decode: without loss before lossy ones, so that a sender that offers both loses nothing."""

_NO_DATASETS = ("1.2.840.10008.1.2.6.", "1.2.840.10008.1.20")
"""RFC 2557 MIME and XML encodings, Papyrus: in the dictionary, but no encodings of a data set on an association."""


@cache
def others() -> tuple[str, ...]:
    """Every other standard transfer syntax, retired ones last: video, JPIP, JPEG processes that nobody decodes.

    They are accepted only where the sender offers nothing better, kept and forwarded as they are.
    """
    known = [
        (bool(retired), text)
        for text, (_, kind, _, retired, _) in UID_dictionary.items()
        if kind == "Transfer Syntax" and text not in DECODABLE and not text.startswith(_NO_DATASETS)
    ]
    return tuple(text for _, text in sorted(known))


@cache
def storage_classes() -> tuple[str, ...]:
    """The SOP classes of the Storage Service Class (PS3.4 B.5) and its retired ones, which archives still send.

    Unknown and private SOP classes are not among them: their contexts are rejected (abstract syntax not supported), and the sender knows
    at once that these instances stay with it.
    """
    standard = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return tuple(sorted(standard | set(_retired_classes())))


def _retired_classes() -> list[str]:
    return [
        text
        for text, (name, kind, _, retired, _) in UID_dictionary.items()
        if kind == "SOP Class" and retired and "Storage" in name and text.startswith(("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.1.29"))
    ]


@cache
def register_retired_classes() -> None:
    """Let pynetdicom serve the retired storage SOP classes as it serves the others; once a process."""
    standard = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    for text in set(_retired_classes()) - standard:
        register_uid(text, uid.UID(text).keyword, StorageServiceClass)


@cache
def accepted_contexts(*, store: bool, echo: bool, syntaxes: tuple[str, ...] | None) -> Sequence[PresentationContext]:
    """The presentation contexts to accept; `syntaxes` None takes every standard one, else these alone.

    An acceptor picks, in each context, the first of its own transfer syntaxes that the requestor offers (PS3.8 9.3.3.2 leaves it the
    choice): the order here is the preference. They are shared by all associations, which only read them.
    """
    contexts = []
    if store:
        order = [text for text in (*DECODABLE, *others()) if syntaxes is None or text in syntaxes]
        contexts += _contexts(storage_classes(), order) if order else []
    if echo:
        contexts += _contexts([Verification], DECODABLE[:4])
    return contexts


def _contexts(abstracts: Sequence[str], syntaxes: Sequence[str]) -> list[PresentationContext]:
    contexts = []
    shared = None
    for abstract in abstracts:
        context = PresentationContext()
        context.abstract_syntax = uid.UID(abstract)
        if shared is None:
            context.transfer_syntax = [uid.UID(text) for text in syntaxes]
            shared = context._transfer_syntax
        # the setter checks each syntax again for each of 200 classes, which takes half a second; the list is only read
        context._transfer_syntax = shared
        contexts.append(context)
    return contexts
