"""One study, five sinks with the same wish: every archive gets the masks in a form that it takes, with the report that refers to them."""

import hashlib
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import Dataset, dcmread
from pydicom.uid import Comprehensive3DSRStorage, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless, SecondaryCaptureImageStorage
from pynetdicom import AE, evt
from pynetdicom.sop_class import Verification

from inference.imaging.write_series import write_series
from tests.lab.dcmtk import StoreScp
from tests.lab.label_maps import LABEL_MAP, takes_label_maps
from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.node import QUIET, Node, configuration
from tests.lab.orthanc import Orthanc

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]

SEG = "1.2.840.10008.5.1.4.1.1.66.4"
PLAIN = ("LittleEndianExplicit", "LittleEndianImplicit")
APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"


@dataclass(frozen=True, slots=True, kw_only=True)
class Archives:
    """Who got the study: files by the name of the sink, and the node that sent them."""

    node: Node
    job: dict[str, Any]
    files: dict[str, list[bytes]]

    def sets(self, sink: str) -> list[Dataset]:
        """What a sink holds."""
        return [dcmread(BytesIO(data)) for data in self.files[sink]]

    def masks(self, sink: str) -> Dataset:
        """The one segmentation of a sink."""
        (mask,) = [one for one in self.sets(sink) if one.Modality == "SEG"]
        return mask

    def frozen(self, kind: str, form: str) -> dict[str, Any]:
        """What the journal says of the object that was made in a form."""
        objects: list[dict[str, Any]] = self.job["objects"]
        (one,) = [one for one in objects if (one["kind"], one["form"]) == (kind, form)]
        return one

    def sent(self, sink: str) -> dict[str, Any]:
        """What the journal says of a sink."""
        deliveries: list[dict[str, Any]] = self.job["deliveries"]
        (one,) = [one for one in deliveries if one["sink"] == sink]
        return one


