"""Pages of every kind of subject: what was found is drawn where it is, and no geometry is invented."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from PIL import Image as Picture

from inference import codes
from inference.codes import Code
from inference.findings import (
    Box,
    Evaluation,
    Findings,
    Line,
    Location,
    Measurement,
    Point,
    PointInSpace,
    Registration,
    Saliency,
    Shape,
    Span,
)
from inference.imaging.measures.lengths import LONGEST
from inference.imaging.measures.values import STANDARD_DEVIATION
from inference.imaging.subject import Cine, Image, Images, pair_of
from inference.imaging.volume import Affine, SliceSource, Volume
from node.domain.profile import Language
from node.results.encode import encode
from node.results.overlay.make import drawn as drawn_map
from node.results.page.capture import page_of
from node.results.page.figures import volume_figure, window_of_pixels
from node.results.page.picture import Page, draw_page, extent, figure_of
from node.results.page.table import entries
from node.results.page.tiles import INK, draw_locations
from node.results.page.words import PAGE_WORDS
from node.results.sources import read_sources
from tests.results import made

PNEUMOTHORAX = Code("36118008", "SCT", "Pneumothorax")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
PROBABILITY = Code("122157", "DCM", "Probability")
NO_UNIT = Code("1", "UCUM", "no units")
UNIT = made.axes((1, 0, 0), (0, 1, 0), (0, 0, 1), origin=(0, 0, 0))

Pixels = NDArray[np.int64]


def source(number: int, frame: int | None = None) -> SliceSource:
    return SliceSource(sop_instance_uid=f"1.2.{number}", sop_class_uid="1.2.3", frame=frame)


def volume(voxels: NDArray[np.int16], affine: Affine = UNIT, modality: str = "MR", frame_of_reference: str = "1.2.4") -> Volume:
    return Volume(
        voxels=voxels,
        affine=affine,
        sources=tuple(source(z) for z in range(len(voxels))),
        modality=modality,
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        frame_of_reference_uid=frame_of_reference,
    )


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> NDArray[np.bool_]:
    grid = np.indices(shape)
    return np.asarray(sum((each - at) ** 2 for each, at in zip(grid, centre, strict=True)) <= radius**2)


def head(shape: tuple[int, int, int] = (40, 48, 44)) -> NDArray[np.int16]:
    """A bright ball with a brighter one inside that is not in its middle: no two directions look alike."""
    image = ball(shape, (20, 24, 22), 19) * 300 + ball(shape, (26, 15, 28), 5) * 500
    return image.astype(np.int16)


def image(pixels: NDArray[np.uint16], *, spacing: tuple[float, float] | None, calibrated: bool, view: str = "PA") -> Image:
    return Image(
        pixels=pixels,
        source=source(1),
        series_instance_uid="1.2.3",
        inverted=False,
        spacing_mm=spacing,
        calibrated=calibrated,
        view=view,
        laterality="",
    )


def radiographs(*several: Image) -> Images:
    return Images(images=several, modality="DX", study_instance_uid="1.2", series_instance_uid="1.2.3")


def cine(frames: NDArray[np.uint8], regions: tuple[tuple[int, int, int, int, float, float], ...] = ()) -> Cine:
    return Cine(
        frames=frames,
        times_s=np.arange(len(frames)) / 25,
        sources=tuple(source(1, frame) for frame in range(1, len(frames) + 1)),
        modality="US",
        study_instance_uid="1.2",
        series_instance_uid="1.2.3",
        regions=regions,
    )


def location(shape: Box | Point | Line | PointInSpace, index: int = 0, **more: Any) -> Location:
    return Location(label=f"{shape}", finding=made.LESION, shape=shape, image=index, **more)


def inked(picture: Pixels) -> tuple[float, float, float, float]:
    """Top, left, bottom and right of what is drawn in the colour of locations, the number left out: it stands beside."""
    mine = np.abs(picture - np.array(INK)).max(axis=-1) < 12
    rows, columns = np.flatnonzero(mine.sum(axis=1) > 12), np.flatnonzero(mine.sum(axis=0) > 12)
    return rows[0], columns[0], rows[-1], columns[-1]


@pytest.mark.parametrize("name", ["axial", "axial, prone", "axial, feet first", "coronal", "sagittal"])
def test_a_box_is_drawn_around_what_it_is_around(name: str) -> None:
    """However the slices are turned: the bright square that the box is around is inside the drawn one, and nothing else bright is."""
    voxels = np.zeros((3, 60, 50), dtype=np.int16)
    voxels[:, 5:55, 5:45] = 100
    voxels[1, 10:22, 30:40] = 900
    found = Findings(locations=(location(Box(top=10, left=30, bottom=22, right=40), 1),))
    figure = volume_figure(volume(voxels, made.ORIENTATIONS[name]), found, ["a", "b", "c"])
    tile = next(tile for tile in figure.tiles if tile.name == "b")
    drawn = np.asarray(tile.paint((500, 600))).astype(int)
    top, left, bottom, right = inked(drawn)
    bright = (drawn.min(axis=-1) > 160) & (np.ptp(drawn, axis=-1) < 12)
    rows, columns = np.nonzero(bright)
    inside = (rows > top) & (rows < bottom) & (columns > left) & (columns < right)
    assert inside.mean() > 0.98
    assert (bottom - top) * (right - left) < 2.2 * inside.sum()


def test_a_point_in_space_lies_on_its_slice_where_it_was_found() -> None:
    """Patient coordinates of a voxel's centre: the cross is open exactly over that voxel."""
    voxels = np.full((9, 41, 41), 100, dtype=np.int16)
    voxels[4, 12, 30] = 900
    affine = made.axes((1.5, 0, 0), (0, 1.5, 0), (0, 0, 2))
    x, y, z, _ = affine @ (4, 12, 30, 1)
    found = Findings(locations=(location(PointInSpace(x=x, y=y, z=z), 4),))
    figure = volume_figure(volume(voxels, affine), found, [str(index) for index in range(9)])
    tile = next(tile for tile in figure.tiles if tile.name == "4")
    drawn = np.asarray(tile.paint((820, 820))).astype(int)
    mine = np.abs(drawn - np.array(INK)).max(axis=-1) < 12
    middle_row, middle_column = 820 / 41 * 12.5, 820 / 41 * 30.5
    rows, columns = np.nonzero(mine[:, : int(middle_column) + 10])
    near = (np.abs(rows - middle_row) < 12) & (np.abs(columns - middle_column) < 12)
    assert rows[near].mean() == pytest.approx(middle_row, abs=1.5)
    assert columns[near].mean() == pytest.approx(middle_column, abs=1.5)


