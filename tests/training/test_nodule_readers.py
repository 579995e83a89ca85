"""Readers of LIDC's XML and LUNA16's CSV, on small files of those formats."""

import importlib
import inspect
import re
from pathlib import Path

import numpy as np
import pytest

from inference.applications.lung_nodule.follow_up import Density
from inference.imaging.volume import Volume
from tests.lab.howto import HowTo
from training.data.lidc import agreed, enclosed, outlined_by_half, readings
from training.data.luna16 import annotations
from training.data.nifti import volume_of
from training.errors import UnfitData

from .made_lidc import message, nodule, outline, roi

STEP_MM, PIXEL_MM = 2.0, 0.5


@pytest.fixture(scope="module")
def volume() -> Volume:
    """Twelve slices of 40 × 48 pixels."""
    affine = np.array([[0, 0, PIXEL_MM, -100], [0, PIXEL_MM, 0, -50], [STEP_MM, 0, 0, 30], [0, 0, 0, 1]], dtype=np.float64)
    return volume_of(np.zeros((12, 40, 48), dtype=np.int16), affine, "CT", "lidc")


def test_outlines_become_places_and_sizes(volume: Volume, tmp_path: Path) -> None:
    """A square of 8 pixels on three slices, with a hole on one: place, longest diameter and volume of what lies inside of the outline."""
    rois = [roi(volume, index, outline(10, 20, 8)) for index in (4, 5, 6)]
    hole = roi(volume, 5, outline(13, 23, 2), "FALSE")
    small = nodule([roi(volume, 2, [(5, 6)])], None)
    (tmp_path / "a.xml").write_text(message(volume, [[nodule([*rois, hole], 5), small]]))
    (found,) = readings(tmp_path / "a.xml", volume)
    assert found.texture == 5
    assert found.volume_mm3 == pytest.approx((3 * 64 - 4) * STEP_MM * PIXEL_MM**2)
    # middle of pixels 20 … 27 and 10 … 17
    assert found.centre_mm == pytest.approx((-100 + 23.5 * PIXEL_MM, -50 + 13.5 * PIXEL_MM, 30 + 5 * STEP_MM))
    assert found.long_mm == pytest.approx(7 * np.sqrt(2) * PIXEL_MM + PIXEL_MM)


def test_several_readers_have_to_agree(volume: Volume, tmp_path: Path) -> None:
    """Three of four saw one nodule, one of them saw another as well: the first is agreed, its texture is the readers' median."""
    one = [nodule([roi(volume, 5, outline(10, 20 + shift, 8))], texture) for shift, texture in ((0, 1), (1, 3), (0, 3))]
    other = nodule([roi(volume, 9, outline(25, 5, 6))], 5)
    (tmp_path / "a.xml").write_text(message(volume, [[one[0], other], [one[1]], [one[2]], []]))
    found = readings(tmp_path / "a.xml", volume)
    assert [each.reader for each in found] == [1, 1, 2, 3]
    (both,) = agreed(found)
    assert ([each.reader for each in both.readings], both.density) == ([1, 2, 3], Density.PART_SOLID)
    assert both.centre_mm[0] == pytest.approx(-100 + (23.5 + 1 / 3) * PIXEL_MM)
    assert len(agreed(found, readers=1)) == 2
    assert agreed(found, readers=4) == ()
    expected = np.zeros(volume.voxels.shape, dtype=np.bool_)
    expected[5, 10:18, 20:28] = True  # two of the three have it at least
    assert np.array_equal(outlined_by_half(agreed(found), volume.voxels.shape), expected)


def test_a_diamond_encloses_what_lies_within() -> None:
    """The line through pixels belongs to the outside; the corners may be far apart."""
    inside = enclosed(np.array([(0, 3), (3, 6), (6, 3), (3, 0)], dtype=np.float64), (7, 7))
    rows, columns = np.indices((7, 7))
    assert np.array_equal(inside, np.abs(rows - 3) + np.abs(columns - 3) < 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("<LidcReadMessage", "<IdriReadMessage"), "cannot be read"),
        (("http://www.nih.gov", "http://example.org"), "LidcReadMessage"),
        (("<SeriesInstanceUid>", "<SeriesInstanceUid>9"), "is of series"),
        (("<imageSOP_UID>", "<imageSOP_UID>9"), "not in the series"),
        (("<xCoord>20", "<xCoord>twenty"), "twenty"),
        (("<xCoord>20", "<xCoord>nan"), "leaves its 40 rows and 48 columns"),
        (("<xCoord>20", "<xCoord>2000"), r"a\.xml: an outline on image .* leaves its 40 rows and 48 columns"),
        (("<inclusion>TRUE</inclusion>", ""), r"a\.xml: roi without inclusion"),
        (('encoding="UTF-8"?>', 'encoding="UTF-8"?><!DOCTYPE a [<!ENTITY b "c">]>'), "document type"),
    ],
)
def test_what_is_wrong_with_an_xml_file_is_said(volume: Volume, tmp_path: Path, change: tuple[str, str], says: str) -> None:
    """Another document, another series, an image that is not there, no number, a place beyond the image; never a half-read file."""
    whole = message(volume, [[nodule([roi(volume, 5, outline(10, 20, 8))], 5)]])
    assert change[0] in whole
    (tmp_path / "a.xml").write_text(whole.replace(*change))
    with pytest.raises(UnfitData, match=says):
        readings(tmp_path / "a.xml", volume)


def test_luna16(tmp_path: Path) -> None:
    """Two series, three nodules, in the order of the file."""
    file = tmp_path / "annotations.csv"
    file.write_text("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,-128.6994211,-175.3192718,-298.3875064,5.651470635\n")
    with file.open("a") as more:
        more.write("1.2,103.7836509,-211.9251487,-227.12125,4.224708481\n1.3,1,2,3,8\n")
    found = annotations(file)
    assert list(found) == ["1.2", "1.3"]
    assert [mark.diameter_mm for mark in found["1.2"]] == [5.651470635, 4.224708481]
    assert found["1.3"][0].centre_mm == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("seriesuid,coordX,coordY,coordZ\n1.2,1,2,3\n", "no column diameter_mm"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,1,2,3,4\n1.2,1,2\n", "line 3"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,1,2,nan,4\n", "line 2"),
        ("seriesuid,coordX,coordY,coordZ,diameter_mm\n1.2,1,2,3,0\n", "above 0"),
        ("", "no column seriesuid"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path: Path, text: str, says: str) -> None:
    """The column that lacks, or the line that is no nodule."""
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(UnfitData, match=says):
        annotations(tmp_path / "a.csv")


def test_the_page_names_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    """docs/howto/nodule-data.md: each file is there, and each function has the arguments that the page gives it; its example runs, and what
    finds every nodule has a sensitivity of 1."""
    page = HowTo("nodule-data.md")
    (example,) = page.blocks("python")
    exec(compile(example, "nodule-data.md", "exec"), {})
    assert float(capsys.readouterr().out) == 1
    named = re.findall(r"\(`(training/[\w/]+)\.py`\):(.*?)(?=^- |\n\n)", page.text, re.DOTALL | re.MULTILINE)
    assert [re.findall(r"`(\w+)\(", text) for _, text in named].count([]) == 2, "the made thorax and the figures have names alone"
    for path, text in named:
        module = importlib.import_module(path.replace("/", "."))
        functions = re.findall(r"`(\w+)(?:\(([\w, ]+)\))?`", text)
        for name, arguments in functions:
            found = inspect.signature(getattr(module, name)).parameters
            assert not arguments or list(found)[: arguments.count(",") + 1] == arguments.split(", "), name
