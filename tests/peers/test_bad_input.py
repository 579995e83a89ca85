"""Bad input on the wire against the whole node: each gets a right status, the node stays up, and nothing acknowledged is lost."""

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import MPEG2MPML, SecondaryCaptureImageStorage, generate_uid

from tests.lab import dcmtk
from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.node import QUIET, Node, configuration, models
from tests.lab.program import wait_until
from tests.lab.series import another_study
from tests.lab.wire import Offer, Sender

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(600)]

UNDEFINED = 0xFFFFFFFF
_SLICES = 20
"""The fewest that mr-brain takes."""


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node that takes every MR for a head and puts results into a folder."""
    # what lies around it is its own: tests that run at the same time have theirs beside
    folder = tmp_path_factory.mktemp("bad") / "inside"
    folder.mkdir()
    written = configuration(
        folder / "node",
        port=free_port(),
        repository=models(("mr-brain",)),
        peers={"pacs": {"ae_title": "PACS", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"out": {"kind": "folder", "path": str(folder / "out")}},
        routes=[{"name": "head MR", "when": {"Modality": "MR"}, "run": ["mr-brain"], "send": ["out"]}],
    )
    with Node(written, folder / "node") as running:
        yield running


@pytest.fixture
def image(tmp_path: Path, request: pytest.FixtureRequest) -> Dataset:
    """One small real MR image in explicit little endian, in a study of its own."""
    _, paths = another_study(data("dicom", "mr_hippocrop_Study1.zip"), tmp_path / "image", request.node.name)
    return pydicom.dcmread(paths[0])


def encoded(dataset: Dataset) -> bytes:
    """The data set without preamble and file meta information, as it goes over the wire."""
    from pydicom.filebase import DicomBytesIO
    from pydicom.filewriter import write_dataset

    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, dataset)
    return bytes(out.getvalue())


def element(group: int, number: int, vr: bytes, value: bytes) -> bytes:
    """One element of explicit little endian, written by hand so that it may be wrong."""
    if vr in (b"OB", b"OW", b"SQ", b"UN", b"UT"):
        return struct.pack("<HH2sHI", group, number, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", group, number, vr, len(value)) + value


def nested(depth: int) -> bytes:
    """A sequence in a sequence in a sequence, `depth` deep, each of undefined length."""
    opening = struct.pack("<HH2sHI", 0x0040, 0x0275, b"SQ", 0, UNDEFINED) + struct.pack("<HHI", 0xFFFE, 0xE000, UNDEFINED)
    closing = struct.pack("<HHI", 0xFFFE, 0xE00D, 0) + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0)
    return opening * depth + closing * depth


def _truncated(image: Dataset) -> bytes:
    return encoded(image)[:-500]


def _no_pixels(image: Dataset) -> bytes:
    image.PixelData = b""
    return encoded(image)


def _wrong_vr_and_vm(image: Dataset) -> bytes:
    """Rows as text."""
    raw = encoded(image)
    rows = element(0x0028, 0x0010, b"US", struct.pack("<H", image.Rows))
    assert raw.count(rows) == 1
    return raw.replace(rows, element(0x0028, 0x0010, b"LO", b"fifty one "))


def _no_type_2(image: Dataset) -> bytes:
    for keyword in ("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyID", "AccessionNumber", "StudyDate", "StudyTime"):
        if keyword in image:
            delattr(image, keyword)
    return encoded(image)


def _deep(image: Dataset) -> bytes:
    raw = encoded(image)
    pixels = raw.index(struct.pack("<HH", 0x7FE0, 0x0010))
    return raw[:pixels] + nested(10_000) + raw[pixels:]


def _named(charset: str, name: str) -> Callable[[Dataset], bytes]:
    def change(image: Dataset) -> bytes:
        image.SpecificCharacterSet = charset.split("\\")
        image.PatientName = name
        return encoded(image)

    return change


CASES: dict[str, Callable[[Dataset], bytes]] = {
    "not DICOM": lambda _: b"GIF89a" + bytes(range(256)) * 40,
    "zeros": lambda _: bytes(64),
    "truncated": _truncated,
    "no pixels": _no_pixels,
    "wrong VR and VM": _wrong_vr_and_vm,
    "no Type 2 attributes": _no_type_2,
    "nested 10,000 deep": _deep,
    "Japanese": _named("\\ISO 2022 IR 87", "Yamada^Tarou=山田^太郎"),
    "Korean": _named("\\ISO 2022 IR 149", "Hong^Gildong=洪^吉洞=홍^길동"),
    "Chinese": _named("GB18030", "Wang^XiaoDong=王^小东"),
    "UTF-8": _named("ISO_IR 192", "Чайковский^Пётр"),
}


def _lies_in(folder: Path, content: bytes) -> bool:
    """Whether a file holds it; one that is on its way from the inbox to its place is met on neither side, and looked for again."""
    for path in _below(folder):
        with contextlib.suppress(FileNotFoundError):
            if path.is_file() and content in path.read_bytes():
                return True
    return False


def _below(folder: Path) -> Iterator[Path]:
    """What lies there; `rglob` ends at a folder that goes meanwhile."""
    for place, folders, files in os.walk(folder):
        yield from (Path(place, name) for name in (*folders, *files))


@pytest.mark.parametrize("case", CASES)
def test_bad_bytes_are_kept_or_refused_never_lost(node: Node, image: Dataset, case: str) -> None:
    """Network case 14: 0x0000 means that these very bytes are on disk; anything else is a refusal of PS3.4 B.2.3. The next echo is
    answered."""
    offer = Offer(data_set=CASES[case](image), sop_instance_uid=str(image.SOPInstanceUID))
    with Sender(node.port, [offer]) as sender:
        status = sender.store(offer)
    if status == 0:
        wait_until(lambda: _lies_in(node.folder, offer.data_set), 60, "what was acknowledged is found")
    else:
        assert status is not None, "an answer, not an abort"
        assert status >> 8 in (0xA7, 0xA9) or status >> 12 == 0xC or status == 0x0117, hex(status)
    assert dcmtk.echoscu(node.port).code == 0


def test_what_cannot_be_an_image_is_parked_with_a_sentence(node: Node, image: Dataset) -> None:
    """An image without pixels has all its headers: its series is routed, and its job says what is wrong."""
    offers = []
    image.PixelSpacing = [3, 3]  # as far as mr-brain wants images to reach: headers say nothing against it
    for slice_ in range(_SLICES):
        image.SOPInstanceUID, image.ImagePositionPatient = generate_uid(), [0, 0, 6 * slice_]
        offers.append(Offer(data_set=_no_pixels(image), sop_instance_uid=str(image.SOPInstanceUID)))
    with Sender(node.port, offers) as sender:
        assert [sender.store(offer) for offer in offers] == [0] * _SLICES
    uid = str(image.StudyInstanceUID)
    jobs = node.wait_for_jobs(
        lambda all_of_them: any(job["study_uid"] == uid and job["state"] == "parked" for job in all_of_them), 60, "it is parked"
    )
    (job,) = (job for job in jobs if job["study_uid"] == uid)
    assert job["code"].startswith("HLM-3")
    assert len(job["reason"].split()) > 3


def _outside(node: Node) -> set[Path]:
    """What lies around the node's folder, without what the sink of this file's node is sent meanwhile."""
    sink = node.folder.parent / "out"
    return {path for path in _below(node.folder.parent.parent) if not {node.folder, sink} & {path, *path.parents}}


def _escaped() -> set[Path]:
    return {path for path in Path("/tmp").iterdir() if "escaped" in path.name}


@pytest.mark.parametrize("uid", ["../../../../tmp/escaped", "/etc/hilum", "1.2.840/../../x", "1.2\0.3", "." * 64])
def test_an_identifier_never_becomes_a_path(node: Node, image: Dataset, uid: str) -> None:
    """A UID with `../` in it is refused or kept under another name; no file appears outside of the node's folder and of its sink's."""
    around, escaped = _outside(node), _escaped()
    image.SOPInstanceUID = uid
    offer = Offer(data_set=encoded(image), sop_instance_uid=uid)
    with Sender(node.port, [offer]) as sender:
        status = sender.store(offer)
    if status == 0:
        wait_until(lambda: _lies_in(node.folder, offer.data_set), 60, "what was acknowledged is found")
    assert _outside(node) <= around
    assert _escaped() <= escaped
    assert dcmtk.echoscu(node.port).code == 0


def test_unknown_classes_are_not_negotiated_and_videos_are_kept(node: Node, image: Dataset) -> None:
    """A private SOP class gets no presentation context; a video syntax is accepted when nothing else is offered."""
    private = Offer(data_set=b"", sop_instance_uid=generate_uid(), sop_class_uid="1.2.826.0.1.3680043.8.498.1.99")
    image.SOPClassUID = SecondaryCaptureImageStorage
    video = Offer(
        data_set=encoded(image),
        sop_instance_uid=str(image.SOPInstanceUID),
        sop_class_uid=SecondaryCaptureImageStorage,
        transfer_syntax_uid=MPEG2MPML,
    )
    with Sender(node.port, [private, video]) as sender:
        assert sender.context(private) is None
        assert sender.store(video) == 0


def test_strangers_are_turned_away(node: Node, image: Dataset) -> None:
    """A calling AE title that is no peer, and a called one that is not the node's, get no association."""
    offer = Offer(data_set=encoded(image), sop_instance_uid=str(image.SOPInstanceUID))
    with Sender(node.port, [offer], calling="STRANGER") as stranger:
        assert not stranger.accepted
    with Sender(node.port, [offer], called="SOMEBODY") as lost:
        assert not lost.accepted
    assert dcmtk.echoscu(node.port).code == 0