def series(folder: Path) -> list[Path]:
    """A small CT: air with a ball of 40 HU, off the middle so that no flip goes unseen."""
    z, y, x = np.mgrid[0:12, 0:48, 0:64]
    ball = (z - 5) ** 2 * 4 + (y - 20) ** 2 + (x - 40) ** 2 < 150
    voxels = np.where(ball, 40, -1000).astype(np.int16)
    affine = np.array([[0, 0, 1.5, 0], [0, 1.5, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    return list(write_series(voxels, affine, folder, modality="CT"))


def sink_to(peer: str, profile: object) -> dict[str, object]:
    return {"kind": "dimse", "peer": peer, "profile": profile, "retry": {"first": "1s", "most": "2s"}}


def peer_of(scp: StoreScp) -> dict[str, object]:
    return {"ae_title": scp.aet, "address": f"127.0.0.1:{scp.port}", "may": ["echo"]}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archives]:
    """Orthanc as Debian has it, three DCMTK archives that take label maps so or so, and a folder; all want them compressed by RLE, one by
    JPEG-LS."""
    folder = tmp_path_factory.mktemp("profiles")
    port = free_port()
    orthanc = Orthanc(folder / "orthanc", node_port=port)
    scps = {
        "rle": takes_label_maps(folder / "scp", aet="RLE", syntaxes=("RLELossless", *PLAIN)),
        "jls": takes_label_maps(folder / "scp", aet="JLS", syntaxes=("JPEGLSLossless", *PLAIN)),
        "native": takes_label_maps(folder / "scp", aet="NATIVE", syntaxes=PLAIN),
    }
    small = {"like": "archive", "compression": "jpeg-ls"}
    written = configuration(
        folder / "node",
        port=port,
        repository=folder / "models",
        peers={
            "orthanc": {"ae_title": orthanc.aet, "address": f"127.0.0.1:{orthanc.dicom_port}", "may": ["store", "echo"]},
            **{name: peer_of(scp) for name, scp in scps.items()},
            "ct": {"ae_title": "CT", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
        },
        sinks={
            "orthanc": sink_to("orthanc", "archive"),
            "rle": sink_to("rle", "archive"),
            "jls": sink_to("jls", small),
            "native": sink_to("native", small),
            "files": {"kind": "folder", "path": str(folder / "files"), "profile": "archive"},
        },
        routes=[
            {
                "name": "CT",
                "when": {"Modality": "CT"},
                "run": ["bench-threshold"],
                "send": ["orthanc", "rle", "jls", "native", "files"],
            }
        ],
    )
    written["models"] = {"repository": str(folder / "models"), "applications": [str(APPLICATIONS)]}
    with ExitStack() as running:
        for scp in scps.values():
            running.enter_context(scp)
        running.enter_context(orthanc)
        node = running.enter_context(Node(written, folder / "node"))
        series(folder / "ct")
        said = node.hilum("send", folder / "ct", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "CT")
        assert said.code == 0, said.out + said.err
        (listed,) = node.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "done", 240, "everything is delivered")
        job = node.hilum("jobs", "show", listed["id"], "--json").json
        files = {name: [path.read_bytes() for path in scp.received()] for name, scp in scps.items()}
        files["orthanc"] = [orthanc.file(instance) for one in orthanc.study().series for instance in one.instances]
        files["files"] = [path.read_bytes() for path in (folder / "files").rglob("*.dcm")]
        yield Archives(node=node, job=job, files=files)


def test_orthanc_gets_binary_masks_by_itself(archives: Archives) -> None:
    """Result case 15: Orthanc 1.10 rejects Label Map Segmentation Storage; it holds BINARY masks and the report that refers to these, in
    the first attempt, with nothing refused, and the node says so."""
    mask = archives.masks("orthanc")
    assert (mask.SOPClassUID, mask.SegmentationType) == (SEG, "BINARY")
    sent = archives.sent("orthanc")
    assert (sent["state"], sent["attempts"], sent["form"]) == ("delivered", 1, "binary")
    assert "labelmap+rle: the sink takes no Label Map Segmentation Storage in RLE Lossless" in sent["notes"]
    assert all(one["accepted"] != one["left_out"] for one in sent["objects"]), "what was sent was taken, and nothing else says so"
    (fallback,) = [one for one in archives.node.events() if one["event"] == "delivery.fallback"]
    assert (fallback["sink"], fallback["form"]) == ("orthanc", "binary")


@pytest.mark.parametrize("sink", ["orthanc", "rle", "jls", "native", "files"])
def test_every_archive_holds_one_set(archives: Archives, sink: str) -> None:
    """One segmentation, and every report that refers to a segmentation refers to this one; the page is there too."""
    held = archives.sets(sink)
    mask = archives.masks(sink)
    referred = {
        str(item.ReferencedSOPInstanceUID)
        for one in held
        if one.Modality == "SR"
        for study in one.CurrentRequestedProcedureEvidenceSequence
        for group in study.ReferencedSeriesSequence
        for item in group.ReferencedSOPSequence
        if item.ReferencedSOPClassUID in (SEG, LABEL_MAP)
    }
    assert referred == {str(mask.SOPInstanceUID)}
    assert [one.Modality for one in held].count("OT") == 1


@pytest.mark.parametrize(
    ("sink", "form", "syntax"),
    [("rle", "labelmap+rle", RLELossless), ("jls", "labelmap+jpeg-ls", JPEGLSLossless), ("files", "labelmap+rle", RLELossless)],
)
def test_a_compressed_label_map_arrives_as_it_was_frozen(archives: Archives, sink: str, form: str, syntax: str) -> None:
    """Bit for bit: the data set that the archive keeps is the one in the node's blobs, whose digest the journal has."""
    mask = archives.masks(sink)
    assert (mask.SOPClassUID, mask.SegmentationType, mask.file_meta.TransferSyntaxUID) == (LABEL_MAP, "LABELMAP", syntax)
    frozen = archives.frozen("seg", form)
    assert mask.SOPInstanceUID == frozen["sop_uid"]
    (blob,) = [path for path in archives.node.folder.rglob("results/*.dcm") if _sha256(path.read_bytes()) == frozen["sha256"]]
    (kept,) = [data for data in archives.files[sink] if dcmread(BytesIO(data)).SOPInstanceUID == mask.SOPInstanceUID]
    assert data_set(kept) == data_set(blob.read_bytes())


def test_an_archive_without_the_codec_gets_the_same_label_map_decompressed(archives: Archives, tmp_path: Path) -> None:
    """Same instance, same voxels: DCMTK's own decoder gives the bytes that arrived uncompressed."""
    mask = archives.masks("native")
    assert (mask.SOPClassUID, mask.file_meta.TransferSyntaxUID) == (LABEL_MAP, ExplicitVRLittleEndian)
    frozen = archives.frozen("seg", "labelmap+jpeg-ls")
    assert mask.SOPInstanceUID == frozen["sop_uid"]
    (blob,) = [path for path in archives.node.folder.rglob("results/*.dcm") if _sha256(path.read_bytes()) == frozen["sha256"]]
    plain = tmp_path / "plain.dcm"
    subprocess.run([str(program("dcmdjpls", "dcmtk")), str(blob), str(plain)], check=True, timeout=60)
    decoded = dcmread(plain)
    assert decoded.PixelData == mask.PixelData
    assert any(one["detail"] == "sent in Explicit VR Little Endian" for one in archives.sent("native")["objects"])


def test_every_form_says_the_same_of_every_voxel(archives: Archives) -> None:
    """By position in space: which slices hold anything, and which pixels; by pydicom's decoders, and bits unpacked by hand."""
    found = {sink: _voxels(archives.masks(sink)) for sink in ("orthanc", "rle", "jls", "native")}
    assert found["orthanc"]
    for sink, voxels in found.items():
        assert voxels.keys() == found["orthanc"].keys(), sink
        assert all(np.array_equal(voxels[at], found["orthanc"][at]) for at in voxels), sink


def test_the_doctor_says_what_falls_back(archives: Archives) -> None:
    """Of each peer: what it takes as it is, what goes otherwise, and nothing bad where everything arrives."""
    findings = [one for one in archives.node.doctor()["findings"] if one["subject"].startswith("sink ")]
    assert [one for one in findings if one["level"] == "bad"] == []
    warned = {(one["subject"], one["detail"]) for one in findings if one["level"] == "warning"}
    assert ("sink orthanc", "takes no Label Map Segmentation Storage in RLE Lossless: binary masks and their report go instead") in warned
    native = (
        "takes no Label Map Segmentation Storage in JPEG-LS Lossless Image Compression: objects of kind seg go in Explicit VR Little Endian"
    )
    assert ("sink native", native) in warned
    assert {subject for subject, _ in warned} == {"sink orthanc", "sink native"}


def test_the_job_page_tells_it_to_people(archives: Archives) -> None:
    """Which form went where."""
    page = archives.node.hilum("jobs", "show", archives.job["id"]).out
    assert "masks as labelmap+rle" in page
    assert "masks as binary" in page
    assert "SEG labelmap+jpeg-ls" in page


def data_set(part10: bytes) -> bytes:
    """The bytes behind the file meta information, whose length stands in (0002,0000)."""
    return part10[132 + 12 + int.from_bytes(part10[140:144], "little") :]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _voxels(mask: Dataset) -> dict[tuple[float, ...], Any]:
    """Position of a slice (mm) → which pixels hold the segment; empty slices are none."""
    frames: NDArray[Any]
    if mask.SegmentationType == "BINARY":
        bits = np.unpackbits(np.frombuffer(mask.PixelData, np.uint8), bitorder="little")
        frames = bits[: mask.NumberOfFrames * mask.Rows * mask.Columns].reshape(mask.NumberOfFrames, mask.Rows, mask.Columns)
    else:
        frames = mask.pixel_array.reshape(-1, mask.Rows, mask.Columns)
    planes = [item.PlanePositionSequence[0].ImagePositionPatient for item in mask.PerFrameFunctionalGroupsSequence]
    return {tuple(float(one) for one in plane): frame != 0 for plane, frame in zip(planes, frames, strict=True) if frame.any()}


class Archive:
    """A storage SCP that takes label maps compressed, keeps every copy that comes, and holds the second one back until it may go on."""

    def __init__(self) -> None:
        self.copies: dict[str, list[bytes]] = {}
        self.holds, self.go_on = threading.Event(), threading.Event()
        self._came = 0
        ae = AE(ae_title="SLOW")
        for uid in (SEG, Comprehensive3DSRStorage, SecondaryCaptureImageStorage):
            ae.add_supported_context(uid, ExplicitVRLittleEndian)
        ae.add_supported_context(LABEL_MAP, [RLELossless, ExplicitVRLittleEndian])
        ae.add_supported_context(Verification)
        self._server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, self._store)])
        self.port = int(self._server.socket.getsockname()[1])

    def _store(self, event: Any) -> int:
        self.copies.setdefault(str(event.request.AffectedSOPInstanceUID), []).append(event.request.DataSet.getvalue())
        self._came += 1
        if self._came == 2:
            self.holds.set()
            self.go_on.wait(60)
        return 0x0000

    def close(self) -> None:
        self.go_on.set()
        self._server.shutdown()


