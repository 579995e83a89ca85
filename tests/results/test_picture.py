"""The page for people: right way up, right slices, every word in signs that the font has."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from inference import codes
from inference.codes import Code
from inference.findings import Findings, Location, Measurement, Point, Quality
from inference.imaging.assemble import assemble
from inference.imaging.volume import SliceSource, Volume
from node.results.encode import encode
from node.results.page.lettering import Face, fitted, folded, settable, shown, signs, width, wrapped
from node.results.page.panels import crop_of, key_slices, panel, view_of, window_of
from node.results.page.picture import overlay_png
from tests.results import made


def volume_on(affine: np.ndarray, modality: str = "CT", shape: tuple[int, int, int] = made.SHAPE) -> Volume:
    """A volume that no file stands for."""
    sources = tuple(SliceSource(sop_instance_uid=f"1.2.{z}", sop_class_uid="1.2.3") for z in range(shape[0]))
    return Volume(
        voxels=made.voxels(shape),
        affine=affine,
        sources=sources,
        modality=modality,
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        frame_of_reference_uid="1.2.4",
    )


@pytest.mark.parametrize(
    ("name", "letters"),
    [
        # left, right, top, bottom of the picture, as radiologists hang images
        ("axial", ("R", "L", "A", "P")),
        ("axial, prone", ("R", "L", "A", "P")),
        ("axial, feet first", ("R", "L", "A", "P")),
        ("coronal", ("R", "L", "H", "F")),
        ("sagittal", ("A", "P", "H", "F")),
        ("oblique", ("R", "L", "AF", "PH")),
    ],
)
def test_slices_hang_as_radiologists_hang_them(name: str, letters: tuple[str, str, str, str]) -> None:
    """A marker at a known place in the patient lands at the matching side of the picture, however the scanner stored it."""
    affine = made.ORIENTATIONS[name]
    view = view_of(volume_on(affine))
    assert (view.left, view.right, view.top, view.bottom) == letters
    # grow along the letter on the right, and the one at the bottom: the marker must move that way
    corner = np.zeros(made.SHAPE[1:])
    corner[0, 0] = 1
    row, column = np.argwhere(view.turn(corner))[0]
    directions = {"L": (1, 0, 0), "P": (0, 1, 0), "H": (0, 0, 1), "R": (-1, 0, 0), "A": (0, -1, 0), "F": (0, 0, -1)}
    centre = affine[:3] @ (0, (made.SHAPE[1] - 1) / 2, (made.SHAPE[2] - 1) / 2, 1)
    offset = affine[:3, 3] - centre
    height, breadth = view.turn(corner).shape
    assert (column > breadth / 2) == (offset @ directions[letters[1][0]] > 0)
    assert (row > height / 2) == (offset @ directions[letters[3][0]] > 0)


def test_a_transposed_slice_keeps_its_aspect() -> None:
    """Rows that run from left to right are turned upright, and the spacing with them."""
    affine = made.axes((0, 1.5, 0), (2.0, 0, 0), (0, 0, -2.5))
    view = view_of(volume_on(affine))
    assert view.transpose
    assert view.spacing_mm == pytest.approx((1.5, 2.0))
    assert (view.left, view.top) == ("R", "A")


def test_key_slices_show_every_segment_from_head_to_feet() -> None:
    """Six slices within what was found, the smallest segment among them, the highest first; few slices give few."""
    shape = (60, 8, 8)
    large, small = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool)
    large[10:50], small[3, 4, 4] = True, True
    volume = volume_on(made.AXIAL, shape=shape)
    chosen = key_slices(volume, [made.segment("a", large), made.segment("b", small)])
    assert len(chosen) == 6
    assert chosen == sorted(chosen, reverse=True)
    assert 3 in chosen
    assert all(10 <= z < 50 for z in chosen if z != 3)
    thin = np.zeros(shape, dtype=bool)
    thin[20] = True
    assert set(key_slices(volume, [made.segment("a", thin)])) >= {19, 20, 21}
    assert len(key_slices(volume_on(made.AXIAL, shape=(3, 8, 8)), [])) == 3


def test_the_window_is_that_of_the_tissue() -> None:
    """Lung by its mean HU, soft tissue otherwise; MR by its own values."""
    volume = volume_on(made.AXIAL)
    assert (window_of(volume, []).low, window_of(volume, []).high) == (-160, 240)
    air = made.segment("lung", volume.voxels < -500)
    assert (window_of(volume, [air]).low, window_of(volume, [air]).high) == (-1350, 150)
    # what is found in the lung, and has no mask, is looked at as lung
    assert window_of(volume, [], [None, codes.LUNG]).low == window_of(volume, [], [codes.LUNGS]).low == -1350
    body = made.segment("body", volume.voxels > 0)
    assert window_of(volume, [body], [codes.LUNG]).low == window_of(volume, [], [codes.CHEST]).low == -160
    mr = replace(volume, modality="MR", voxels=np.abs(volume.voxels))
    assert window_of(mr, [], [codes.LUNG]) == window_of(mr, [])
    assert window_of(mr, []).high > window_of(mr, []).low


def test_a_small_grey_structure_is_shown_with_the_white_matter_around_it() -> None:
    """As the hippocampus: darker than all that lies about it. Its own values alone would turn those white; what fills the volume,
    and what is brighter than its surroundings, has its own values, and a spot of fat beside a coil changes nothing."""
    voxels = np.full((30, 60, 60), 1000, dtype=np.int16)
    voxels[:, :30] = 1600
    small = np.zeros(voxels.shape, dtype=bool)
    small[12:18, 27:36, 27:36] = True
    voxels[small] = 900
    voxels[:3, :3, :3] = 9000
    volume = replace(volume_on(made.AXIAL, shape=voxels.shape), modality="MR", voxels=voxels)
    assert 1600 < window_of(volume, [made.segment("grey", small)]).high < 2000
    assert window_of(volume, [made.segment("all of it", voxels >= 900)]).high == pytest.approx(1760)
    voxels[small] = 3000
    assert window_of(volume, [made.segment("bright", small)]).high == pytest.approx(3300)


def test_the_contour_is_on_the_border_and_nowhere_else() -> None:
    """Colour within three pixels of the mask's edge, grey everywhere else: the anatomy stays visible inside."""
    shape = (3, 40, 40)
    volume = volume_on(made.axes((1, 0, 0), (0, 1, 0), (0, 0, 1)), shape=shape)
    mask = np.zeros(shape, dtype=bool)
    mask[1, 10:30, 12:28] = True
    view, found = view_of(volume), [made.segment("a", mask, rgb=(255, 0, 0))]
    whole = (slice(0, 40), slice(0, 40))
    drawn = np.asarray(panel(volume, found, view, window_of(volume, []), whole, 1, (400, 400))).astype(int)
    red = drawn[..., 0] - drawn[..., 1] > 60
    rows, columns = np.nonzero(red)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == pytest.approx((100, 299, 120, 279), abs=3)
    assert not red[105:295, 125:275].any()
    assert crop_of(volume, found, view, [1])[0].stop <= 40


