"""ct-head-bleed the whole way: the published networks, a real head with a planted bleed; masks and reports in an archive, a report alone
at a worklist, and what a reader sees of it."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML
from scipy import ndimage

from bench.bleed import Head, real_head
from bench.bleed_made import Bleed, bleeds
from inference.imaging.assemble import assemble
from inference.imaging.resample import Grid
from tests.lab import report, validators
from tests.lab.howto import HowTo
from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.node import QUIET, Node, configuration, models
from tests.lab.ohif import Viewer
from tests.lab.orthanc import Orthanc, Study
from tests.lab.series import another_study

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(900)]

APPLICATIONS = Path(__file__).parents[2] / "bench" / "applications"
PAGE = HowTo("head-bleed.md")
_ROUTE, _WORKLIST = (YAML(typ="safe").load(block) for block in PAGE.blocks("yaml"))
ROUTES: tuple[dict[str, object], ...] = (
    {"name": "every CT", "when": {"Modality": "CT"}, "run": ["bench-threshold"], "send": ["files"]},
    {**_ROUTE["routes"][0], "send": ["archive", "worklist"]},
)
VOLUME = "118565006"  # SCT
LEFT_OUT = 10
"""Lowest slices, which have neither the bleed nor much of the brain."""
THICK = np.linspace(-0.4, 0.4, 5)
"""Places across a slice, as shares of its thickness, whose mean it shows."""


def planted(folder: Path) -> tuple[str, Head, Bleed]:
    """The real head, but for its lowest slices, with a planted bleed of 10.7 cm³ and 61 HU on the slices as acquired: their gantry was
    tilted, and they are of two thicknesses. Its Study Instance UID, the head and the bleed at 1 mm."""
    source = data("dicom", "ct_head_GE_gantrytilt.zip")
    head = real_head(source)
    *_, bleed = bleeds(head.hu, head.brain, 6, faint=0, seed=8)
    added = bleed.hu - head.hu
    heights_mm = np.argwhere(added) @ head.grid.affine[2, :3] + head.grid.affine[2, 3]
    bottom_mm, top_mm = heights_mm.min(), heights_mm.max()

    def plant(one: pydicom.Dataset) -> None:
        across, down = (np.array(one.ImageOrientationPatient[at : at + 3], dtype=float) for at in (0, 3))
        middle = points(one)
        thickness_mm = float(one.SliceThickness)
        through = thickness_mm * np.cross(across, down)
        if middle[..., 2].max() > bottom_mm - thickness_mm and middle[..., 2].min() < top_mm + thickness_mm:
            blood = np.mean([sampled(added, head.grid, middle + share * through) for share in THICK], axis=0)
            one.PixelData = (one.pixel_array + np.rint(blood / float(one.RescaleSlope))).astype(np.int16).tobytes()
        # which the publisher left empty
        one.DeidentificationMethod = "by the publisher"

    said = {"PatientID": "P-BLEED", "PatientName": "Doe^Jane"}
    study, files = another_study(source, folder, "planted", attributes=said, change=plant)
    for path in sorted(files, key=lambda path: float(pydicom.dcmread(path, stop_before_pixels=True).ImagePositionPatient[2]))[:LEFT_OUT]:
        path.unlink()
    return study, head, bleed


def points(one: pydicom.Dataset) -> NDArray[np.float64]:
    """Where the pixels of an image are, (rows, columns, 3) mm."""
    across, down = (np.array(one.ImageOrientationPatient[at : at + 3], dtype=np.float64) for at in (0, 3))
    rows, columns, _ = np.mgrid[: one.Rows, : one.Columns, :1]
    at: NDArray[np.float64] = rows * one.PixelSpacing[0] * down + columns * one.PixelSpacing[1] * across
    return at + np.array(one.ImagePositionPatient, dtype=np.float64)


def sampled(values: NDArray[Any], grid: Grid, points_mm: NDArray[np.float64]) -> NDArray[Any]:
    """Values at points in space (…, 3), linearly; 0 beyond the grid."""
    inverse = np.linalg.inv(grid.affine)
    found: NDArray[Any] = ndimage.map_coordinates(values, np.moveaxis(points_mm @ inverse[:3, :3].T + inverse[:3, 3], -1, 0), order=1)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """Who got what."""

    node: Node
    archive: Orthanc
    study: Study
    worklist: list[pydicom.Dataset]
    grid: Grid
    bleed: Bleed
    seg: Path
    reports: list[Path]
    page: Path
    images: list[Path]
    job: dict[str, Any]
    routine: dict[str, Any]


@pytest.fixture(scope="module")
def came(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Came]:
    """The head was sent to a node that analyses it by two routes, and delivers to two archives and a folder."""
    folder = tmp_path_factory.mktemp("bleed")
    weights = data("weights", "blast_ct")
    (bring,) = PAGE.commands()
    assert bring.startswith("hilum models import ")
    repository = models(tuple(weights / word if word.endswith(".pt") else word for word in PAGE.typed(bring).split()[3:]))
    uid, head, bleed = planted(folder / "ct")
    port = free_port()
    archive = Orthanc(folder / "archive", node_port=port, aet="PACS")
    worklist = Orthanc(folder / "worklist", node_port=port, aet="RIS")
    written = configuration(
        folder / "node",
        port=port,
        repository=repository,
        peers={
            **{
                name: {"ae_title": one.aet, "address": f"127.0.0.1:{one.dicom_port}", "may": ["echo"]}
                for name, one in (("pacs", archive), ("ris", worklist))
            },
            "ct": {"ae_title": "CT", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}},
        },
        sinks={
            "archive": {"kind": "dimse", "peer": "pacs", "profile": "viewer"},
            **_WORKLIST["sinks"],
            "files": {"kind": "folder", "path": str(folder / "files")},
        },
        routes=ROUTES,
    )
    written["models"] = {"repository": str(repository), "applications": [str(APPLICATIONS)]}
    with ExitStack() as running:
        running.enter_context(archive)
        running.enter_context(worklist)
        node = running.enter_context(Node(written, folder / "node"))
        archive.upload(folder / "ct")
        said = node.hilum("send", folder / "ct", "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "CT")
        assert said.code == 0, said.out + said.err
        listed = node.wait_for_jobs(
            lambda jobs: len(jobs) == 2 and all(one["state"] == "done" for one in jobs), 500, "both are analysed and delivered"
        )
        by_application = {one["application"]: node.hilum("jobs", "show", one["id"], "--json").json for one in listed}
        study = archive.study(uid)
        back = {
            modality: [path for series in study.of(modality) for path in archive.download(series, folder / "back")]
            for modality in ("CT", "SEG", "SR", "OT")
        }
        (seg,), (page,) = back["SEG"], back["OT"]
        yield Came(
            node=node,
            archive=archive,
            study=study,
            worklist=[
                pydicom.dcmread(BytesIO(worklist.file(instance))) for series in worklist.study(uid).series for instance in series.instances
            ],
            grid=head.grid,
            bleed=bleed,
            seg=seg,
            reports=back["SR"],
            page=page,
            images=back["CT"],
            job=by_application["ct-head-bleed"],
            routine=by_application["bench-threshold"],
        )


def test_validators_find_nothing(came: Came) -> None:
    """dciodvfy, dsrdump and PixelMed on each object, dcentvfy on the study: nothing beyond the documented false alarms."""
    faults = validators.faults_of(came.seg) + validators.faults_of(came.page)
    faults += [fault for path in came.reports for fault in validators.faults_of(path, report=True)]
    faults += validators.dcentvfy([came.images[0], came.seg, *came.reports, came.page])
    assert faults == []


def test_the_mask_lies_on_the_planted_blood(came: Came) -> None:
    """On the slices as acquired: a Dice of 0.85 with what was planted; the report has its code, its place, and the volume of the mask,
    within a fifth of the planted one."""
    seg = hd.seg.segread(came.seg)
    (segment,) = (one for one in seg.SegmentSequence if one.SegmentLabel == "intraparenchymal haemorrhage")
    (type_,), (region,) = segment.SegmentedPropertyTypeCodeSequence, segment.AnatomicRegionSequence
    assert (type_.CodeValue, region.CodeValue) == ("50960005", "12738006")
    volume = assemble(came.images)
    uids = [one.sop_instance_uid for one in volume.sources]
    pixels = seg.get_pixels_by_source_instance(uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True)
    marked = pixels[..., segment.SegmentNumber - 1] > 0
    where = {one.SOPInstanceUID: one for one in (pydicom.dcmread(path, stop_before_pixels=True) for path in came.images)}
    blood = np.stack([sampled(came.bleed.inside.astype(np.float32), came.grid, points(where[uid])) >= 0.5 for uid in uids])
    assert 2 * (marked & blood).sum() / (marked.sum() + blood.sum()) > 0.85
    trees = [validators.dsrdump(path)[1] for path in came.reports]
    (measured,) = (path for path, tree in zip(came.reports, trees, strict=True) if "ABC-HALF" in tree)
    volume_cm3, unit = report.numbers(measured, VOLUME)[0]
    assert unit == "cm3"
    assert volume_cm3 == pytest.approx(volume.volume_mm3(marked) / 1000, rel=1e-3)
    assert volume_cm3 == pytest.approx(came.bleed.cm3, rel=0.2)


def test_a_worklist_gets_the_report_alone(came: Came) -> None:
    """By the profile `triage`: the very object that the archive holds beside masks, measurements and a page, which says present."""
    (one,) = came.worklist
    (same,) = (path for path in came.reports if pydicom.dcmread(path).SOPInstanceUID == one.SOPInstanceUID)
    _, tree = validators.dsrdump(same)
    assert '(1386000,SCT,"Intracranial hemorrhage")=(52101004,SCT,"Present")' in tree


def test_urgent_before_routine(came: Came) -> None:
    """Both came with one study, the routine one first in the configuration: the worker takes the urgent one first, by its deadline."""
    taken = {job["application"]: _at(job, "job.claimed") for job in (came.job, came.routine)}
    assert came.routine["id"] < came.job["id"]
    assert taken["ct-head-bleed"] < taken["bench-threshold"]
    assert _at(came.job, "job.done") <= came.job["deadline_at"]
    PAGE.followed()


def _at(job: dict[str, Any], event: str) -> str:
    """When an event was, in ISO 8601."""
    (at,) = [str(one["at"]) for one in job["events"] if one["name"] == event]
    return at


def test_a_reader_sees_it(came: Came) -> None:
    """OHIF draws the segment in its red over a grey slice, and shows the report's sentence."""
    with Viewer(came.archive.url) as viewer, viewer.open(came.study.uid) as opened:
        assert opened.coloured() == 0
        opened.show_series("SEG")
        opened.wait_for_overlay(100)
        opened.show_series("Head haemorrhage report")
        opened.wait_for_text("Intracranial hemorrhage: present in the head")
        assert viewer.said == []