def test_an_abort_in_the_middle_leaves_nothing(node: Node, image: Dataset) -> None:
    """Half an instance is no instance: nothing of it is indexed, and the same instance sent properly is accepted."""
    offer = Offer(data_set=encoded(image), sop_instance_uid=str(image.SOPInstanceUID))
    sender = Sender(node.port, [offer])
    sender.abort_in_the_middle(offer)
    uid = str(image.StudyInstanceUID)
    assert dcmtk.echoscu(node.port).code == 0
    assert all(study["study_uid"] != uid for study in node.studies())
    with Sender(node.port, [offer]) as again:
        assert again.store(offer) == 0
    wait_until(lambda: any(study["study_uid"] == uid for study in node.studies()), 30, "the whole instance is indexed")


def test_one_identifier_two_images_is_a_conflict(node: Node, image: Dataset) -> None:
    """Other pixels under the same SOP Instance UID: both are acknowledged and kept, and the contradiction is reported."""
    first = Offer(data_set=encoded(image), sop_instance_uid=str(image.SOPInstanceUID))
    image.PixelData = bytes(len(image.PixelData))
    second = Offer(data_set=encoded(image), sop_instance_uid=str(image.SOPInstanceUID))
    with Sender(node.port, [first]) as sender:
        assert [sender.store(first), sender.store(first), sender.store(second)] == [0, 0, 0]
    wait_until(lambda: _conflicts(node) == [str(image.SOPInstanceUID)], 30, "the conflict is reported, once")
    for offer in (first, second):
        wait_until(partial(_lies_in, node.folder, offer.data_set), 60, "it is kept")
    shown = node.hilum("studies", "show", image.StudyInstanceUID, "--json").json
    assert [one["sop_instance_uid"] for one in shown["conflicts"]] == [str(image.SOPInstanceUID)]


def _conflicts(node: Node) -> list[str]:
    return [event["sop_instance_uid"] for event in node.events() if event["event"] == "instance.conflict"]


def test_after_all_this_a_good_study_is_served(node: Node, tmp_path: Path) -> None:
    """The same processes that saw all of the above analyse a head and deliver its results."""
    pids = [event["pid"] for event in node.events() if event["event"] == "process.started"]
    uid, files = another_study(data("dicom", "mr_enhanced_xa30_T1.zip"), tmp_path / "good", "good")
    assert dcmtk.dcmsend(node.port, *files).code == 0
    node.wait_for_jobs(
        lambda jobs: any(job["study_uid"] == uid and job["state"] == "done" for job in jobs), 180, "a good study after bad ones"
    )
    assert [event["pid"] for event in node.events() if event["event"] == "process.started"] == pids, "no process had to be replaced"
