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
from pydicom import Dataset, dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from inference.imaging.write_series import write_series
from node.blobs.folder import FolderBlobs
from node.blobs.port import Blobs
from node.console.images import gallery
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


def _told(mine: Browser, study: Imaged, mask: str = "") -> dict[str, Any]:
    """What the page tells its script."""
    text = mine.client.get(f"/studies/{study.study}/series/{study.series}?mask={mask}").text
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


def _comes(hospital: Hospital, blobs: Blobs, study: Imaged, seg: Dataset, folder: Path) -> str:
    """A segmentation is sent with the study; its UID."""
    seg.SeriesDescription = "drawn by Dr Jones"
    path = folder / f"{seg.SOPInstanceUID}.dcm"
    seg.save_as(path, enforce_file_format=True)
    imaged.keep(hospital, blobs, [path], "pacs")
    return str(seg.SOPInstanceUID)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless], ids=["plain", "RLE"])
def test_fractions_are_as_opaque_as_they_are_large(empty: Hospital, plain: Blobs, tmp_path: Path, syntax: str) -> None:
    """A FRACTIONAL segmentation that came with the study, 200 of which is all: of two segments on a voxel the larger fraction is seen."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    z, _, x = np.indices(study.voxels.shape)
    first = np.where(z < 4, (x + 1) / 64, 0)
    second = np.where((z == 3) & (x < 8), 0.75, 0)
    made = imaged.segmentation(
        [dcmread(path) for path in study.files],
        {1: first, 2: second},
        "FRACTIONAL",
        fractional_type="PROBABILITY",
        max_fractional_value=200,
        transfer_syntax_uid=syntax,
    )
    uid = _comes(empty, plain, study, made, tmp_path)
    for open_ in _at(empty, plain):
        mine = open_("otto")
        page = mine.client.get(f"/studies/{study.study}/series/{study.series}?mask={uid}").text
        assert "Came with the study" in page
        assert "As opaque as the probability is high." in page
        assert _told(mine, study, uid)["mask"] == f"received/{uid}"
        told = _told(mine, study, uid)
        assert told["marked"] == [4, 5, 6, 7]
        for index in told["marked"]:
            here = DEPTH - 1 - index
            mask = _pixels(mine, f"{_image(study, told, index)}/mask/{told['mask']}.png")[:, ::-1].astype(int)
            largest = np.maximum(np.rint(first[here] * 200), np.rint(second[here] * 200)) / 200
            assert np.abs(mask[..., 3] - 255 * largest).max() <= 1
            blue = np.abs(mask[..., :3] - BLUE).max(axis=-1) <= 3
            assert np.array_equal(blue, (second[here] > 0) & (second[here] >= first[here]))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, JPEGLSLossless], ids=["plain", "RLE", "JPEG-LS"])
def test_a_label_map_is_drawn_in_its_segments_colours(empty: Hospital, plain: Blobs, tmp_path: Path, syntax: str) -> None:
    """One that came with the study, its background described as segment 0: that is neither drawn nor listed."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    made = imaged.segmentation([dcmread(path) for path in study.files], study.segments, "LABELMAP", transfer_syntax_uid=syntax)
    assert [int(one.SegmentNumber) for one in made.SegmentSequence] == [0, 1, 2]
    uid = _comes(empty, plain, study, made, tmp_path)
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study, uid)
        for index in told["marked"]:
            mask = _pixels(mine, f"{_image(study, told, index)}/mask/{told['mask']}.png")[:, ::-1].astype(int)
            for number, colour in ((1, RED), (2, BLUE)):
                drawn = (mask[..., 3] == 255) & (np.abs(mask[..., :3] - colour).max(axis=-1) <= 3)
                assert np.array_equal(drawn, study.segments[number][DEPTH - 1 - index]), (index, number)
        assert {DEPTH - 1 - index for index in told["marked"]} >= {2, 3, 4}
        page = mine.client.get(f"/studies/{study.study}/series/{study.series}?mask={uid}").text
        assert "part 1" in page
        assert "Background" not in page


