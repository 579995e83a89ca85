"""The main job on real heads: a PACS forwards them by itself; segmentation, report and summary page come back into it, right, once."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
import pytest
from scipy import ndimage

from tests.lab import dcmtk, report, source, validators
from tests.lab.hospital import RESULTS, Hospital, hospital
from tests.lab.needs import data
from tests.lab.node import models
from tests.lab.ohif import Viewer
from tests.lab.orthanc import Study
from tests.lab.program import wait_until
from tests.lab.series import unpacked

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]

# how the heads were acquired: 384 transverse slices, defaced; 35 sagittal slices; one enhanced multi-frame object of 96 sagittal frames
HEADS = ("mr_t1_3d_brain_datalad", "mr_t1_sag_HFS_decubitus", "mr_enhanced_xa30_T1")
IN_VIEWER = ("mr_t1_3d_brain_datalad", "mr_enhanced_xa30_T1")
"""Over the sagittal one `test_viewer_results.py` looks at a mask, pixel by pixel."""
VOLUME = "118565006"  # SCT


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """What one head was, and what came back for it."""

    head: source.Source
    sources: list[Path]
    seg: Path
    sr: Path
    sc: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """One PACS that forwards, one node, for all heads."""
    with hospital(tmp_path_factory.mktemp("head"), models(("mr-brain",))) as both:
        yield both


@pytest.fixture(scope="module")
def came(site: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Came]:
    """Every head was uploaded into the PACS, and its results came back."""
    heads = {name: source.read(data("dicom", f"{name}.zip")) for name in HEADS}
    for name in HEADS:
        site.pacs.upload(data("dicom", f"{name}.zip"))
    found = {}
    for name, head in heads.items():
        study = site.results(head.study_uid)
        folder = tmp_path_factory.mktemp(name)
        one = {}
        for modality in RESULTS:
            (series,) = study.of(modality)
            (one[modality],) = site.pacs.download(series, folder)
        (images,) = study.of("MR")
        found[name] = Came(head=head, sources=site.pacs.download(images, folder / "source"), seg=one["SEG"], sr=one["SR"], sc=one["OT"])
    return found


@pytest.fixture(scope="module")
def viewer(site: Hospital) -> Iterator[Viewer]:
    """OHIF beside the archive, for all heads: its scripts take as long as a head."""
    with Viewer(site.pacs.url) as running:
        yield running


@pytest.mark.parametrize("name", HEADS)
def test_validators_find_nothing(came: Mapping[str, Came], name: str) -> None:
    """dciodvfy, dsrdump and PixelMed on each object, dcentvfy on the study: nothing beyond the documented false alarms."""
    one = came[name]
    faults = validators.faults_of(one.seg) + validators.faults_of(one.sr, report=True) + validators.faults_of(one.sc)
    # the source's own disagreements are not ours: one instance of it stands for the study
    faults += validators.dcentvfy([one.sources[0], one.seg, one.sr, one.sc])
    assert faults == []


@pytest.mark.parametrize("name", HEADS)
def test_the_mask_lies_on_the_source_grid(came: Mapping[str, Came], name: str) -> None:
    """As Slicer reads it: rows, columns, directions and every slice's position are those of the source images."""
    head = came[name].head
    (segment,) = validators.segimage2itkimage(came[name].seg)
    assert segment.mask.shape[1:] == head.voxels.shape[1:]
    assert segment.affine[:3, :2] == pytest.approx(head.affine[:3, :2], abs=1e-3)
    # the file may leave out slices without mask, and run the other way: its slices must be some of the source's
    for k in range(segment.mask.shape[0]):
        position = (segment.affine @ [0, 0, k, 1])[:3]
        assert np.linalg.norm(head.positions - position, axis=1).min() < 0.02


