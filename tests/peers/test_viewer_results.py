"""What a reader sees of the results: OHIF in Chromium beside a real archive, judged by its pixels and its words."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pydicom
import pytest

from inference import codes
from inference.findings import Box, DerivedImage, Evaluation, Findings, Saliency
from inference.imaging.assemble import assemble
from node.domain.profile import EXPLANATIONS, VIEWER, Form, Kind, MaskEncoding, Profile
from node.results.encode import encode
from tests.lab import source
from tests.lab.loopback import free_port
from tests.lab.needs import data
from tests.lab.ohif import SMALL, WITH_PANEL, Viewer
from tests.lab.orthanc import Orthanc
from tests.lab.series import unpacked
from tests.peers.letters import (
    BOX,
    SERIES,
    Shown,
    block,
    bright,
    coloured,
    dice,
    drawn,
    fits,
    framed,
    letter,
    middle,
    on_grid,
    places,
    study,
)
from tests.results import kinds, made

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LABEL_MAP = Profile(name="label map", masks=MaskEncoding.LABELMAP)


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One archive for all that is shown. Orthanc 1.10 has no label maps among its classes unless it is told to take unknown ones."""
    options = {"AcceptedTransferSyntaxes": ["1.2.840.10008.1.*"], "UnknownSopClassAccepted": True}
    with Orthanc(tmp_path_factory.mktemp("pacs") / "pacs", node_port=free_port(), options=options) as running:
        yield running


@pytest.fixture(scope="module")
def viewer(pacs: Orthanc) -> Iterator[Viewer]:
    """One browser."""
    with Viewer(pacs.url, size=SMALL) as running:
        yield running


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    """A new folder each time."""
    return lambda: tmp_path_factory.mktemp("series")


