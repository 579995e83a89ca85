"""Grey by the standard's formulas, and pixels that are not square."""

from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian

from inference.imaging.decode import decode
from inference.imaging.header import read_instance
from inference.imaging.write_series import write_series
from node.console.images.grey import MOST_PIXELS, DisplayWindow, as_decoded, picture, place_in, window_by, window_in
from node.results.page.panels import View, turned


@pytest.mark.parametrize(
    ("window", "value", "grey"),
    [
        # the examples of PS3.3 C.11.2.1.2.1: c = 2048, w = 4096 takes 0 to 4095 to the whole range; c = 2048, w = 1 is a step
        (DisplayWindow(centre=2048, width=4096), 0, 0),
        (DisplayWindow(centre=2048, width=4096), 4095, 255),
        (DisplayWindow(centre=2048, width=1), 2047, 0),
        (DisplayWindow(centre=2048, width=1), 2048, 255),
        (DisplayWindow(centre=0, width=100), -50, 0),
        (DisplayWindow(centre=0, width=100), 49, 255),
        (DisplayWindow(centre=0, width=100, function="LINEAR_EXACT"), -50, 0),
        (DisplayWindow(centre=0, width=100, function="LINEAR_EXACT"), 25, 191),
        (DisplayWindow(centre=10, width=4, function="SIGMOID"), 10, 128),
        (DisplayWindow(centre=10, width=4, function="SIGMOID"), -1e9, 0),
    ],
)
def test_windows_are_the_standards(window: DisplayWindow, value: float, grey: int) -> None:
    """Each function (C.11.2.1.2.1, C.11.2.1.3.1, C.11.2.1.3.2) at values worked out by hand."""
    assert abs(int(window.grey(np.array([[value]], np.float32))[0, 0]) - grey) <= 1


def test_a_frames_own_window_goes_before_the_shared_one_and_the_first_of_several_is_taken() -> None:
    """Frame VOI LUT (C.7.6.16.2.10) of the frame, then of all frames, then of the instance; a width of nothing is no window."""

    def voi(centre: object, width: object) -> Dataset:
        one = Dataset()
        one.WindowCenter, one.WindowWidth = centre, width
        group = Dataset()
        group.FrameVOILUTSequence = [one]
        return group

    header = Dataset()
    header.WindowCenter, header.WindowWidth = ["40", "600"], ["400", "1500"]
    assert window_in(header, 0) == DisplayWindow(centre=40, width=400)
    header.SharedFunctionalGroupsSequence = [voi(1, 2)]
    header.PerFrameFunctionalGroupsSequence = [voi(3, 4), Dataset()]
    assert [window_in(header, frame) for frame in (0, 1)] == [DisplayWindow(centre=3, width=4), DisplayWindow(centre=1, width=2)]
    header.PerFrameFunctionalGroupsSequence = [voi(3, 0)]
    assert window_in(header, 0) == DisplayWindow(centre=1, width=2)
    assert window_in(Dataset(), 0) is None


@pytest.mark.parametrize("signed", [False, True])
def test_dense_is_bright_in_monochrome_1_too(tmp_path: Path, signed: bool) -> None:
    """Small stored values are white there (C.7.6.3.1.2): the window's upper end is black, its lower end white."""
    (path,) = write_series(np.zeros((1, 1, 3), np.int16), np.eye(4), tmp_path, modality="MR")
    one = dcmread(path)
    stored = np.array([100, 150, 200], np.int16 if signed else np.uint16)
    one.PixelRepresentation, one.PhotometricInterpretation = int(signed), "MONOCHROME1"
    one.RescaleSlope, one.RescaleIntercept = "2", "-10"
    one.PixelData = stored.tobytes() + b"\0\0"[: stored.nbytes % 2]
    one.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    one.save_as(path)
    opened, values = read_instance(path), decode(path)[0]
    if opened.physical:
        pytest.skip("values with a unit are not turned over when they are decoded")
    window = DisplayWindow(centre=290, width=200, function="LINEAR_EXACT")  # 190, 290, 390: the three values after the rescale
    assert as_decoded(window, opened, 0).grey(values).tolist() == [[255, 128, 0]]


def test_pixels_that_are_not_square_are_stretched() -> None:
    """3 mm between rows, 1 mm between columns: three times as high; large ones are made smaller, masks by taking, not by mixing."""
    down, right = np.array([0.0, 0, -1]), np.array([1.0, 0, 0])
    view = turned(down, right, (3.0, 1.0))
    assert picture(np.zeros((10, 20), np.uint8), view).size == (20, 30)
    wide = np.zeros((10, 4000, 4), np.uint8)
    wide[:, ::2] = 255
    small = np.asarray(picture(wide, None, smooth=False))
    assert small.shape[1] == MOST_PIXELS
    assert set(np.unique(small)) <= {0, 255}


def test_maps_that_say_nothing_somewhere_have_a_window() -> None:
    """NaN, as maps have outside of the body, and infinities are no part of it: NaN is black."""
    values = np.array([[np.nan, 1], [3, np.inf]], dtype=np.float32)
    window = window_by(values)
    assert window.centre == pytest.approx(2)
    assert window.width == pytest.approx(2, abs=0.1)
    assert window.grey(values).tolist() == [[0, 0], [255, 255]]
    assert window_by(np.full((2, 2), np.nan, dtype=np.float32)).centre == 0


@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("flip_down", [False, True])
@pytest.mark.parametrize("flip_right", [False, True])
def test_a_place_of_a_picture_is_a_pixel(transpose: bool, flip_down: bool, flip_right: bool) -> None:
    """Where the picture shows a pixel, its row and column are told: found by drawing each pixel in a grey of its own."""
    view = View(
        transpose=transpose, flip_down=flip_down, flip_right=flip_right, spacing_mm=(1.0, 1.0), left="", right="", top="", bottom=""
    )
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    shown = np.asarray(picture(pixels, view))
    for down in range(shown.shape[0]):
        for right in range(shown.shape[1]):
            row, column = place_in(pixels.shape, view, (right + 0.5) / shown.shape[1], (down + 0.5) / shown.shape[0])
            assert pixels[row, column] == shown[down, right]
    assert place_in((2, 3), None, 1.0, 1.0) == (1, 2)
