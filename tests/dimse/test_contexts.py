"""What is negotiated: every storage class, every standard transfer syntax, in the order of what can be decoded."""

from dataclasses import replace

import pytest
from pydicom import uid
from pydicom._uid_dict import UID_dictionary
from pynetdicom import AE
from pynetdicom.presentation import AllStoragePresentationContexts, PresentationContext, build_context

from node.dimse.contexts import DECODABLE, OTHERS, RETIRED_CLASSES, storage_classes
from node.settings.peers import Limits
from tests.dimse.conftest import PACS, Listen, instance, offer
from tests.lab.wire import Sender


def _negotiate(port: int, contexts: list[PresentationContext]) -> list[tuple[str, str]]:
    """(abstract syntax, transfer syntax) of the accepted contexts, as another implementation's requestor sees them."""
    entity = AE(ae_title="PACS")
    association = entity.associate("127.0.0.1", port, ae_title="HILUM", contexts=contexts)
    accepted = [(str(one.abstract_syntax), str(one.transfer_syntax[0])) for one in association.accepted_contexts]
    if association.is_established:
        association.release()
    return accepted


def test_every_storage_class_is_accepted(listen: Listen) -> None:
    """All of pynetdicom's list of the standard's storage classes, far more than fit into one association."""
    port = listen().port
    classes = [str(one.abstract_syntax) for one in AllStoragePresentationContexts]
    assert len(classes) > 128
    for start in range(0, len(classes), 128):
        part = classes[start : start + 128]
        assert _negotiate(port, [build_context(one) for one in part]) == [(one, uid.ExplicitVRLittleEndian) for one in part]


def test_every_standard_transfer_syntax_is_accepted_alone(listen: Listen) -> None:
    """A sender that has but one syntax is heard, whatever it is: pydicom's list, made from PS3.6 table A-1."""
    syntaxes = [str(one) for one in uid.AllTransferSyntaxes]
    contexts = [build_context(uid.MRImageStorage, [one]) for one in syntaxes]
    assert [syntax for _, syntax in _negotiate(listen().port, contexts)] == syntaxes


@pytest.mark.parametrize("decodable", DECODABLE)
def test_video_is_taken_only_when_nothing_else_is_offered(listen: Listen, decodable: str) -> None:
    """Offered first, and with anything that can be decoded, video stays behind; and so does JPIP."""
    offered = [uid.MPEG4HP41, uid.HEVCMP51, "1.2.840.10008.1.2.4.94", decodable]
    context = build_context(uid.MultiFrameTrueColorSecondaryCaptureImageStorage, offered)
    assert [syntax for _, syntax in _negotiate(listen().port, [context])] == [decodable]


def test_uncompressed_before_compressed_and_lossless_before_lossy(listen: Listen) -> None:
    """The node's order decides, not the sender's."""
    offers = [
        ([uid.JPEGBaseline8Bit, uid.ImplicitVRLittleEndian, uid.ExplicitVRLittleEndian], uid.ExplicitVRLittleEndian),
        ([uid.JPEGBaseline8Bit, uid.JPEG2000, uid.JPEGLosslessSV1], uid.JPEGLosslessSV1),
        ([uid.JPEGBaseline8Bit, uid.JPEGExtended12Bit], uid.JPEGExtended12Bit),
        ([uid.HTJ2K, uid.JPEGBaseline8Bit], uid.JPEGBaseline8Bit),
    ]
    contexts = [build_context(uid.CTImageStorage, list(offered)) for offered, _ in offers]
    assert [syntax for _, syntax in _negotiate(listen().port, contexts)] == [expected for _, expected in offers]


def test_a_peers_syntaxes_can_be_narrowed(listen: Listen) -> None:
    """`limits: {syntaxes: …}`: anything else is not accepted, and the sender knows before it sends."""
    limits = Limits(syntaxes=(uid.ExplicitVRLittleEndian, uid.JPEG2000Lossless))
    port = listen(peers=(replace(PACS, limits=limits),)).port
    contexts = [build_context(uid.CTImageStorage, [one]) for one in (uid.ImplicitVRLittleEndian, uid.JPEG2000Lossless, uid.JPEG2000)]
    assert _negotiate(port, contexts) == [(uid.CTImageStorage, uid.JPEG2000Lossless)]


def test_private_sop_classes_are_not_accepted(listen: Listen) -> None:
    """An unknown SOP class: its context is rejected, others of the association stand."""
    running = listen()
    private = offer(instance(sop_class="1.2.826.0.1.3680043.9.3811.9.9"))
    known = offer()
    with Sender(running.port, [private, known]) as sender:
        assert sender.context(private) is None
        assert [one.result for one in sender.association.rejected_contexts] == [3]
        assert sender.store(known) == 0x0000
    assert len(running.kept()) == 1


def test_retired_classes_are_served(listen: Listen) -> None:
    """Old archives still send the ultrasound class that was retired in 1996; it is kept like any other."""
    running = listen()
    old = offer(instance(sop_class="1.2.840.10008.5.1.4.1.1.6"))
    with Sender(running.port, [old]) as sender:
        assert sender.store(old) == 0x0000
    assert len(running.kept()) == 1


def test_video_that_comes_alone_is_kept_as_it_is(listen: Listen) -> None:
    """Kept with its syntax in the file meta information, byte for byte."""
    running = listen()
    video = offer(transfer_syntax_uid=str(uid.MPEG4HP41))
    with Sender(running.port, [video]) as sender:
        assert sender.store(video) == 0x0000
    (path,) = running.kept()
    assert str(uid.MPEG4HP41).encode() in path.read_bytes()[:600]


def test_the_lists_do_not_overlap() -> None:
    """Each transfer syntax stands in one list; all that pydicom names are there."""
    assert not set(DECODABLE) & set(OTHERS)
    assert {str(one) for one in uid.AllTransferSyntaxes} <= set(DECODABLE) | set(OTHERS)
    assert len(storage_classes()) == len(set(storage_classes()))


def test_the_lists_are_those_of_the_standard() -> None:
    """pydicom's dictionary is made from PS3.6 table A-1: every transfer syntax that encodes a data set, every retired storage class."""
    known = {text: (kind, bool(retired), name) for text, (name, kind, _, retired, _) in UID_dictionary.items()}
    syntaxes = {text for text, (kind, _, _) in known.items() if kind == "Transfer Syntax"}
    no_data_sets = {"1.2.840.10008.1.2.6.1", "1.2.840.10008.1.2.6.2", "1.2.840.10008.1.20"}
    assert set(DECODABLE) | set(OTHERS) == syntaxes - no_data_sets
    assert list(OTHERS) == sorted(OTHERS, key=lambda text: (known[text][1], text))
    images = ("1.2.840.10008.5.1.4.1.1.", "1.2.840.10008.5.1.1.29")
    retired = {text for text, (kind, is_retired, name) in known.items() if kind == "SOP Class" and is_retired and "Storage" in name}
    assert {text for text in retired if text.startswith(images)} == RETIRED_CLASSES
