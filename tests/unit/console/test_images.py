"""What the viewer shows: slices in space, in the header's window, turned as people look at them, and a mask where its frames lie."""

import html
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import RLELossless

from node.blobs.folder import FolderBlobs
from node.blobs.port import Blobs
from node.domain.instance import Standing
from node.observe.audit import codes
from node.observe.audit.message import Message, Person, StudyObject
from tests.contract.conftest import blobs, s3
from tests.unit.cli.conftest import Hospital
from tests.unit.console import imaged
from tests.unit.console.conftest import Browser, Open, browsers
from tests.unit.console.imaged import BLUE, DEPTH, RED, Imaged

__all__ = ["blobs", "s3"]
PEOPLE = ("vera", "otto", "ada")


@pytest.fixture
def plain(tmp_path: Path) -> Blobs:
    """Blobs in a folder, for what does not depend on where they lie."""
    return FolderBlobs(tmp_path / "blobs")


@pytest.fixture
def told() -> list[Message]:
    """What is said to the audit trail."""
    return []


def _at(hospital: Hospital, blobs: Blobs, told: list[Message] | None = None) -> Iterator[Open]:
    yield from browsers(hospital, blobs, told)


def _pixels(mine: Browser, path: str) -> NDArray[np.uint8]:
    answer = mine.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "image/png"), answer.text[:300]
    assert answer.headers["cache-control"] == "no-store"
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def _told(mine: Browser, study: Imaged) -> dict[str, Any]:
    """What the page tells its script."""
    text = mine.client.get(f"/studies/{study.study}/series/{study.series}").text
    found = re.search(r'data-told="([^"]+)"', text)
    assert found is not None
    said: dict[str, Any] = json.loads(html.unescape(found[1]))
    return said


def _image(study: Imaged, told: dict[str, Any], index: int) -> str:
    row, frame = told["images"][index]
    return f"/api/studies/{study.study}/images/{row}/{frame}"


def test_each_slice_has_its_own_pixels_and_its_own_mask(empty: Hospital, blobs: Blobs, tmp_path: Path) -> None:
    """From the head down, whatever the instance numbers say. The columns run to the patient's right: pictures are mirrored, and masks with
    them. Grey is the window's arithmetic (PS3.3 C.11.2.1.2.1), colours are the segments'; frames go the other way than the slices."""
    study = imaged.receive(empty, blobs, tmp_path / "in")
    for open_ in _at(empty, blobs):
        mine = open_("vera")
        told = _told(mine, study)
        assert len(told["images"]) == DEPTH
        assert told["edges"] == [[0, "R", "L", "A", "P"]]
        below = [z for z in reversed(range(DEPTH)) if study.segments[1][z].any()]
        assert told["marked"] == [DEPTH - 1 - z for z in below]
        assert told["mask"] == f"{study.job.id}/{study.seg.sop_instance_uid}"
        for index in range(DEPTH):
            z = DEPTH - 1 - index
            shown = _pixels(mine, f"{_image(study, told, index)}.png")
            share = (study.voxels[z].astype(float) - (500 - 0.5)) / (1000 - 1) + 0.5
            assert np.abs(shown.astype(float) - np.clip(share, 0, 1)[:, ::-1] * 255).max() <= 1, z
            mask = _pixels(mine, f"{_image(study, told, index)}/mask/{told['mask']}.png")
            assert mask.shape == (*shown.shape, 4)
            for number, colour in ((1, RED), (2, BLUE)):
                drawn = (mask[..., 3] == 255) & (np.abs(mask[..., :3].astype(int) - colour).max(axis=-1) <= 3)
                assert np.array_equal(drawn, study.segments[number][z][:, ::-1]), (z, number)
            assert not (mask[..., 3] > 0)[~(study.segments[1] | study.segments[2])[z][:, ::-1]].any()
        small = _pixels(mine, f"/api/jobs/{study.job.id}/objects/{study.seg.sop_instance_uid}/thumbnail.png")
        red, blue = (study.segments[number][4][:, ::-1] for number in (1, 2))
        assert (small[red][:, 0].mean(), small[blue][:, 2].mean()) > (120, 120)
        assert small[red][:, 0].mean() > small[red][:, 2].mean() + 80