def test_the_three_planes_go_through_what_was_found_in_the_right_shape() -> None:
    """A ball of 10 mm radius is as tall as it is wide on each plane, though slices lie 2 mm apart; each plane has its own letters."""
    voxels = np.zeros((40, 60, 50), dtype=np.int16)
    grid = np.indices(voxels.shape) * np.array([2.0, 1.0, 1.0])[:, None, None, None]
    mask = ((grid - np.array([50.0, 20.0, 30.0])[:, None, None, None]) ** 2).sum(axis=0) <= 100
    voxels[5:35, 5:55, 5:45] = 100
    affine = made.axes((1, 0, 0), (0, 1, 0), (0, 0, 2))
    figure = volume_figure(volume(voxels, affine), Findings(segments=(made.segment("ball", mask, rgb=(255, 0, 0)),)), ["x"] * 40)
    assert [tile.letters for tile in figure.tiles[-2:]] == [("R", "L", "H", "F"), ("A", "P", "H", "F")]
    assert [tile.name for tile in figure.tiles[-2:]] == ["coronal plane", "sagittal plane"]
    for tile in figure.tiles[-2:]:
        size = (round(tile.extent[0] * 8), round(tile.extent[1] * 8))
        drawn = np.asarray(tile.paint(size)).astype(int)
        rows, columns = np.nonzero(drawn[..., 0] - drawn[..., 1] > 120)
        assert np.ptp(rows) == pytest.approx(160, abs=18)
        assert np.ptp(columns) == pytest.approx(160, abs=10)
    # 25 is the slice where the ball is largest
    assert 25 in figure.images


