"""Boxes on images, as three layouts have them: a table (CSV), one file of COCO, or a folder of Pascal VOC's files.

path,patient,xmin,ymin,xmax,ymax,label         a line a box, in pixels from the outer edge of the first; without a box: nothing is there
SOPInstanceUID,Frame,x,y,width,height,label    the same of DICOM images
{"images": …, "annotations": …, "categories"}  COCO: bbox is x, y, width, height
annotations/one.xml                            Pascal VOC, a file an image: pixels from 1, the last one included

In a table images without a line show nothing; of the other layouts only images that they name are learned from.
"""

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from inference.findings import Box
from training.data.boxed import MarkedBox
from training.data.lines import INSTANCE, PATIENT_COLUMNS, among, number_of
from training.errors import UnfitData, UnfitSetting
from training.tabled.labels import CaseColumns, LabelledLine, LabelTable, cell_of, channels_of, frame_of, opened, value_of

CORNERS = ("xmin", "ymin", "xmax", "ymax")
SIDES = ("x", "y", "width", "height")
_WRITTEN = {
    **{one: one for one in (*CORNERS, *SIDES)},
    "x_min": "xmin",
    "y_min": "ymin",
    "x_max": "xmax",
    "y_max": "ymax",
    "x1": "xmin",
    "y1": "ymin",
    "x2": "xmax",
    "y2": "ymax",
    "left": "xmin",
    "top": "ymin",
    "right": "xmax",
    "bottom": "ymax",
    "w": "width",
    "h": "height",
}
"""Columns of a box as people write them."""
_CLASS = frozenset({"label", "class", "class_name", "category", "finding"})
_MOST = 32


@dataclass(slots=True, kw_only=True)
class _BoxedLine:
    """What is read of one image: where that stands, and each box with the name of its class and the place of its line."""

    number: int
    name: str
    instance: str = ""
    frame: int | None = None
    patient: str = ""
    size: tuple[int, int] | None = None
    boxes: list[tuple[str, Box]] = field(default_factory=list)
    nothing: int | None = None


def read_boxes(labels: Path, classes: Sequence[str] = (), roles: Sequence[str] = ()) -> LabelTable:
    """Read boxes in any of the layouts; the file, or the folder, says which it is.

    Parameters
    ----------
    classes
        Those that are learned; () for all.
    roles
        None: boxes are of one image.

    Raises
    ------
    UnfitData
        It is of none of the layouts, a box is none, or nothing is drawn.
    UnfitSetting
        A class is not there, or roles are named.
    """
    if roles:
        raise UnfitSetting(f"--roles {' '.join(roles)}: boxes are drawn on one image each: leave it out")
    identifier, of_files, rest = "", True, False
    if labels.is_dir():
        drawn, sha256 = _voc(labels)
    elif labels.suffix.lower() == ".json":
        drawn, sha256 = _coco(labels), hashlib.sha256(labels.read_bytes()).hexdigest()
    else:
        drawn, naming = _lines(labels)
        identifier, of_files, rest, sha256 = naming.case, naming.of_files, True, hashlib.sha256(labels.read_bytes()).hexdigest()
    return _table(labels, drawn, classes, identifier=identifier, of_files=of_files, rest=rest, sha256=sha256)


