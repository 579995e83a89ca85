"""Storage SOP classes and transfer syntaxes, in the order in which they are preferred, and presentation contexts of them."""

from collections.abc import Sequence
from copy import copy
from functools import cache

from pydicom import uid
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext

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

OTHERS: tuple[str, ...] = tuple(
    f"1.2.840.10008.1.2.{end}"
    for end in [
        "1.98",
        "4.100",
        "4.100.1",
        "4.101",
        "4.101.1",
        "4.102",
        "4.102.1",
        "4.103",
        "4.103.1",
        "4.104",
        "4.104.1",
        "4.105",
        "4.105.1",
        "4.106",
        "4.106.1",
        "4.107",
        "4.108",
        "4.110",
        "4.111",
        "4.112",
        "4.204",
        "4.205",
        "4.92",
        "4.93",
        "4.94",
        "4.95",
        "7.1",
        "7.2",
        "7.3",
        "8.1",
        "4.52",
        "4.53",
        "4.54",
        "4.55",
        "4.56",
        "4.58",
        "4.59",
        "4.60",
        "4.61",
        "4.62",
        "4.63",
        "4.64",
        "4.65",
        "4.66",
    ]
)
"""Every other standard transfer syntax (PS3.6 table A-1), retired ones last: video, JPIP, SMPTE ST 2110, JPEG processes not decoded here.
RFC 2557 MIME and XML encodings and Papyrus are not among them: they are no encodings of a data set on an association.

They are accepted only where the sender offers nothing better, kept and forwarded as they are.
"""

RETIRED_CLASSES: frozenset[str] = frozenset(
    f"1.2.840.10008.5.1.{end}"
    for end in [
        "1.29",
        "4.1.1.10",
        "4.1.1.11",
        "4.1.1.12.3",
        "4.1.1.129",
        "4.1.1.3",
        "4.1.1.5",
        "4.1.1.6",
        "4.1.1.77.1",
        "4.1.1.77.2",
        "4.1.1.8",
        "4.1.1.88.1",
        "4.1.1.88.2",
        "4.1.1.88.3",
        "4.1.1.88.4",
        "4.1.1.9",
        "4.1.1.9.1",
    ]
)
"""The retired SOP classes of the Storage Service Class (PS3.6 table A-1)."""


@cache
def storage_classes() -> tuple[str, ...]:
    """The SOP classes of the Storage Service Class (PS3.4 B.5) and its retired ones, which archives still send.

    Unknown and private SOP classes are not among them: their contexts are rejected (abstract syntax not supported), and the sender knows
    at once that these instances stay with it.
    """
    standard = {str(context.abstract_syntax) for context in AllStoragePresentationContexts}
    return tuple(sorted(standard | RETIRED_CLASSES))


def contexts_of(abstracts: Sequence[str], syntaxes: Sequence[str]) -> Sequence[PresentationContext]:
    """A presentation context for each SOP class, with these transfer syntaxes in the order in which they are preferred; only to be read."""
    first = PresentationContext()
    first.transfer_syntax = [uid.UID(text) for text in syntaxes]
    contexts = []
    for abstract in abstracts:
        # a shallow copy shares the list, which is only read: syntaxes are checked when they are set, half a second for 200 classes
        context = copy(first)
        context.abstract_syntax = uid.UID(abstract)
        contexts.append(context)
    return contexts