@pytest.mark.parametrize("name", SERIES)
def test_the_overlay_lies_on_what_was_found(name: str, pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """On every slice the coloured pixels are the bright ones; on slices without, there are none."""
    files, volume = study(folder(), letter(), SERIES[name])
    found = made.measured(made.segment("letter", on_grid(letter(), SERIES[name], volume)), affine=SERIES[name])
    shown = Shown(pacs, files, found, volume)
    shown.store(Kind.SEG)
    said = len(viewer.said)
    assert min(fits(viewer, shown.study)) > 0.9
    assert viewer.said[said:] == []


def test_an_overlay_that_lies_elsewhere_is_seen(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """The check can fail: where the mask is wrong by little it covers less than it must, on each such slice, and on no other."""
    mask = letter()
    wrong = mask.copy()
    # as if one slice further
    wrong[3], wrong[4] = mask[4], mask[3]
    wrong[7] = np.roll(mask[7], 4, axis=1)
    wrong[9] = mask[9, :, ::-1]
    files, volume = study(folder(), mask, SERIES["axial"])
    assert volume.affine[2, 0] > 0, "slice 7 of the volume is slice 7 of the letter"
    shown = Shown(pacs, files, made.measured(made.segment("letter", wrong), affine=SERIES["axial"]), volume)
    shown.store(Kind.SEG)
    # the viewer counts them from the other end
    seen = fits(viewer, shown.study, tuple(15 - index for index in (3, 4, 7, 8, 9)))
    assert [covered > 0.9 for covered in seen] == [False, False, False, True, False]


def test_frames_of_no_whole_bytes_need_a_byte_a_pixel(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """71 x 63 pixels are 559 bytes and a bit. The frames of a BINARY segmentation follow each other bit by bit (PS3.5 8.1.1); Orthanc 1.10
    cannot cut them apart for the viewer, and says so. The viewer then reads all of it, the first pixel of a byte from its highest bit, and
    scatters the edges. A label map has a byte a pixel and is shown where it belongs; so is what the profile for viewers has."""
    mask = letter()[:, :71, :63]
    files, volume = study(folder(), letter(), SERIES["axial"], cut=(slice(None), slice(71), slice(63)))
    found = made.measured(made.segment("letter", mask), affine=SERIES["axial"])
    shown = Shown(pacs, files, found, volume, profiles=(LABEL_MAP,))
    masks = {one.form: one for one in shown.objects if one.kind is Kind.SEG}
    binary, labels = masks[Form.BINARY], masks[Form.LABELMAP]
    identifier = pacs.post_instance(binary.data)
    series = f"/dicom-web/studies/{shown.study}/series/{binary.series_instance_uid}"
    with pytest.raises(AssertionError, match="400"):
        pacs.call("GET", f"{series}/instances/{binary.sop_instance_uid}/frames/2")
    assert min(fits(viewer, shown.study)) < 0.9
    pacs.call("DELETE", f"/instances/{identifier}")
    pacs.post_instance(labels.data)
    said = len(viewer.said)
    assert min(fits(viewer, shown.study)) > 0.9
    assert viewer.said[said:] == []


@pytest.mark.parametrize(("rows", "columns"), [(71, 63), (67, 62)], ids=["an odd number of pixels", "an even number of pixels"])
def test_the_profile_for_viewers_shows_masks_of_any_grid_in_place(
    rows: int, columns: int, pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]
) -> None:
    """Stored is what `viewer` selects. Two segments share voxels, which no label map holds: together they cover what is bright."""
    one, other = letter()[:, :rows, :columns], letter()[:, :rows, :columns]
    one[:, :, 28:] = False
    other[:, :36] = False
    assert (one & other).any()
    affine = SERIES["axial"]
    files, volume = study(folder(), letter(), affine, cut=(slice(None), slice(rows), slice(columns)))
    found = made.measured(made.segment("upright", one, rgb=(255, 0, 0)), made.segment("foot", other, rgb=(0, 0, 255)), affine=affine)
    shown = Shown(pacs, files, found, volume, profiles=(VIEWER,))
    assert {each.form for each in shown.objects if each.kind is Kind.SEG} == {Form.BINARY, VIEWER.form}
    shown.store(Kind.SEG, form=VIEWER.form)
    said = len(viewer.said)
    assert min(fits(viewer, shown.study)) > 0.9
    assert viewer.said[said:] == []


def test_two_that_overlap_are_both_shown(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """Result case 10, as a reader sees it: each alone in its colour, and together they cover what is bright."""
    one, other = letter(), letter()
    one[:, :, 28:] = False
    other[:, :36] = False
    assert (one & other).any()
    affine = SERIES["axial"]
    files, volume = study(folder(), letter(), affine)
    found = made.measured(made.segment("upright", one, rgb=(255, 0, 0)), made.segment("foot", other, rgb=(0, 0, 255)), affine=affine)
    shown = Shown(pacs, files, found, volume)
    shown.store(Kind.SEG)
    with viewer.open(shown.study) as opened:
        lit = bright(opened.slice(8))
        opened.show_series("SEG")
        opened.wait_for_overlay(0)
        picture = opened.slice(8)
    assert dice(lit, coloured(picture)) > 0.9
    hues = middle(picture).astype(np.int16)
    red, blue = hues[..., 0] - hues[..., 2] > 24, hues[..., 2] - hues[..., 0] > 24
    rows, columns = np.argwhere(lit).T
    corner = rows.max() - (rows.max() - rows.min()) * 2 // 7
    assert (red & (np.arange(len(red))[:, None] < corner)).sum() > 130, "the upright is red above the foot"
    assert (blue & (np.arange(red.shape[1]) > (columns.min() + columns.max()) // 2)).sum() > 130, "the foot is blue beyond the upright"


def test_a_label_map_has_its_own_colours(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """Two structures in one label map: the first is red and the second blue, not the one before it in the list."""
    one, other = letter(), letter()
    one[:, :, 28:] = False
    other[:, :, :28] = False
    affine = SERIES["axial"]
    files, volume = study(folder(), letter(), affine)
    found = made.measured(made.segment("upright", one, rgb=(255, 0, 0)), made.segment("foot", other, rgb=(0, 0, 255)), affine=affine)
    shown = Shown(pacs, files, found, volume, profiles=(LABEL_MAP,))
    shown.store(Kind.SEG, form=Form.LABELMAP)
    with viewer.open(shown.study) as opened:
        lit = bright(opened.slice(8))
        opened.show_series("SEG")
        opened.wait_for_overlay(0)
        picture = opened.slice(8)
    assert dice(lit, coloured(picture)) > 0.9
    hues = middle(picture).astype(np.int16)
    red, blue = hues[..., 0] - hues[..., 2] > 24, hues[..., 2] - hues[..., 0] > 24
    across = np.arange(red.shape[1])[None] * np.ones_like(red, dtype=int)
    assert red.sum() > 500
    assert blue.sum() > 500
    assert across[red].max() <= across[blue].min() + 4, "red is the upright at the left, blue the foot at the right"


def test_the_overlay_of_a_real_sagittal_head_lies_on_the_head(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """A scanner's own sagittal slices of a patient on the side: the mask of what is brighter than air covers the head that one sees."""
    head = data("dicom", "mr_t1_sag_HFS_decubitus.zip")
    files = unpacked(head, folder())
    volume = assemble(files)
    seen = source.read(head)
    inside = np.zeros(volume.voxels.shape, dtype=np.bool_)
    points = np.argwhere(seen.inside_head())[:, ::-1] @ seen.affine[:3, :3].T + seen.affine[:3, 3]
    inside[tuple(np.rint((np.column_stack([points, np.ones(len(points))]) @ np.linalg.inv(volume.affine).T)[:, :3]).astype(int).T)] = True
    shown = Shown(pacs, files, made.measured(made.segment("head", inside), affine=volume.affine), volume)
    shown.store(Kind.SEG)
    with viewer.open(shown.study) as opened:
        pictures = {index: middle(opened.slice(index))[..., 0] for index in (12, 20)}
        opened.show_series("SEG")
        opened.wait_for_overlay(0)
        for index, before in pictures.items():
            overlay = coloured(opened.slice(index))
            # the head's edge is soft: brighter than a tenth of white is head, but for the dark in its middle
            assert overlay.sum() > 5_000
            assert (before[overlay] > 12).mean() > 0.8
            assert (before[~overlay] <= 12).mean() > 0.9


# ---- reports, pages, maps


@pytest.mark.parametrize(("box", "lies"), [(BOX, True), (replace(BOX, left=15, right=37), False)], ids=["right", "a pixel off"])
def test_detections_are_measurements_where_they_were_found(
    box: Box, lies: bool, pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]
) -> None:
    """Result case 17, as a reader sees it: a rectangle and a probe in the panel of measurements, each with its finding, site and the values
    under it; a click leads to the slice, and the rectangle frames what is bright. One pixel off, it does not."""
    files, volume = study(folder(), block(), SERIES["axial"])
    assert volume.affine[2, 0] > 0, "slice 7 of the volume is slice 7 of the letter"
    shown = Shown(pacs, files, places(box), volume)
    shown.store(Kind.DETECTIONS)
    with viewer.open(shown.study, size=WITH_PANEL) as opened:
        opened.show_series("detections")
        rows = opened.measurements(2)
        assert len(rows) == 2
        assert all("Lesion" in row and "Brain" in row for row in rows), rows
        opened.go_to_measurement(0)
        # 14 x 22 pixels of 1.5 mm
        opened.wait_for_measurement("693 mm")
        picture = opened.still()
        assert (framed(picture) > 0.9) is lies
        opened.go_to_measurement(1)
        opened.wait_for_measurement("900 HU")
        dotted = opened.still()
        spot = np.argwhere(bright(dotted)).mean(axis=0)
        marks = np.argwhere(drawn(middle(dotted)))
        assert (np.linalg.norm(marks - spot, axis=1) < 12).sum() > 20, "the probe's ring is around the dot"


def test_a_report_about_what_the_viewer_does_not_hold_shows_no_measurement(
    pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]
) -> None:
    """The check can fail: with the images' UIDs exchanged in the report there is nothing to take up."""
    files, volume = study(folder(), block(), SERIES["axial"])
    shown = Shown(pacs, files, places(), volume)

    def elsewhere(report: pydicom.Dataset) -> None:
        def exchange(dataset: pydicom.Dataset, element: pydicom.DataElement) -> None:
            if element.keyword == "ReferencedSOPInstanceUID":
                element.value = f"{element.value}1"[-60:].lstrip("0.")

        report.walk(exchange)

    shown.store(Kind.DETECTIONS, change=elsewhere)
    with viewer.open(shown.study, size=WITH_PANEL) as opened:
        opened.show_series("detections")
        opened.page.locator("[data-cy='trackedMeasurements-btn']").click()
        # the report has come in place of the images, and none of them with it
        opened.page.locator(".cornerstone-canvas").wait_for(state="detached")
        opened.page.get_by_text("No tracked measurements").wait_for()
        assert opened.page.locator("[data-cy^='measurement-table-row']").count() == 0


def test_every_other_report_is_text(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """Volumes of segments, evaluations of the study, narratives in both languages: a tree of text with the numbers in it, never blank."""
    files, volume = study(folder(), letter(), SERIES["axial"])
    segment = made.segment("letter", letter())
    evaluation = Evaluation(finding=kinds.PNEUMOTHORAX, value=codes.ABSENT, finding_site=codes.CHEST)
    findings = replace(made.measured(segment, affine=SERIES["axial"]), evaluations=(evaluation,))
    shown = Shown(pacs, files, findings, volume, profiles=(kinds.EVERYTHING,))
    shown.store(Kind.SR, Kind.NARRATIVE)
    cm3 = made.volume_cm3(letter(), SERIES["axial"])
    with viewer.open(shown.study) as opened:
        opened.show_series("measurements")
        assert f"{cm3:.3g} cm3" in opened.wait_for_text("Imaging Measurements")
        opened.show_series("T1 MR report")
        opened.wait_for_text("Absent")
        opened.show_series("narrative, English")
        assert f"{cm3:.3g}" in opened.wait_for_text("Findings")
        opened.show_series("narrative, Chinese")
        assert any("\u4e00" <= letter <= "\u9fff" for letter in opened.wait_for_text(f"{cm3:.3g}"))


def test_the_summary_page_opens(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """A picture with colours and many shades, not a blank viewport."""
    files, volume = study(folder(), letter(), SERIES["oblique"])
    mask = on_grid(letter(), SERIES["oblique"], volume)
    shown = Shown(pacs, files, made.measured(made.segment("letter", mask), affine=SERIES["oblique"]), volume)
    shown.store(Kind.SC)
    with viewer.open(shown.study) as opened:
        opened.show_series("page")
        opened.wait_for_overlay(250)
        assert len(np.unique(opened.still()[..., 0])) > 60


def test_a_derived_series_opens_as_images(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """The letter, made fainter, in the same place on the same slices, under the same window."""
    files, volume = study(folder(), letter(), SERIES["acquired sagittally"])
    fainter = np.where(volume.voxels > 500, 140, volume.voxels).astype(np.int16)
    image = DerivedImage(label="fainter", voxels=fainter, derivation=kinds.SMOOTHING)
    shown = Shown(pacs, files, Findings(derived=(image,)), volume)
    shown.store(Kind.DERIVED)
    with viewer.open(shown.study) as opened:
        lit = bright(opened.slice(8))
        opened.show_series("fainter")
        opened.wait_for_series(next(one.series_instance_uid for one in shown.objects if one.kind is Kind.DERIVED))
        picture = middle(opened.slice(8))[..., 0].astype(float)
    inside, around = picture[lit], picture[~lit]
    body, faint = np.median(around[around > 30]), np.median(inside)
    assert body + 40 < faint < 220, "brighter than the body, and fainter than it was"
    assert dice(lit, picture > (body + faint) / 2) > 0.9


def test_a_map_opens_over_the_images(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """A map that is 1 on the letter and 0 elsewhere: what it tints is the letter."""
    affine = SERIES["axial"]
    files, volume = study(folder(), letter(), affine)
    values = on_grid(letter(), affine, volume).astype(np.float32)
    found = Saliency(label="letter map", values=values, quantity=codes.SALIENCY, unit=kinds.NO_UNIT)
    shown = Shown(pacs, files, Findings(saliencies=(found,)), volume)
    shown.store(Kind.MAP)
    with viewer.open(shown.study) as opened:
        lit = {index: bright(opened.slice(index)) for index in (5, 8)}
        opened.show_series("letter map")
        opened.wait_for_overlay(500)
        opened.still()
        for index, seen in lit.items():
            assert dice(seen, coloured(opened.slice(index))) > 0.9
        assert not coloured(opened.slice(13)).any(), "behind the letter"


def test_what_moved_an_answer_opens_as_a_picture(pacs: Orthanc, viewer: Viewer, folder: Callable[[], Path]) -> None:
    """The page with the maps of a radiograph, in colours; the maps themselves, which have no place, are stored beside it and spoil neither
    it nor the radiograph."""
    case = kinds.chest_radiograph(folder())
    pacs.post_instance(case.files[0].read_bytes())
    for one in encode(case.encoding):
        if one.kind in EXPLANATIONS:
            pacs.post_instance(one.data)
    with viewer.open(str(case.encoding.subject.study_instance_uid)) as opened:
        opened.wait_for_image(60)
        opened.show_series("explanation, no location")
        opened.wait_for_overlay(250)
        assert len(np.unique(opened.still()[..., 0])) > 60
