"""Boxes of one's own: three layouts that are read, what is refused, what is looked at; how boxes are judged, and blobs beside them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pydicom import dcmread

from inference.findings import Box
from training.augment import boxed
from training.data.boxed import MarkedBox, within
from training.errors import UnfitData, UnfitSetting
from training.evaluation.boxes import JudgedImage, SureBox, chosen_from, mean_precision, pooled_precision, precisions, ranked, scan, shared
from training.networks.centred import CentreNetwork, taught
from training.planning import Asked
from training.recipe import Example
from training.tabled.blobs import tuned
from training.tabled.boxes import read_boxes
from training.tabled.files import filed
from training.tabled.hygiene import Clean, Question, clean, see
from training.tabled.labels import read_labels
from training.tabled.plan import planned
from training.tabled.studies import image_of, tabled

from .boxed_radiographs import drawn_on, picture, write_boxed
from .labelled_radiographs import ROOT, radiograph

COUNT, SIZE = 24, 64
HEAD = "path,xmin,ymin,xmax,ymax,label\n"


def table(file: Path, content: str) -> Path:
    file.write_text(content, encoding="utf-8")
    return file


def box(top: float, left: float, bottom: float, right: float) -> Box:
    return Box(top=top, left=left, bottom=bottom, right=right)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_boxed(tmp_path_factory.mktemp("made"), COUNT, SIZE).parent


def looked_at(folder: Path, labels: Path) -> Clean:
    found = read_boxes(labels)
    return clean(found, tabled(folder, found), print)


def asked(questions: "tuple[Question, ...]") -> dict[str, tuple[str, ...]]:
    return {one.what: tuple(one.cases) for one in questions}


def test_three_layouts_say_the_same(tmp_path: Path) -> None:
    """A table by corners, one by sides, a file of COCO and a folder of Pascal VOC: the same boxes of the same images, and one without."""
    corners = table(tmp_path / "c.csv", f"{HEAD}a.png,10,20,40,30,disc\na.png,5,5,9,9,ring\nb.png,,,,,\n")
    sides = table(tmp_path / "s.csv", "file,x,y,width,height,class\na.png,10,20,30,10,disc\na.png,5,5,4,4,ring\nb.png,,,,,\n")
    coco = {
        "images": [{"id": 7, "file_name": "a.png", "width": 64, "height": 48}, {"id": 8, "file_name": "b.png"}],
        "categories": [{"id": 1, "name": "disc"}, {"id": 2, "name": "ring"}],
        "annotations": [
            {"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 10]},
            {"id": 2, "image_id": 7, "category_id": 2, "bbox": [5, 5, 4, 4]},
        ],
    }
    (tmp_path / "voc").mkdir()
    drawn = "".join(
        f"<object><name>{name}</name><bndbox><xmin>{x1}</xmin><ymin>{y1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>"
        for name, x1, y1, x2, y2 in (("disc", 11, 21, 40, 30), ("ring", 6, 6, 9, 9))
    )
    size = "<size><width>64</width><height>48</height><depth>1</depth></size>"
    table(tmp_path / "voc" / "a.xml", f"<annotation><filename>a.png</filename>{size}{drawn}</annotation>")
    table(tmp_path / "voc" / "b.xml", "<annotation><filename>b.png</filename></annotation>")
    found = [read_boxes(one) for one in (corners, sides, table(tmp_path / "c.json", json.dumps(coco)), tmp_path / "voc")]
    wanted = (MarkedBox(box=box(20, 10, 30, 40), channel=0), MarkedBox(box=box(5, 5, 9, 9), channel=1))
    for one in found:
        assert [code.meaning for code in one.channels] == ["disc", "ring"]
        assert [(line.name, line.boxes, line.labels) for line in one.lines] == [
            ("a.png", wanted, (True, True)),
            ("b.png", (), (False, False)),
        ]
    assert [one.rest_is_empty for one in found] == [True, True, False, False]
    assert [one.lines[0].size for one in found] == [None, None, (48, 64), (48, 64)]
    (only,) = {one.labels for one in read_boxes(corners, ["ring"]).lines if one.boxes}
    assert only == (True,)


def test_a_column_that_numbers_lines_names_no_patient(tmp_path: Path) -> None:
    """Statistics programs write it first, without a name: two boxes of one image are no two patients', nor is each image one's."""
    drawn = read_boxes(table(tmp_path / "b.csv", f",{HEAD}0,a.png,1,1,9,9,disc\n1,a.png,20,20,29,29,disc\n"))
    assert [(line.name, line.patient, len(line.boxes)) for line in drawn.lines] == [("a.png", "", 2)]
    labelled = read_labels(table(tmp_path / "l.csv", ",path,Finding\n0,a.png,disc\n1,b.png,ring\n"))
    assert [line.patient for line in labelled.lines] == ["", ""]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (f"{HEAD}a.png,40,20,10,30,disc\n", "line 2: xmax 10 is less than xmin 40: the two are exchanged, or width and height are meant"),
        (f"{HEAD}a.png,10,30,40,20,disc\n", "line 2: ymax 20 is less than ymin 30"),
        (f"{HEAD}a.png,10,20,10,30,disc\n", "line 2: its box has no area (x from 10 to 10)"),
        ("path,x,y,width,height,label\na.png,10,20,-4,30,disc\n", "line 2: its box has no area (x from 10 to 6)"),
        (f"{HEAD}a.png,10,20,4o,30,disc\n", "line 2: xmin, ymin, xmax, ymax are not four numbers"),
        (f"{HEAD}a.png,10,20,,30,disc\n", "line 2: xmin, ymin, xmax, ymax are not four numbers"),
        (f"{HEAD}a.png,10,20,inf,30,disc\n", "are not four finite numbers"),
        (f"{HEAD}a.png,10,20,40,30,\n", "line 2: its box is of no class"),
        (f"{HEAD}a.png,0.1,0.2,0.4,0.9,disc\n", "these are shares of the image, pixels are asked for"),
        (f"{HEAD}a.png,,,,,\n", "has no box: nothing could be learned"),
        (f"{HEAD}a.png,,,,,\na.png,1,1,9,9,disc\n", "line 2 says that nothing is on a.png, and another has a box there"),
        ("path,xmin,ymin,xmax,label\na.png,1,1,9,disc\n", "it has no boxes (columns path, xmin, ymin, xmax, label)"),
        ("path,xmin,ymin,xmax,ymax\na.png,1,1,9,9\n", "0 columns say the class"),
        ("path,xmin,ymin,xmax,ymax,label,class\na.png,1,1,9,9,disc,round\n", "2 columns say the class"),
        ("xmin,ymin,xmax,ymax,label\n1,1,9,9,disc\n", "names no case"),
        (
            "path,patient,xmin,ymin,xmax,ymax,label\na.png,P1,1,1,9,9,disc\na.png,P2,1,1,9,9,disc\n",
            "line 3: a.png is of P2, in line 2 of P1",
        ),
    ],
)
def test_tables_that_say_no_boxes_are_refused(tmp_path: Path, content: str, said: str) -> None:
    """A sentence with the line, and what to write."""
    with pytest.raises(UnfitData) as refused:
        read_boxes(table(tmp_path / "t.csv", content))
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"annotations": [{"id": 3, "image_id": 9, "category_id": 1, "bbox": [1, 1, 5, 5]}]},
            "annotation 3 is of image 9, which is",
        ),
        ({"annotations": [{"id": 3, "image_id": 7, "category_id": 5, "bbox": [1, 1, 5, 5]}]}, "annotation 3 is of category 5"),
        (
            {"annotations": [{"id": 3, "image_id": 7, "category_id": 1, "bbox": [1, 1, 5]}]},
            "3: x, y, width, height are not four",
        ),
        ({"annotations": [{"image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], "iscrowd": 1}]}, "is a crowd (iscrowd)"),
        ({"images": [{"id": 7, "file_name": "a.png"}, {"id": 8, "file_name": "a.png"}]}, "two of its images have one file_name"),
        ({"images": [{"id": 7, "file_name": "a.png"}, {"id": 7, "file_name": "b.png"}]}, "two of its images have one id"),
        ({"images": None}, "is no file of COCO"),
    ],
)
def test_files_of_coco_that_are_none_are_refused(tmp_path: Path, changed: dict[str, object], said: str) -> None:
    """An annotation without its image or its class, a crowd, one name twice."""
    whole = {
        "images": [{"id": 7, "file_name": "a.png"}],
        "categories": [{"id": 1, "name": "disc"}],
        "annotations": [{"id": 1, "image_id": 7, "category_id": 1, "bbox": [10, 20, 30, 10]}],
    }
    with pytest.raises(UnfitData) as refused:
        read_boxes(table(tmp_path / "c.json", json.dumps({**whole, **changed})))
    assert said in str(refused.value)


def test_folders_of_voc_that_are_none_are_refused(tmp_path: Path) -> None:
    """No file but what another system left, another file, two of one image."""
    (tmp_path / "._a.xml").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    with pytest.raises(UnfitData, match=r"has no \.xml"):
        read_boxes(tmp_path)
    table(tmp_path / "a.xml", "<dataset/>")
    with pytest.raises(UnfitData, match="no annotation of Pascal VOC: its root is dataset"):
        read_boxes(tmp_path)
    for name in ("a", "b"):
        table(tmp_path / f"{name}.xml", "<annotation><filename>a.png</filename></annotation>")
    with pytest.raises(UnfitData, match="and another file name the same image"):
        read_boxes(tmp_path)


def test_a_class_that_is_not_there_is_not_learned(tmp_path: Path) -> None:
    """Those that are there are named."""
    with pytest.raises(UnfitSetting, match=r"--target square: .* it has disc"):
        read_boxes(table(tmp_path / "t.csv", f"{HEAD}a.png,1,1,9,9,disc\n"), ["square"])


def test_boxes_end_with_their_image() -> None:
    """A pixel beyond the border is cut off; more of it, or labels of another size, are refused with both sizes."""
    inside = within([MarkedBox(box=box(-1, 0, 20, 64.5), channel=0)], 48, 64)
    assert inside[0].box == box(0, 0, 20, 64)
    with pytest.raises(UnfitData, match=r"columns 10 to 70\) lies outside of the image, which has 48 rows and 64 columns"):
        within([MarkedBox(box=box(0, 10, 20, 70), channel=0)], 48, 64)
    with pytest.raises(UnfitData, match="of an image of 96 rows and 128 columns, and it has 48 and 64"):
        within([MarkedBox(box=box(0, 10, 20, 30), channel=0)], 48, 64, (96, 128))


def test_what_is_looked_at_before_the_first_step(made: Path, tmp_path: Path) -> None:
    """Images in no line are kept as showing nothing; a box that stands twice is taken once; one beyond its image leaves that out."""
    whole = looked_at(made, made / "boxes.csv")
    told = asked(whole.questions)
    empty = {f"2.25.4711.{number}.1.1" for number in range(COUNT) if not drawn_on(number, SIZE)}
    assert empty
    assert set(told["images in no line"]) == empty
    assert {one.case.name for one in whole.seen if not one.case.boxes} == empty
    assert len(whole.seen) == COUNT
    assert not told["boxes that stand twice"]
    head, first, *rest = (made / "boxes.csv").read_text().splitlines()
    name = first.partition(",")[0]
    spoilt = table(
        tmp_path / "t.csv", "\n".join([head, first, first, f"{rest[-1].partition(',')[0]},1,1,99,9,disc", *rest, "1.2.3,1,1,9,9,disc"])
    )
    told = asked(looked_at(made, spoilt).questions)
    assert told["boxes that stand twice"] == (f"{name}: disc",)
    (broken,) = told["cases that cannot be read"]
    assert "lies outside of the image, which has 64 rows and 64 columns" in broken
    (lost,) = told["lines that name no image"]
    assert "no image here has the SOPInstanceUID" in lost
    assert not told["images in no line"]
    assert set(told["images that a lost line may mean"]) == {
        f"2.25.4711.{number}.1" for number in range(COUNT) if not drawn_on(number, SIZE)
    }


def test_what_a_lost_line_may_mean_does_not_show_nothing(tmp_path: Path) -> None:
    """Two files that are called as a line names one, and two series of the study that a line names: boxes lie on one of them."""
    for name in ("a/0.png", "b/0.png", "b/1.png", "c.png", "._c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.fromarray(np.zeros((64, 64), dtype=np.uint8)).save(tmp_path / name)
    found = filed(tmp_path, read_boxes(table(tmp_path / "t.csv", f"{HEAD}c.png,1,1,9,9,disc\n0,1,1,9,9,disc\n")), "DX")
    assert found.lost == ("line 3: 0 may be any of 2 files: write its folder",)
    assert (found.empty, found.unlabelled) == (("b/1.png",), ("a/0.png", "b/0.png"))
    lines = f"{HEAD}c.png,1,1,9,9,disc\nB/1.png,1,1,9,9,disc\na/0.png,,,,,\n"
    found = filed(tmp_path, read_boxes(table(tmp_path / "u.csv", lines)), "DX")
    assert found.lost == (f"line 3: B/1.png is not in {tmp_path}",)
    assert (found.empty, found.doubted) == ((), ("b/0.png", "b/1.png")), "a misspelt line may mean any image"
    assert [case.name for case in found.cases] == ["c.png", "a/0.png"], "what a line says to be empty is"
    found = filed(tmp_path, read_boxes(table(tmp_path / "v.csv", lines.replace("B/1.png,1,1,9,9,disc", "B/1.png,,,,,"))), "DX")
    assert (found.empty, found.doubted) == (("b/0.png", "b/1.png"), ())
    folder = tmp_path / "studies"
    folder.mkdir()
    for number in range(3):
        radiograph(folder / f"{number}.dcm", picture(number, SIZE), number)
    twin = dcmread(folder / "1.dcm")
    twin.SeriesInstanceUID, twin.SOPInstanceUID = (f"{uid}.9" for uid in (twin.SeriesInstanceUID, twin.SOPInstanceUID))
    twin.file_meta.MediaStorageSOPInstanceUID = twin.SOPInstanceUID
    twin.save_as(folder / "twin.dcm")
    radiograph(folder / "scan.dcm", picture(3, SIZE), 3, Modality="MR")
    lines = "".join(f"{ROOT}.{number},1,1,9,9,disc\n" for number in range(2))
    named = tabled(folder, read_boxes(table(tmp_path / "s.csv", f"StudyInstanceUID,xmin,ymin,xmax,ymax,label\n{lines}")))
    assert named.lost == ("line 3: 2 series have the StudyInstanceUID that it names: name each by its own UID",)
    assert named.empty == (f"{ROOT}.2.1.1",)
    assert set(named.doubted) == {f"{ROOT}.1.1", twin.SeriesInstanceUID}
    assert set(named.unlabelled) == {*named.doubted, f"{ROOT}.3.1"}, "no line of a table of radiographs means an MR"
    # two views in one series, of which one is named
    twin.SeriesInstanceUID = f"{ROOT}.1.1"
    twin.save_as(folder / "twin.dcm")
    lines = f"{ROOT}.0.1.1,1,1,9,9,disc\n{ROOT}.1.1.1,1,1,9,9,disc\n1.2.3,1,1,9,9,disc\n"
    named = tabled(folder, read_boxes(table(tmp_path / "i.csv", f"SOPInstanceUID,xmin,ymin,xmax,ymax,label\n{lines}")))
    assert (named.empty, set(named.doubted)) == ((), {f"1 of 2 images of {ROOT}.1.1", f"{ROOT}.2.1"})


def test_doubles_under_other_boxes_are_left_out(made: Path, tmp_path: Path) -> None:
    """The same pixels once more, with another box: nobody knows which is right, and both go."""
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    lines = [HEAD.strip()]
    for number in range(COUNT):
        Image.fromarray((picture(number, SIZE) // 16).astype(np.uint8)).save(pictures / f"{number}.png")
        lines += [f"{number}.png,{','.join(f'{side:g}' for side in one.sides)},{one.kind}" for one in drawn_on(number, SIZE)]
    (pictures / "again.png").write_bytes((pictures / "0.png").read_bytes())
    found = read_boxes(table(tmp_path / "t.csv", "\n".join([*lines, "again.png,1,1,9,9,disc", "again.png,20,20,29,29,ring"])))
    kept = clean(found, filed(pictures, found, "DX"), print)
    assert asked(kept.questions)["exact doubles under two labels"] == ("0.png = again.png",)
    assert {one.case.name for one in kept.seen} == {f"{number}.png" for number in range(1, COUNT)}


def test_a_class_of_few_patients_is_refused_and_empty_images_are_not_asked_for(made: Path, tmp_path: Path) -> None:
    """Nine patients with a class are too few; that every image has one is none."""
    lines = (made / "boxes.csv").read_text().splitlines()
    rings = list(dict.fromkeys(line.partition(",")[0] for line in lines[1:] if line.endswith("ring")))
    few = [line for line in lines if not (line.endswith("ring") and line.partition(",")[0] in rings[9:])]
    with pytest.raises(UnfitData, match='class "ring" has 9 patients'):
        looked_at(made, table(tmp_path / "t.csv", "\n".join(few)))
    full = [*lines, *(f"2.25.4711.{number}.1.1,1,1,9,9,disc" for number in range(COUNT) if not drawn_on(number, SIZE))]
    assert len(looked_at(made, table(tmp_path / "f.csv", "\n".join(full))).seen) == COUNT


def test_boxes_on_volumes_are_refused(made: Path) -> None:
    """There is another recipe for them."""
    found = read_boxes(made / "boxes.csv")
    studies = tabled(made, found)
    kept = clean(found, studies, print)
    as_ct = type(studies)(
        cases=tuple(type(one)(**{**{name: getattr(one, name) for name in one.__slots__}, "modality": "CT"}) for one in studies.cases),
        lost=(),
        unlabelled=(),
        left_out=(),
    )
    with pytest.raises(UnfitData, match="boxes are learned on single images, and the labels name volumes"):
        planned(as_ct, found, kept, kept.seen, Asked(), name="own", seed=0, digest="")


TRUE = (MarkedBox(box=box(0, 0, 10, 10), channel=0), MarkedBox(box=box(20, 20, 30, 30), channel=0))


def sure(certainty: float, *sides: float, channel: int = 0) -> SureBox:
    return SureBox(box=box(*sides), channel=channel, certainty=certainty)


def test_average_precision_by_hand() -> None:
    """A hit at 0.9, a double of it at 0.8, a hit at 0.7: at recall 1/2 precision 1, then 2/3. Half of what both cover is the edge."""
    assert shared(box(0, 0, 10, 10), box(0, 0, 10, 20)) == pytest.approx(0.5)
    found = (sure(0.9, 0, 0, 10, 10), sure(0.8, 0, 0, 10, 9), sure(0.7, 20, 20, 30, 40))
    image = JudgedImage(patient="P", found=found, true=TRUE)
    assert image.hits(0) == [(0.9, True), (0.8, False), (0.7, True)]
    assert precisions([ranked(image, 2)]).tolist() == [pytest.approx(0.5 + 0.5 * 2 / 3), pytest.approx(float("nan"), nan_ok=True)]
    nothing = JudgedImage(patient="Q", found=(), true=TRUE)
    both = [ranked(image, 2), ranked(nothing, 2)]
    assert mean_precision(both) == pytest.approx(0.25 + 0.25 * 2 / 3)
    # counted twice, an image is two
    assert mean_precision(both, np.array([2, 0])) == pytest.approx(mean_precision(both[:1]))
    told = pooled_precision(both, ["P", "Q"])
    assert told["interval"] == pytest.approx([0, 0.5 + 0.5 * 2 / 3])


def test_boxes_of_another_class_hit_nothing() -> None:
    """Neither for precision nor for FROC, where a middle in the true box is enough."""
    image = JudgedImage(patient="P", found=(sure(0.9, 0, 0, 10, 10, channel=1), sure(0.6, 4, 4, 7, 7)), true=TRUE)
    assert image.hits(0) == [(0.6, False)]
    told = scan(image)
    assert (told.hits[0], told.matched, told.alarms) == (0.6, (1, None), (0.9,))


def test_told_is_where_f1_is_best() -> None:
    """Between the last hit and the first false box behind it; without any hit it is said from a half on."""
    image = JudgedImage(patient="P", found=(sure(0.9, 0, 0, 10, 10), sure(0.7, 20, 20, 30, 30), sure(0.3, 50, 50, 60, 60)), true=TRUE)
    assert chosen_from([image], 1) == 0.5
    assert chosen_from([JudgedImage(patient="P", found=(sure(0.3, 50, 50, 60, 60),), true=TRUE)], 1) == 0.5
    low = JudgedImage(patient="P", found=(sure(0.2, 0, 0, 10, 10), sure(0.16, 20, 20, 30, 30)), true=TRUE)
    assert chosen_from([low], 1) == pytest.approx(0.09)
    certain = JudgedImage(patient="P", found=(sure(0.9999, 0, 0, 10, 10), sure(0.9998, 50, 50, 60, 60)), true=TRUE[:1])
    assert 0.9998 < chosen_from([certain], 1) <= 0.9999


def test_blobs_find_bright_discs() -> None:
    """Tuned on some pictures, it knows that they are brighter, and finds those of another with boxes of their size."""
    shown = [
        (str(number), picture(number, 128).astype(np.float32), [MarkedBox(box=_of(one.sides), channel=0) for one in drawn_on(number, 128)])
        for number in range(4)
    ]
    (setting,) = tuned(shown[:3], 1)
    assert setting.sign == 1
    _, image, there = shown[3]
    found = JudgedImage(patient="3", found=tuple(setting.boxes(image, 0)), true=tuple(there))
    assert sum(hit for _, hit in found.hits(0)) >= len(there) / 2


def _of(sides: tuple[float, float, float, float]) -> Box:
    left, top, right, bottom = sides
    return box(top, left, bottom, right)


def test_boxes_move_with_their_image() -> None:
    """A bright rectangle stays where its box is, whatever an example is scaled and shifted by; without strength nothing moves."""
    image = np.zeros((1, 96, 96), dtype=np.float32)
    image[0, 40:56, 30:60] = 1
    target = np.array([[1, 40, 30, 56, 60], [-1, -1, -1, -1, -1]], dtype=np.float32)
    for seed in range(8):
        moved = boxed()(Example(image=image, target=target), seed)
        rows, columns = np.nonzero(moved.image[0] > 0.5)
        kind, top, left, bottom, right = moved.target[0]
        assert kind == 1
        assert (top, left, bottom, right) == pytest.approx((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1), abs=1.5)
        assert moved.target[1].tolist() == [-1] * 5
    still = boxed(0.0)(Example(image=image, target=target), 3)
    assert np.array_equal(still.target, target)
    assert still.image == pytest.approx(image, abs=1e-6)


def test_a_box_that_leaves_the_image_is_none() -> None:
    """Of one at the border some examples lose it: no network is taught what cannot be seen."""
    image = np.zeros((1, 96, 96), dtype=np.float32)
    target = np.array([[0, 0, 0, 4, 4]], dtype=np.float32)
    kinds = {float(boxed(2.0)(Example(image=image, target=target), seed).target[0, 0]) for seed in range(16)}
    assert kinds == {0.0, -1.0}


def test_the_loss_is_least_where_the_maps_are_right() -> None:
    """Maps that say the middle and the sides of a box are nearly without loss; moved, resized, or of the other class they are not."""
    boxes = torch.tensor([[[1, 8.0, 12, 24, 20], [-1, -1, -1, -1, -1]]])

    def maps(row: int, kind: int, log_height: float) -> torch.Tensor:
        made = torch.zeros(1, 6, 8, 8)
        made[:, :2] = -9
        made[0, kind, row, 4] = 9
        # the middle is (16, 16): at the edge of places 3 and 4
        made[0, 2:, row, 4] = torch.tensor([4.0 - row - 0.5, -0.5, log_height, float(np.log(2))])
        return made

    loss = taught(2, 4)
    best = float(loss(maps(4, 1, float(np.log(4))), boxes))
    assert all(
        float(loss(other, boxes)) > best + 0.05 for other in (maps(6, 1, float(np.log(4))), maps(4, 1, 0.0), maps(4, 0, float(np.log(4))))
    )
    nothing = torch.full_like(boxes, -1)
    assert float(loss(maps(4, 1, 0.0), nothing)) > float(loss(torch.full((1, 6, 8, 8), -9.0), nothing))


def test_the_network_answers_at_a_quarter_of_any_size() -> None:
    """Sides that are multiples of 8, as plans have them."""
    network = CentreNetwork(3).eval()
    with torch.inference_mode():
        assert [network(torch.zeros(1, 1, *sides)).shape[1:] for sides in ((64, 48), (40, 72))] == [(7, 16, 12), (7, 10, 18)]


def test_a_case_is_read_as_it_is_served(made: Path) -> None:
    """What is seen of a case is its one image, and its boxes are those of the table."""
    found = read_boxes(made / "boxes.csv")
    first = tabled(made, found).cases[0]
    assert image_of(first)[1].values.shape == (1, SIZE, SIZE)
    assert len(first.boxes) == len(drawn_on(0, SIZE))
    assert see(first).shape == (1, SIZE, SIZE)