def _table(
    file: Path, drawn: Sequence[_BoxedLine], classes: Sequence[str], *, identifier: str, of_files: bool, rest: bool, sha256: str
) -> LabelTable:
    there = sorted({name for one in drawn for name, _ in one.boxes})
    if not there:
        raise UnfitData(f"{file} has no box: nothing could be learned")
    if absent := [one for one in classes if one not in there]:
        raise UnfitSetting(f"--target {absent[0]}: {file} has no box of this class; it has {', '.join(there)}")
    names = list(classes) or there
    if len(names) > _MOST:
        raise UnfitData(f"{file} has boxes of {len(names)} classes: at most {_MOST} are learned; name them with --target")
    if all(max(box.bottom, box.right) <= 1 for one in drawn for _, box in one.boxes):
        raise UnfitData(f"{file}: no box reaches beyond 1: these are shares of the image, pixels are asked for: multiply them by its size")
    twice: list[str] = []
    lines = []
    for one in drawn:
        kept = list(dict.fromkeys(one.boxes))
        twice += [f"{one.name or one.number}: {name}" for name, box in kept if one.boxes.count((name, box)) > 1]
        boxes = tuple(MarkedBox(box=box, channel=names.index(name)) for name, box in kept if name in names)
        lines.append(
            LabelledLine(
                number=one.number,
                name=one.name,
                instance=one.instance,
                frame=one.frame,
                patient=one.patient,
                labels=tuple(any(box.channel == at for box in boxes) for at in range(len(names))),
                boxes=boxes,
                size=one.size,
            )
        )
    return LabelTable(
        identifier=identifier,
        channels=channels_of(file, names),
        exclusive=False,
        lines=tuple(lines),
        unlabelled=(),
        sha256=sha256,
        of_files=of_files,
        boxed=True,
        rest_is_empty=rest,
        twice=tuple(twice),
    )


def _lines(file: Path) -> tuple[list[_BoxedLine], CaseColumns]:
    there, rows, delimiter, naming = opened(file, (), ())
    if naming.of_participants:
        raise UnfitData(f"{file} names participants: name each image in a column path, boxes are of images")
    free = [one for one in there if one not in naming.columns]
    written = {_WRITTEN[one.strip().casefold()]: one for one in free if one.strip().casefold() in _WRITTEN}
    layout = next((each for each in (CORNERS, SIDES) if all(one in written for one in each)), None)
    kinds = among(free, _CLASS)
    if layout is None or len(kinds) != 1:
        lacks = "it has no boxes" if layout is None else f"{len(kinds)} columns say the class"
        raise UnfitData(
            f"{file}: {lacks} (columns {', '.join(there)}): a line is a box, in columns {', '.join(CORNERS)}, or {', '.join(SIDES)}, in "
            "pixels, and label"
        )
    drawn: dict[tuple[str, int | None], _BoxedLine] = {}
    for number, row in rows:
        name, frame, patient = cell_of(row, naming.case), frame_of(file, number, row), cell_of(row, naming.patient)
        one = drawn.setdefault(
            (name, frame), _BoxedLine(number=number, name=name, instance=cell_of(row, INSTANCE), frame=frame, patient=patient)
        )
        if one.patient != patient:
            raise UnfitData(f"{file}, line {number}: {name} is of {patient or 'nobody'}, in line {one.number} of {one.patient or 'nobody'}")
        cells, kind = [value_of(row, written[each]) for each in layout], value_of(row, kinds[0])
        if not any(cells):
            one.nothing = number
        elif not kind:
            raise UnfitData(f"{file}, line {number}: its box is of no class: say which, or take the line out")
        else:
            one.boxes.append((kind, _box(f"{file}, line {number}", cells, layout, lambda cell: number_of(cell, delimiter))))
        if one.nothing is not None and one.boxes:
            raise UnfitData(f"{file}: line {one.nothing} says that nothing is on {name}, and another has a box there: take one of them out")
    return list(drawn.values()), naming


def _coco(file: Path) -> list[_BoxedLine]:
    try:
        said = json.loads(file.read_text(encoding="utf-8-sig"))
        names = {one["id"]: str(one["name"]).strip() for one in said["categories"]}
        drawn = {
            one["id"]: _BoxedLine(
                number=at, name=str(one["file_name"]), patient=_of_patient(one), size=_size(one.get("height"), one.get("width"))
            )
            for at, one in enumerate(said["images"], start=1)
        }
        if len(drawn) < len(said["images"]):
            raise UnfitData(f"{file}: two of its images have one id: number each once")
        for one in said["annotations"]:
            where = f"{file}, annotation {one.get('id', '')}".rstrip()
            if one["image_id"] not in drawn:
                raise UnfitData(f"{where} is of image {one['image_id']}, which is not among its images: take it out, or name the image")
            if one["category_id"] not in names:
                raise UnfitData(f"{where} is of category {one['category_id']}, which is not among its categories")
            if one.get("iscrowd"):
                raise UnfitData(f"{where} is a crowd (iscrowd), of which no single box is known: draw each, or take its image out")
            drawn[one["image_id"]].boxes.append((names[one["category_id"]], _box(where, one["bbox"], SIDES, float)))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise UnfitData(f"{file} is no file of COCO with images, annotations and categories: {broken!r}") from broken
    if len({one.name for one in drawn.values()}) < len(drawn):
        raise UnfitData(f"{file}: two of its images have one file_name: name each once")
    return list(drawn.values())