def test_segmentations_that_came_are_of_this_study_and_space_and_their_words_for_who_may_read_them(
    empty: Hospital, plain: Blobs, tmp_path: Path
) -> None:
    """What others called segments and series is hidden as all that people type; one of another space is not offered, one of another study
    not found; what says of itself no type that there is is refused with the reason."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    datasets = [dcmread(path) for path in study.files]
    uid = _comes(empty, plain, study, imaged.segmentation(datasets, study.segments), tmp_path)
    odd = imaged.segmentation(datasets, study.segments)
    odd.SegmentationType = "OTHER"
    broken = _comes(empty, plain, study, odd, tmp_path)
    for one in datasets:
        one.FrameOfReferenceUID = "1.2.3"
    elsewhere = _comes(empty, plain, study, imaged.segmentation(datasets, study.segments), tmp_path)
    for open_ in _at(empty, plain):
        vera, otto = open_("vera"), open_("otto")
        hers, his = (mine.client.get(f"/studies/{study.study}/series/{study.series}?mask={uid}").text for mine in (vera, otto))
        for words in ("drawn by Dr Jones", "part 1"):
            assert (words in hers, words in his) == (False, True)
        assert "segment 1" in hers
        assert elsewhere not in his
        told = _told(otto, study, broken)
        assert told["mask"] is None
        answer = otto.client.get(f"{_image(study, told, 4)}/mask/received/{broken}.png")
        assert (answer.status_code, "SegmentationType is «OTHER»" in answer.json()["error"]) == (422, True)
        assert otto.client.get(f"{_image(study, told, 4)}/mask/received/1.2.3.png").status_code == 404


def test_a_segmentation_whose_segments_cannot_be_read_is_refused_and_the_images_are_shown(
    empty: Hospital, plain: Blobs, tmp_path: Path
) -> None:
    """Without a segment's number, with two numbers in the place of one, with words where a sequence belongs, in colour."""
    study = imaged.receive(empty, plain, tmp_path / "in")

    def made() -> Dataset:
        return imaged.segmentation([dcmread(path) for path in study.files], study.segments, "LABELMAP")

    unnumbered, twice, words, coloured = made(), made(), made(), made()
    del unnumbered.SegmentSequence[0].SegmentNumber
    twice.SegmentSequence[0].SegmentNumber = [1, 2]
    del words.SegmentSequence
    words.add_new(0x00620002, "LO", "a tumour")
    coloured.SamplesPerPixel, coloured.PhotometricInterpretation, coloured.PlanarConfiguration = 3, "RGB", 0
    coloured.PixelData = coloured.PixelData * 3
    uids = [_comes(empty, plain, study, one, tmp_path) for one in (unnumbered, twice, words, coloured)]
    for open_ in _at(empty, plain):
        mine = open_("otto")
        for uid in uids:
            told = _told(mine, study, uid)
            assert (told["mask"], len(told["images"])) == (None, DEPTH)
            assert mine.client.get(f"{_image(study, told, 4)}/mask/received/{uid}.png").status_code == 422