@pytest.mark.parametrize("name", HEADS)
def test_the_report_says_what_the_mask_measures(came: Mapping[str, Came], name: str) -> None:
    """Counted by dcmqi, printed by dsrdump: within one percent of each other, and of the size of a head's inside."""
    (segment,) = validators.segimage2itkimage(came[name].seg)
    ((value, unit),) = report.numbers(came[name].sr, VOLUME)
    assert unit == "cm3"
    assert value == pytest.approx(segment.volume_ml, rel=0.01)
    assert 1200 < value < 1900


@pytest.mark.parametrize("name", HEADS)
def test_the_mask_sits_in_the_head(came: Mapping[str, Came], name: str) -> None:
    """The head is found by intensity alone: the mask lies within it, in its upper half, between left and right."""
    head = came[name].head
    (segment,) = validators.segimage2itkimage(came[name].seg)
    inside = head.inside_head()
    k, row, column = head.index_of(segment.points_mm()).T
    assert inside[k, row, column].mean() > 0.985
    skull = np.argwhere(inside)[:, ::-1] @ head.affine[:3, :3].T + head.affine[:3, 3]
    # LPS: z grows towards the top of the head, where the brain is
    assert segment.centroid_mm[2] > skull.mean(axis=0)[2] + 10
    # left and right are symmetrical within a centimetre
    assert segment.centroid_mm[0] == pytest.approx(np.median(skull[:, 0]), abs=10)


@pytest.mark.parametrize("name", HEADS)
def test_the_mask_fits_the_anatomy_nowhere_else(came: Mapping[str, Came], name: str) -> None:
    """Contrast between the mask and a rim around it is strongest where the mask lies: a centimetre in any direction makes it weaker."""
    head = came[name].head
    (segment,) = validators.segimage2itkimage(came[name].seg)
    mask = np.zeros(head.voxels.shape, dtype=bool)
    mask[tuple(head.index_of(segment.points_mm()).T)] = True
    spacing_mm = np.linalg.norm(head.affine[:3, :3], axis=0)[::-1]
    every = np.maximum(1, np.rint(2 / spacing_mm)).astype(int)
    coarse = tuple(slice(None, None, step) for step in every)
    voxels, mask, spacing_mm = head.voxels[coarse], mask[coarse], spacing_mm * every
    rim = (ndimage.distance_transform_edt(~mask, sampling=spacing_mm) <= 8) & ~mask

    def contrast(axis: int, steps: int) -> float:
        return abs(float(voxels[np.roll(mask, steps, axis)].mean() - voxels[np.roll(rim, steps, axis)].mean()))

    here = contrast(0, 0)
    for axis in range(3):
        step = max(1, round(10 / spacing_mm[axis]))
        assert contrast(axis, step) < 0.9 * here
        assert contrast(axis, -step) < 0.9 * here


@pytest.mark.parametrize("name", HEADS)
def test_the_summary_page_is_a_picture_for_people(came: Mapping[str, Came], name: str) -> None:
    """An RGB Secondary Capture in a series of its own, with the patient of the images, large enough to be read."""
    page, image = pydicom.dcmread(came[name].sc), pydicom.dcmread(came[name].sources[0], stop_before_pixels=True)
    assert page.PhotometricInterpretation == "RGB"
    assert min(page.Rows, page.Columns) >= 500
    assert (page.StudyInstanceUID, page.PatientID) == (image.StudyInstanceUID, image.PatientID)
    assert page.SeriesInstanceUID != image.SeriesInstanceUID
    pixels = page.pixel_array.astype(np.int16)
    assert (pixels.max(axis=2) - pixels.min(axis=2) > 40).sum() > 500, "contours have a colour"


@pytest.mark.parametrize("name", IN_VIEWER)
def test_the_viewer_shows_it_over_the_head(viewer: Viewer, came: Mapping[str, Came], name: str, tmp_path: Path) -> None:
    """OHIF beside the archive: no colour before, thousands of coloured pixels after the segmentation is opened."""
    with viewer.open(came[name].head.study_uid) as shown:
        assert shown.coloured() == 0
        shown.show_series("SEG")
        shown.wait_for_overlay(0)  # at the first slice that has some
        shown.scroll_to(0.5)
        shown.wait_for_overlay(9_000)
        shown.screenshot(tmp_path / f"{name}.png")