def _voc(folder: Path) -> tuple[list[_BoxedLine], str]:
    digest = hashlib.sha256()
    drawn: dict[str, _BoxedLine] = {}
    # what begins with a point another system left there
    for number, file in enumerate(sorted(folder.rglob("[!.]*.xml")), start=1):
        try:
            content = file.read_bytes()
            root = ElementTree.fromstring(content)
            if root.tag != "annotation":
                raise ValueError(f"its root is {root.tag}")
            digest.update(f"{file.relative_to(folder)} {hashlib.sha256(content).hexdigest()}\n".encode())
            name = (root.findtext("filename") or file.stem).strip()
            one = _BoxedLine(number=number, name=name, size=_size(root.findtext("size/height"), root.findtext("size/width")))
            for at, thing in enumerate(root.findall("object"), start=1):
                kind, cells = (thing.findtext("name") or "").strip(), [thing.findtext(f"bndbox/{each}") for each in CORNERS]
                if not kind:
                    raise UnfitData(f"{file}, object {at} has no name: say of which class it is")
                box = _box(f"{file}, object {at}", cells, CORNERS, float)
                # its pixels are counted from 1, and the last one belongs to the box
                one.boxes.append((kind, Box(top=box.top - 1, left=box.left - 1, bottom=box.bottom, right=box.right)))
        except (OSError, ValueError, ElementTree.ParseError) as broken:
            raise UnfitData(f"{file} is no annotation of Pascal VOC: {broken}") from broken
        if name in drawn:
            raise UnfitData(f"{file} and another file name the same image, {name}: take one of them out")
        drawn[name] = one
    if not drawn:
        raise UnfitData(f"{folder} has no .xml: boxes are a table (CSV), a file of COCO (.json), or a folder of Pascal VOC's files")
    return list(drawn.values()), digest.hexdigest()


def _box(where: str, cells: Iterable[Any], layout: Sequence[str], number: Callable[[Any], float]) -> Box:
    try:
        first, second, third, fourth = (number(cell) for cell in cells)
    except (ValueError, TypeError) as none:
        raise UnfitData(f"{where}: {', '.join(layout)} are not four numbers") from none
    if not all(map(math.isfinite, (first, second, third, fourth))):
        raise UnfitData(f"{where}: {', '.join(layout)} are not four finite numbers")
    right, bottom = (third, fourth) if layout is CORNERS else (first + third, second + fourth)
    box = Box(top=second, left=first, bottom=bottom, right=right)
    for axis, low, high in (("x", first, right), ("y", second, bottom)):
        if high < low and layout is CORNERS:
            raise UnfitData(
                f"{where}: {axis}max {high:g} is less than {axis}min {low:g}: the two are exchanged, or width and height are meant (the "
                f"columns are then called {', '.join(SIDES)})"
            )
        if high <= low:
            raise UnfitData(f"{where}: its box has no area ({axis} from {low:g} to {high:g}): take it out, or draw it")
    return box


def _size(rows: Any, columns: Any) -> tuple[int, int] | None:
    """As a file says it; 0 is what programs write that do not know it."""
    sides = (int(rows or 0), int(columns or 0))
    return sides if min(sides) > 0 else None


def _of_patient(image: Mapping[str, Any]) -> str:
    said = among(list(image), PATIENT_COLUMNS)
    return str(image[said[0]]).strip() if said else ""