@pytest.mark.parametrize(
    "affine",
    [
        made.axes((1, 0, 0), (0, 1, 0), (0, 0.4, 1)),  # a tilted stack
        made.axes((0.5, 0, 0), (0, 0.5, 0), (0, 0, 8)),  # slices too far apart
    ],
)
def test_no_plane_is_made_up_across_slices_that_do_not_allow_it(affine: Affine) -> None:
    """Only acquired slices are shown of a sheared or a sparse stack."""
    figure = volume_figure(volume(head(), affine), Findings(), [f"image {z}" for z in range(40)])
    assert len(figure.tiles) == 6
    assert all(tile.name.startswith("image") for tile in figure.tiles)


def test_the_prior_is_shown_where_the_registration_puts_it() -> None:
    """A prior that was turned by 8 degrees and shifted: aligned, it looks like the current volume, at the edges of the checkerboard too."""
    angle = np.radians(8)
    motion = np.eye(4)
    motion[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    motion[:3, 3] = (5, -3, 2)
    current = volume(head())
    # the same voxels, which lie elsewhere in the prior's own space: `motion` takes them back
    prior = volume(head(), np.linalg.inv(motion) @ UNIT, frame_of_reference="1.2.5")
    names = [f"image {z}" for z in range(40)]
    figure = figure_of(pair_of(current=current, prior=prior), Findings(registration=Registration(matrix=motion)), names)
    assert figure.columns == 3
    for first in (0, 3):
        now, then, both = (np.asarray(tile.paint((300, 300))).astype(int)[30:-30, 30:-30] for tile in figure.tiles[first : first + 3])
        assert np.abs(now - then).mean() < 3
        assert np.abs(now - both).mean() < 3
    unaligned = figure_of(pair_of(current=current, prior=prior), Findings(), names)
    assert ("prior", "not aligned, not shown") in unaligned.notes
    assert not any("prior" in tile.name for tile in unaligned.tiles)


def test_there_is_no_scale_without_calibration() -> None:
    """mm where PixelSpacing is calibrated, none on the detector or without spacing; non-square pixels keep their shape."""
    pixels = np.tile(np.arange(300, dtype=np.uint16), (400, 1))
    for spacing, calibrated, mm in (((0.2, 0.4), True, True), ((0.2, 0.2), False, False), (None, False, False)):
        (tile,) = figure_of(radiographs(image(pixels, spacing=spacing, calibrated=calibrated)), Findings(), ["image 1"]).tiles
        assert tile.mm is mm
        assert tile.letters == ("", "", "", "")
        assert tile.extent[0] / tile.extent[1] == pytest.approx(300 * 2 / 400 if mm else 300 / 400)
    assert extent(radiographs(image(pixels, spacing=(0.1, 0.1), calibrated=False))) == "300 × 400 pixels of 0.1 × 0.1 mm at the detector"


def test_what_is_small_on_a_large_image_is_enlarged() -> None:
    """A calcification of 20 pixels on a mammogram of 3000 by 2400 has a picture of its own, with itself in the middle."""
    pixels = np.full((3000, 2400), 500, dtype=np.uint16)
    pixels[:, :100] = 0
    pixels[1200:1220, 900:920] = 4000
    found = Findings(locations=(location(Box(top=1200, left=900, bottom=1220, right=920), certainty=0.9),))
    whole, part = figure_of(radiographs(image(pixels, spacing=(0.07, 0.07), calibrated=False)), found, ["L CC, image 1"]).tiles
    assert (whole.name, part.name) == ("L CC, image 1", "1, enlarged")
    drawn = np.asarray(part.paint((400, 400))).astype(int)
    rows, columns = np.nonzero(drawn.min(axis=-1) > 250)
    assert (rows.mean(), columns.mean()) == pytest.approx((200, 200), abs=4)
    top, left, bottom, right = inked(np.asarray(whole.paint((480, 600))).astype(int))
    assert ((top + bottom) / 2, (left + right) / 2) == pytest.approx((1210 / 5, 910 / 5), abs=1.5)


def test_the_window_of_a_radiograph_leaves_out_the_background() -> None:
    """Half of the image is collimated to 0: the window spans what is left."""
    pixels = np.zeros((100, 100), dtype=np.uint16)
    pixels[:, 50:] = np.linspace(2000, 3000, 50).astype(np.uint16)
    window = window_of_pixels(pixels)
    assert 1990 < window.low < 2050
    assert 2950 < window.high <= 3000


def test_a_loop_shows_the_ends_of_what_was_measured_inside_the_scanned_region() -> None:
    """Frames of the span are there; what stands around the calibrated region, names among it, is not; its scale is the region's."""
    frames = np.zeros((30, 120, 160, 3), dtype=np.uint8)
    frames[:, 20:100, 40:140] = 90
    frames[:, :15] = (255, 0, 0)  # where scanners write the patient's name
    measured = Measurement(name=LONG_AXIS, value=5, unit=codes.MILLIMETRE, span=Span(first=7, last=19))
    names = [f"frame {number}" for number in range(1, 31)]
    figure = figure_of(cine(frames, ((40, 20, 139, 99, 0.5, 0.5),)), Findings(measurements=(measured,)), names)
    assert {7, 19} <= set(figure.images)
    for tile in figure.tiles:
        assert tile.mm
        assert tile.extent == (50.0, 40.0)
        assert np.unique(np.asarray(tile.paint((200, 160)))).tolist() == [90]
    assert not any(tile.mm for tile in figure_of(cine(frames), Findings(), names).tiles)


def test_a_map_is_laid_over_the_slice_where_it_is_highest() -> None:
    """Colour where the map is high, the grey of the slice where it is nothing."""
    values = np.zeros((40, 48, 44), dtype=np.float32)
    values[26, 12:18, 25:31] = 0.7
    found = Findings(saliencies=(Saliency(label="lesion", values=values, quantity=PROBABILITY, unit=NO_UNIT),))
    tile = volume_figure(volume(head()), found, [f"image {z}" for z in range(40)]).tiles[-1]
    assert tile.name == "map, image 26"
    drawn = np.asarray(tile.paint((440, 480))).astype(int)
    coloured = np.ptp(drawn, axis=-1) > 20
    assert 1000 < coloured.sum() < 12_000


def test_uptake_is_dark_on_white() -> None:
    """PET as it is read: nothing is white, the hottest voxels are black."""
    figure = volume_figure(volume(head(), modality="PT"), Findings(), [f"image {z}" for z in range(40)])
    drawn = np.asarray(figure.tiles[0].paint((200, 200))).astype(int)
    assert drawn[0, 0].tolist() == [255, 255, 255]
    assert figure.notes[0][1].endswith("dark is high")


def test_every_finding_has_its_line() -> None:
    """Evaluations, numbered locations with their numbers, segments, values of all, what was not found and where."""
    found = Findings(
        segments=(made.segment("ball", np.ones((1, 2, 2), dtype=bool)),),
        locations=(location(Point(row=1, column=1), certainty=0.999), location(Box(top=0, left=0, bottom=1, right=1))),
        evaluations=(Evaluation(finding=PNEUMOTHORAX, value=codes.UNDETERMINED, probability=0.5, images=(0,)),),
        measurements=(Measurement(name=LONG_AXIS, value=3.25, unit=codes.MILLIMETRE),),
    )
    listed = entries(found, ["image 7"], [("Calcification", "brain")])
    assert [(one.name, one.number, one.word, one.details) for one in listed] == [
        ("Pneumothorax", 0, "Undetermined", "image 7 · probability of pneumothorax 50 %"),
        ("Lesion", 1, "", "image 7 · certainty >99 %"),
        ("Lesion", 2, "", "image 7"),
        ("Ball", 0, "", ""),
        ("All images", 0, "", ""),
        ("Calcification", 0, "None found", "searched: brain"),
    ]
    assert listed[4].values == [("Long axis", "3.2 mm")]


def test_a_derived_name_keeps_its_abbreviation() -> None:
    """SUVbw and MR are no words that could be written small; the coefficient is."""
    names = ("SUVbw", "MR signal intensity", "Attenuation Coefficient")
    measured = [Measurement(name=Code(name, "DCM", name), value=1.0, unit=NO_UNIT, derivation=codes.MEAN) for name in names]
    (whole,) = entries(Findings(measurements=tuple(measured)), [], [])
    assert [name for name, _ in whole.values] == ["Mean SUVbw", "Mean MR signal intensity", "Mean attenuation coefficient"]


def test_chinese_names_of_what_is_measured() -> None:
    """The deviation of the coefficient, in that order, and no English for a diameter in space."""
    named = [(codes.ATTENUATION_COEFFICIENT, codes.MEAN), (codes.ATTENUATION_COEFFICIENT, STANDARD_DEVIATION), (LONGEST, None)]
    measured = tuple(Measurement(name=name, value=1.0, unit=NO_UNIT, derivation=of) for name, of in named)
    (whole,) = entries(Findings(measurements=measured), [], [], PAGE_WORDS[Language.CHINESE])
    assert [name for name, _ in whole.values] == ["平均衰减系数", "衰减系数标准差", "三维最长径"]


def pet() -> NDArray[np.int16]:
    """A body of 500 with a bladder of 30000 low in it, which is 32 of 10,000 pixels, and a lesion of 800."""
    voxels = np.zeros((3, 100, 100), dtype=np.int16)
    voxels[:, 10:90, 20:80] = 500
    voxels[:, 75:79, 48:56] = 30_000
    voxels[1, 25:30, 40:45] = 800
    return voxels


@pytest.mark.parametrize("modality", ["PT", "NM", "MR"])
@pytest.mark.parametrize("name", ["axial", "sagittal"])
def test_a_location_is_on_the_picture_however_bright_something_else_is(modality: str, name: str) -> None:
    """Beside a bladder the body counts as air: the box of a lesion is drawn nevertheless, whole."""
    found = Findings(locations=(location(Box(top=25, left=40, bottom=30, right=45), 1),))
    figure = volume_figure(volume(pet(), made.ORIENTATIONS[name], modality=modality), found, ["a", "b", "c"])
    drawn = np.asarray(next(tile for tile in figure.tiles if tile.name == "b").paint((600, 600))).astype(int)
    top, left, bottom, right = inked(drawn)
    assert bottom - top > 20
    assert right - left > 20
    assert min(top, left, 599 - bottom, 599 - right) > 0


@pytest.mark.parametrize("modality", ["PT", "NM"])
def test_a_bladder_does_not_make_air_of_the_body(modality: str) -> None:
    """Rows 10 to 89 and columns 20 to 79 are body: they are shown, with 3 % of the plane around them."""
    tile = volume_figure(volume(pet(), modality=modality), Findings(), ["a", "b", "c"]).tiles[0]
    assert tile.extent == (66, 86)


def test_a_point_that_is_a_single_voxel_of_a_large_plane_is_on_the_picture() -> None:
    """Of the body a line counts from 1 % on; of what was found a voxel is enough, at the last edge of the image too."""
    voxels = np.zeros((1, 300, 300), dtype=np.int16)
    voxels[:, 100:200, 100:200] = 100
    found = Findings(locations=(location(Point(row=300, column=300)), location(Point(row=20.5, column=150))))
    tile = volume_figure(volume(voxels), found, ["a"]).tiles[0]
    assert tile.extent == (300 - 91, 300 - 11)


def test_the_planes_across_the_slices_hold_the_location_they_go_through() -> None:
    """The coronal and the sagittal plane lie through a dim box far from what is bright: neither is cropped to what is bright."""
    voxels = np.zeros((60, 60, 60), dtype=np.int16)
    voxels[:] = 100
    voxels[40:50, 40:50, 40:50] = 9000
    voxels[10, 38:44, 38:44] = 150
    found = Findings(locations=(location(Box(top=38, left=38, bottom=46, right=46), 10),))
    planes = {tile.name: tile.extent for tile in volume_figure(volume(voxels), found, [str(z) for z in range(60)]).tiles[-2:]}
    # slices 10 to 49 and two around them
    assert {extent[1] for extent in planes.values()} == {44}


def test_what_is_high_on_a_map_is_on_the_picture() -> None:
    """A map that is high where an MR is dark: its place is not cropped off."""
    values = np.zeros((3, 100, 100), dtype=np.float32)
    values[1, 25:30, 40:45] = 0.7
    found = Findings(saliencies=(Saliency(label="lesion", values=values, quantity=PROBABILITY, unit=NO_UNIT),))
    drawn = np.asarray(volume_figure(volume(pet()), found, ["a", "b", "c"]).tiles[-1].paint((300, 600))).astype(int)
    assert (np.ptp(drawn, axis=-1) > 20).sum() > 500


def test_a_pair_and_a_drawn_map_are_cropped_as_the_page_is(tmp_path: Path) -> None:
    """What lies far from what is bright is on the pictures of a pair, and on those of the drawn map."""
    body = volume(pet())
    pair = pair_of(current=body, prior=body)
    found = Findings(locations=(location(Box(top=25, left=40, bottom=30, right=45), 1),))
    tile = next(tile for tile in figure_of(pair, found, ["a", "b", "c"]).tiles if tile.name == "current, b")
    top, left, bottom, right = inked(np.asarray(tile.paint((600, 600))).astype(int))
    assert min(top, left, 599 - bottom, 599 - right) > 0

    files = made.series(tmp_path)
    voxels, values = np.full(made.SHAPE, -1000, dtype=np.float32), np.zeros(made.SHAPE, dtype=np.float32)
    voxels[:, -4:, -4:] = 40
    values[:, :2, :2] = 0.7
    heat = Saliency(label="lesion", values=values, quantity=PROBABILITY, unit=NO_UNIT)
    encoding = made.encoding(files, Findings(saliencies=(heat,)))
    dim = replace(encoding, subject=replace(encoding.volume, voxels=voxels))
    picture = np.asarray(drawn_map(dim, read_sources(dim), heat).image.crop((0, 130, 1300, 1100))).astype(int)
    assert (picture[..., 0] - picture[..., 2] > 30).sum() > 500


def test_no_number_stands_on_a_picture_that_its_shape_is_not_on() -> None:
    """Shapes to all four sides of a part of an image: neither they nor their numbers are drawn; what reaches into it is."""
    blank = Picture.new("RGB", (200, 200))
    beyond: list[Shape] = [
        Box(top=20, left=120, bottom=60, right=140),
        Point(row=-3, column=50),
        Line(start=Point(row=10, column=-9), end=Point(row=90, column=-2)),
    ]
    draw_locations(
        blank, [(1, location(shape)) for shape in [*beyond, Point(row=120, column=50)]], lambda row, column: (column * 2, row * 2)
    )
    assert not np.asarray(blank).any()
    draw_locations(blank, [(1, location(Box(top=20, left=90, bottom=60, right=140)))], lambda row, column: (column * 2, row * 2))
    assert np.asarray(blank).any()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 128, 128), (3, 7, 900), (30, 128, 128), (40, 30, 500)])