def test_the_page_is_the_same_every_time_and_coloured() -> None:
    """overlay_png is a PNG whose bytes depend on its arguments alone."""
    volume = volume_on(made.AXIAL)
    findings = made.one_segment(made.AXIAL)
    first = overlay_png(volume, findings, title="Brain · mr-brain 1.2.3")
    assert first == overlay_png(volume, findings, title="Brain · mr-brain 1.2.3")
    image = np.asarray(Image.open(BytesIO(first))).astype(int)
    assert image.shape == (1200, 1600, 3)
    above = image[130:1120, 30:1120]
    assert (above.max(axis=2) - above.min(axis=2) > 40).sum() > 500


@pytest.mark.parametrize("count", [0, 1, 12])
def test_any_number_of_findings_fits(count: int) -> None:
    """None, one, or more than the column holds: drawn, and what is left out is counted."""
    mask = made.blob()
    segments = tuple(made.segment(f"structure {number}", mask) for number in range(count))
    findings = replace(made.measured(*segments, affine=made.AXIAL), remarks=("Slices are 5.0 mm apart: volumes are approximate.",) * 2)
    assert overlay_png(volume_on(made.AXIAL), findings, title="x" * 200)


@pytest.mark.parametrize("count", [1, 5])
def test_a_long_answer_is_read_to_its_end(count: int) -> None:
    """A category of 64 signs, large for one nodule, in close lines for several: another last word is another page, and nothing of it is
    written over the pictures."""
    pages = []
    for last in ("end", "tip"):
        category = Code("2", "99X", f"Somebody 2017: multiple subsolid nodules, at least 6 mm, {last}")
        answer = Quality(name=Code("1", "99X", "Category"), value=category)
        found = tuple(
            Location(label=f"{number}", finding=made.LESION, shape=Point(row=3, column=3), image=4, qualities=(answer,))
            for number in range(count)
        )
        pages.append(np.asarray(Image.open(BytesIO(overlay_png(volume_on(made.AXIAL), Findings(locations=found), title="Answers")))))
    different = np.argwhere((pages[0] != pages[1]).any(axis=2))
    assert len(different)
    # the column of words begins at 1600 - 424 - a margin
    assert different[:, 1].min() > 1100