def test_what_it_did_can_be_read(site: Hospital, came: Mapping[str, Came]) -> None:
    """`hilum jobs list` has one job a head, done; `hilum doctor` finds nothing bad."""
    jobs = site.node.wait_for_jobs(lambda all_of_them: all(job["state"] == "done" for job in all_of_them), 180, "all done")
    assert sorted(job["study_uid"] for job in jobs) == sorted(one.head.study_uid for one in came.values())
    assert {job["application"].split("@")[0].split(" ")[0] for job in jobs} == {"mr-brain"}
    found = site.node.doctor()
    assert found["good"], found


def test_the_same_study_twice_gives_one_set_of_results(site: Hospital, came: Mapping[str, Came], tmp_path: Path) -> None:
    """Network case 25: The PACS sends everything again; the archive holds the same three results, byte for byte, and no job is new."""
    uid = came["mr_t1_sag_HFS_decubitus"].head.study_uid
    before = _digests(site, site.pacs.study(uid))
    jobs = site.node.jobs()
    (images,) = site.pacs.study(uid).of("MR")
    site.pacs.send(images.identifier)
    # whatever came after it has settled and was routed: so has this study, if it was opened again at all
    marker = source.read(data("dicom", "mr_hippocrop_Study1.zip"))
    said = dcmtk.dcmsend(site.node.port, *unpacked(data("dicom", "mr_hippocrop_Study1.zip"), tmp_path))
    assert said.code == 0, said.text
    wait_until(lambda: _routed(site, marker.study_uid), 30, "a study that came later was routed")
    jobs_of_others = [job for job in site.node.jobs() if job["study_uid"] != marker.study_uid]
    assert jobs_of_others == jobs
    assert _routed(site, uid)
    assert _digests(site, site.pacs.study(uid)) == before


def test_results_deleted_in_the_archive_come_back_byte_for_byte(site: Hospital, came: Mapping[str, Came]) -> None:
    """`hilum jobs resend` sends the frozen objects: the archive holds the very same bytes again."""
    uid = came["mr_t1_sag_HFS_decubitus"].head.study_uid
    study = site.pacs.study(uid)
    before = _digests(site, study)
    site.pacs.delete(*(series for modality in RESULTS for series in study.of(modality)))
    assert _digests(site, site.pacs.study(uid)) == {}
    (job,) = (job for job in site.node.jobs() if job["study_uid"] == uid)
    said = site.node.hilum("jobs", "retry", job["id"])
    assert said.code == 0, said.out + said.err
    assert _digests(site, site.results(uid, 60)) == before


def _routed(site: Hospital, uid: str) -> bool:
    """Whether the study is known, and nothing of it waits for its quiet window."""
    states = [study["state"] for study in site.node.studies() if study["study_uid"] == uid]
    return bool(states) and not {"received", "complete"} & set(states)


def _digests(site: Hospital, study: Study) -> dict[str, str]:
    """SOP Instance UID → SHA-256 of the data set as the archive holds it; only what the node sent."""
    found = {}
    for modality in RESULTS:
        for series in study.of(modality):
            for instance in series.instances:
                data_set = site.pacs.file(instance)
                uid = re.sub(rb"[^0-9.]", b"", site.pacs.call("GET", f"/instances/{instance}/content/0008-0018")).decode()
                # the archive writes its own file meta information; the data set begins after it
                meta_length = int.from_bytes(data_set[140:144], "little")
                found[uid] = hashlib.sha256(data_set[144 + meta_length :]).hexdigest()
    return found


def test_the_archive_is_asked_by_a_stranger(site: Hospital) -> None:
    """An AE title that is no peer is refused at association, and the node stays up."""
    said = dcmtk.echoscu(site.node.port, calling="STRANGER")
    assert said.code != 0
    assert "Rejected" in said.text
    site.pacs.echo()