def test_a_mask_on_another_grid_lies_where_its_frames_say(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """Cut off by four columns and moved by a third of a slice: each voxel stays at its place in the patient. Between two slices, it is on
    none; in another frame of reference it is refused."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    datasets = [dcmread(path) for path in study.files]
    cut = {number: mask[:, :, 4:] for number, mask in study.segments.items()}
    plain.delete(study.seg.blob)
    imaged.put(plain, study.seg.blob, imaged.segmentation(imaged.shifted(datasets, columns=4, depth_mm=1.0), cut), tmp_path)
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        for index in told["marked"]:
            mask = _pixels(mine, f"{_image(study, told, index)}/mask/{told['mask']}.png")
            truth = (study.segments[1] | study.segments[2])[DEPTH - 1 - index].copy()
            truth[:, :4] = False
            assert np.array_equal(mask[..., 3] > 0, truth[:, ::-1])
        assert len(told["marked"]) == 3
    plain.delete(study.seg.blob)
    imaged.put(plain, study.seg.blob, imaged.segmentation(imaged.shifted(datasets, columns=4, depth_mm=1.5), cut), tmp_path)
    for open_ in _at(empty, plain):
        assert _told(open_("otto"), study)["marked"] == []
    for one in datasets:
        one.FrameOfReferenceUID = "1.2.3"
    plain.delete(study.seg.blob)
    imaged.put(plain, study.seg.blob, imaged.segmentation(datasets, study.segments), tmp_path)
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        assert told["marked"] == []
        answer = mine.client.get(f"{_image(study, told, 4)}/mask/{study.job.id}/{study.seg.sop_instance_uid}.png")
        assert (answer.status_code, "frame of reference" in answer.json()["error"]) == (422, True)


def test_pixels_that_cannot_be_shown_say_why(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """A damaged compressed slice, one that is gone, an image of another study, a frame that there is not; the others stay to be seen."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    names = {one.sop_instance_uid: one.blob for one in empty.journal.study_instances(study.study)}
    broken, gone = dcmread(study.files[0]), dcmread(study.files[1])
    broken.PixelData = encapsulate([b"no run lengths"])
    broken.file_meta.TransferSyntaxUID = RLELossless
    broken["PixelData"].VR = "OB"
    plain.delete(names[broken.SOPInstanceUID])
    imaged.put(plain, names[broken.SOPInstanceUID], broken, tmp_path)
    plain.delete(names[gone.SOPInstanceUID])
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        answers = [mine.client.get(f"{_image(study, told, index)}.png") for index in range(DEPTH)]
        assert [one.status_code for one in answers] == [200] * (DEPTH - 2) + [410, 422]
        assert "not kept any more" in answers[-2].json()["error"]
        assert "[HLM-3005]" in answers[-1].json()["error"]
        assert "cannot be decoded" in answers[-1].json()["error"]
        row = told["images"][0][0]
        assert mine.client.get(f"/api/studies/1.2.3/images/{row}/1.png").status_code == 404
        assert mine.client.get(f"/api/studies/{study.study}/images/{row}/2.png").status_code == 404
        assert mine.client.get(f"/api/studies/{study.study}/images/999/1.png").status_code == 404
        assert mine.client.get(f"{_image(study, told, 0)}/mask/{study.job.id}/1.2.3.png").status_code == 404
        assert mine.client.get(f"/api/jobs/999/objects/{study.seg.sop_instance_uid}/thumbnail.png").status_code == 404
        report = next(one for one in empty.journal.objects(study.job.id) if one.kind == "sr")
        assert mine.client.get(f"/api/jobs/{study.job.id}/objects/{report.sop_instance_uid}/thumbnail.png").status_code == 404
        assert mine.client.get(f"/studies/{study.study}/series/1.2.3").status_code == 404


@pytest.mark.parametrize(("name", "sees"), [("vera", False), ("otto", True), ("ada", True)])
def test_pixels_that_may_name_the_patient_are_hidden(empty: Hospital, plain: Blobs, tmp_path: Path, name: str, sees: bool) -> None:
    """Slices with burned-in annotation; for those who may not see patients, and for nobody else."""
    study = imaged.receive(empty, plain, tmp_path / "in", BurnedInAnnotation="YES")
    for open_ in _at(empty, plain):
        mine = open_(name)
        told = _told(mine, study)
        answer = mine.client.get(f"{_image(study, told, 3)}.png")
        assert answer.status_code == (200 if sees else 403)
        assert sees or "your role" in answer.json()["error"]
        page = mine.client.get(f"/studies/{study.study}/series/{study.series}").text
        assert ("MPRAGE" in page, "Test, Head" in page) == (sees, sees)


@pytest.mark.parametrize("name", PEOPLE)
def test_every_role_looks_and_the_trail_knows(empty: Hospital, plain: Blobs, tmp_path: Path, told: list[Message], name: str) -> None:
    """Page and pictures are for everybody who is logged in and for nobody else; who looked is told once for a study, with the patient."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    for open_ in _at(empty, plain, told):
        mine = open_(name)
        said = _told(mine, study)
        paths = [
            f"/studies/{study.study}/series/{study.series}",
            f"{_image(study, said, 4)}.png",
            f"{_image(study, said, 4)}/mask/{said['mask']}.png",
            f"/api/jobs/{study.job.id}/objects/{study.seg.sop_instance_uid}/thumbnail.png",
        ]
        for path in paths:
            assert mine.client.get(path).status_code == 200, path
        stranger = open_()
        assert [stranger.client.get(path).status_code for path in paths] == [303, 401, 401, 401]
        (one,) = told
        assert (one.event, one.participants[0].user_id) == (codes.INSTANCES_ACCESSED, name)
        assert one.objects == (
            StudyObject(study_instance_uid=study.study), Person(patient_id="HILUM-TEST", issuer="", name="Test^Head"),
        )  # fmt: skip


def test_pixels_that_retention_deleted_say_so(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """The headers are kept: the page still knows how many images there were."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    for one in empty.journal.study_instances(study.study):
        plain.delete(one.blob)
        assert one.standing is Standing.CURRENT
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        answer = mine.client.get(f"{_image(study, told, 0)}.png")
        assert (answer.status_code, answer.json()) == (410, {"error": "the pixels are not kept any more"})
        small = _pixels(mine, f"/api/jobs/{study.job.id}/objects/{study.seg.sop_instance_uid}/thumbnail.png")
        assert small.shape == (180, 320, 3), "the reason in words, where no picture can be made"