def test_remarks_have_the_room_that_findings_leave() -> None:
    """The twelfth sentence is on a page with one finding, and not on one with thirty, which points to the report instead."""
    sentences = [f"Sentence {number} of the gate." for number in range(1, 13)]
    other = [*sentences[:-1], "Another word here at last."]
    for count, read in ((1, True), (30, False)):
        segments = [made.segment(f"structure {number}", made.blob()) for number in range(count)]
        page = made.measured(*segments, affine=made.AXIAL)
        volume = volume_on(made.AXIAL)
        one, two = (overlay_png(volume, replace(page, remarks=tuple(each)), title="Remarks") for each in (sentences, other))
        assert (one != two) is read


def test_words_are_written_in_signs_that_the_fonts_have() -> None:
    """Accents, Greek, Cyrillic, Han and kana as they are; other scripts become question marks, never boxes."""
    kept = "Schädel – 3×5 µm³, Łódź, Дмитрий, Ελένη, 山田太郎, やまだ, 病变。"
    assert shown(kept) == kept
    assert settable(kept)
    assert shown("≤ −5\tשלום") == "<= –5 ????"
    assert not settable("שלום")
    assert all(ord(sign) in signs(Face.REGULAR) | signs(Face.HAN) for sign in shown("a\ufffdb\U0001f600\u0e44ไ\x00"))
    assert width(fitted("a long line of words that does not fit", 20, 120), 20) <= 120
    assert list(wrapped("one two three four five six", 20, 90, 2)) == ["one two", "three f…"]


@given(text=st.text(max_size=80), most=st.integers(10, 300))
def test_folding_loses_no_sign_and_keeps_the_width(text: str, most: int) -> None:
    """Every sign of any text is on some line, in order; a line of several signs is no wider than it may be."""
    lines = folded(text, lambda line: width(line, 18), most)
    assert "".join("".join(lines).split()) == "".join(shown(text).split())
    assert all(width(line, 18) <= most or len(line) == 1 for line in lines)


def test_the_page_in_the_archive_names_its_images_and_burns_in_no_patient(tmp_path: Path) -> None:
    """RGB, no palette, no patient in the pixels: another patient's page of the same images has the same pixels."""
    files = made.series(tmp_path)
    heat = Measurement(name=codes.VOLUME, value=1.0, unit=codes.CUBIC_CENTIMETRE)
    findings = Findings(measurements=(heat,))
    volume = assemble(files)
    pages = []
    for name in ("Doe^Jane", "Other^Name"):
        for path in files:
            dataset = pydicom.dcmread(path)
            dataset.PatientName, dataset.PatientID = name, name
            dataset.save_as(path)
        pages.append(pydicom.dcmread(BytesIO(encode(made.encoding(files, findings, volume=volume))[-1].data)))
    first, second = pages
    assert (first.PhotometricInterpretation, first.BurnedInAnnotation, first.ConversionType) == ("RGB", "NO", "WSD")
    assert first.PatientName != second.PatientName
    assert first.PixelData == second.PixelData
    assert {item.ReferencedSOPInstanceUID for item in first.SourceImageSequence} <= {source.sop_instance_uid for source in volume.sources}