@pytest.mark.parametrize("value", [-1000, 0, 5])
def test_a_page_of_any_size_is_drawn(shape: tuple[int, int, int], value: int) -> None:
    """Single pixels, single slices, long and thin ones, all of one value: no division by nothing, always 1600 by 1200."""
    flat = volume(np.full(shape, value, dtype=np.int16), modality="CT" if value < 0 else "MR")
    assert draw_page(flat, Findings(), Page(title="t")).image.size == (1600, 1200)
    assert draw_page(flat, Findings(locations=(location(Point(row=0.5, column=0.5)),)), Page(title="t")).image.size == (1600, 1200)


def test_the_page_refers_to_the_images_on_it_and_says_what_is_burned_in(tmp_path: Path) -> None:
    """SourceImageSequence names the slices that are shown; a source that says YES makes the page say so."""
    files = made.series(tmp_path)
    lesion = made.segment("lesion", np.zeros(made.SHAPE, dtype=bool), type=made.LESION, finding_site=codes.CHEST)
    encoding = made.encoding(files, Findings(segments=(lesion,)))
    page = page_of(encoding, read_sources(encoding))
    assert page.absent == [("Lesion", "chest")]
    assert encode(encoding)[-1].kind == "sc"
    for header in encoding.sources:
        header.BurnedInAnnotation = "YES"
    burned = pydicom.dcmread(BytesIO(encode(replace(encoding, input_digest="f" * 64))[-1].data))
    assert burned.BurnedInAnnotation == "YES"
    assert len(burned.SourceImageSequence) == 6