def test_a_node_that_is_killed_while_it_sends_sends_the_same_bytes_again(tmp_path: Path) -> None:
    """SIGKILL to every process while the archive holds the report of the label map: after the restart both come again, bit for bit, and
    the archive has one set; nothing is encoded anew."""
    archive = Archive()
    port = free_port()
    written = configuration(
        tmp_path / "node",
        port=port,
        repository=tmp_path / "models",
        peers={
            "slow": {"ae_title": "SLOW", "address": f"127.0.0.1:{archive.port}", "may": ["echo"]},
            "ct": {"ae_title": "CT", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
        },
        sinks={"slow": sink_to("slow", {"masks": "labelmap", "compression": "rle"})},
        routes=[{"name": "CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["slow"]}],
    )
    written["models"] = {"repository": str(tmp_path / "models"), "applications": [str(APPLICATIONS)]}
    series(tmp_path / "ct")
    try:
        with Node(written, tmp_path / "node") as node:
            said = node.hilum("send", tmp_path / "ct", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "CT")
            assert said.code == 0, said.out + said.err
            assert archive.holds.wait(120)
            node.kill()
            archive.go_on.set()
            node.start()
            (listed,) = node.wait_for_jobs(lambda jobs: jobs and jobs[0]["state"] == "done", 240, "everything is delivered")
            job = node.hilum("jobs", "show", listed["id"], "--json").json
    finally:
        archive.close()
    frozen = {one["sop_uid"]: one for one in job["objects"]}
    blobs = {_sha256(path.read_bytes()): path.read_bytes() for path in (tmp_path / "node").rglob("results/*.dcm")}
    assert archive.copies
    for uid, copies in archive.copies.items():
        assert set(copies) == {data_set(blobs[frozen[uid]["sha256"]])}
    came = {(frozen[uid]["kind"], frozen[uid]["form"]): len(copies) for uid, copies in archive.copies.items()}
    assert set(came) == {("seg", "labelmap+rle"), ("sr", "labelmap+rle"), ("sc", "")}
    assert max(came.values()) == 2  # something was on its way when the node was killed