def test_more_segments_than_are_drawn_are_refused_and_so_are_more_frames(
    empty: Hospital, plain: Blobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The image on which both segments lie has no mask then, the one with one of them has; a segmentation of too many frames has none."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    monkeypatch.setattr(gallery, "MOST_SEGMENTS", 1)
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        for z, status in ((4, 422), (3, 200)):
            assert mine.client.get(f"{_image(study, told, DEPTH - 1 - z)}/mask/{told['mask']}.png").status_code == status
    monkeypatch.setattr(gallery, "MOST_FRAMES", 3)
    for open_ in _at(empty, plain):
        told = _told(open_("otto"), study)
        assert (told["mask"], len(told["images"])) == (None, DEPTH)


def test_an_image_is_shown_in_the_window_that_is_asked_for(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """PS3.3 C.11.2.1.2.1, in the values of the modality; half a window, none, or one of no width is refused. CT has windows by name."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    for open_ in _at(empty, plain):
        mine = open_("vera")
        told = _told(mine, study)
        assert (told["window"], told["modality"]) == ([500, 1000], "MR")
        page = mine.client.get(f"/studies/{study.study}/series/{study.series}").text
        assert "As the images say" in page
        assert "Mediastinum" not in page
        z, base = DEPTH - 1 - 4, f"{_image(study, told, 4)}.png"
        shown = _pixels(mine, f"{base}?centre=300&width=120")
        share = (study.voxels[z].astype(float) - (300 - 0.5)) / (120 - 1) + 0.5
        assert np.abs(shown.astype(float) - np.clip(share, 0, 1)[:, ::-1] * 255).max() <= 1
        assert np.array_equal(_pixels(mine, f"{base}?centre=500&width=1000"), _pixels(mine, base))
        for wrong in ("centre=1", "width=1", "centre=1&width=0", "centre=1&width=-3", "centre=nan&width=5", "centre=1&width=inf"):
            assert mine.client.get(f"{base}?{wrong}").status_code == 422, wrong


def test_a_ct_has_windows_by_name_and_an_image_without_one_says_its_own(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """Centre and width in HU; where no header gives a window, the one that the series is shown in by its values."""
    affine = np.array([[0.0, 0, 1, 0], [0, 1, 0, 0], [2, 0, 0, 0], [0, 0, 0, 1]])
    voxels = np.tile(np.linspace(-1000, 1000, 64, dtype=np.int16), (4, 16, 1))
    files = write_series(voxels, affine, tmp_path / "ct", modality="CT")
    for path in files:
        one = dcmread(path)
        del one.WindowCenter, one.WindowWidth
        one.save_as(path)
    imaged.keep(empty, plain, files, "pacs")
    for open_ in _at(empty, plain):
        mine = open_("otto")
        text = mine.client.get(f"/studies/{one.StudyInstanceUID}/series/{one.SeriesInstanceUID}").text
        assert re.search(r'data-window="-600,1500"[^>]*><kbd>1</kbd> Lung', text)
        found = re.search(r'data-told="([^"]+)"', text)
        assert found is not None
        centre, width = json.loads(html.unescape(found[1]))["window"]
        assert centre == pytest.approx(0, abs=20)
        assert 1900 < width <= 2000


def test_pixels_that_cannot_be_shown_say_why(empty: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """A damaged compressed slice, one that is gone, an image of another study, a frame that there is not; the others stay to be seen."""
    study = imaged.receive(empty, plain, tmp_path / "in")
    names = {one.sop_instance_uid: one.blob for one in empty.journal.instances.of_study(study.study)}
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
        report = next(one for one in empty.journal.results.of_job(study.job.id) if one.kind == "sr")
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
    for one in empty.journal.instances.of_study(study.study):
        plain.delete(one.blob)
        assert one.standing is Standing.CURRENT
    for open_ in _at(empty, plain):
        mine = open_("otto")
        told = _told(mine, study)
        answer = mine.client.get(f"{_image(study, told, 0)}.png")
        assert (answer.status_code, answer.json()) == (410, {"error": "the pixels are not kept any more"})
        small = _pixels(mine, f"/api/jobs/{study.job.id}/objects/{study.seg.sop_instance_uid}/thumbnail.png")
        assert small.shape == (180, 320, 3), "the reason in words, where no picture can be made"


def test_the_value_under_the_cursor(hospital: Hospital, plain: Blobs, tmp_path: Path) -> None:
    """That of the pixel which is shown there: the patient's right is at the left, and the first image is the highest."""
    study = imaged.receive(hospital, plain, tmp_path / "in")
    for open_ in _at(hospital, plain):
        mine = open_("vera")
        row, frame = _told(mine, study)["images"][0]
        rows, columns = study.voxels.shape[1:]
        for x, y in ((0, 0), (columns - 1, rows - 1), (5, 11)):
            where = f"right={(x + 0.5) / columns}&down={(y + 0.5) / rows}"
            found = mine.client.get(f"/api/studies/{study.study}/images/{row}/{frame}/value?{where}").json()
            assert found["value"] == study.voxels[DEPTH - 1, y, columns - 1 - x]
        assert mine.client.get(f"/api/studies/{study.study}/images/{row}/{frame}/value?right=2&down=0").status_code == 422
        assert mine.client.get(f"/api/studies/1.2.9/images/{row}/{frame}/value?right=0&down=0").status_code == 404
