"""Layouts that are known and hold no outlines that are read: a folder in one of them is refused by its name, with the way that there is."""

import json
from collections.abc import Callable
from pathlib import Path

_BOXES = "boxes and polygons of single images are no masks. Recipe detection learns the boxes"
_HEAD = 4096


def unread(folder: Path) -> str:
    """What a folder that could not be learned from is laid out as, and what to do; "" where nothing is known about it."""
    for says, what in _KNOWN:
        found = says(folder)
        if found is not None:
            return f"{folder} is laid out as {what.format(found.relative_to(folder))}"
    return ""


def _coco(folder: Path) -> Path | None:
    for path in (*sorted(folder.glob("*.json")), *sorted(folder.glob("annotations/*.json"))):
        try:
            said = json.loads(path.read_text(encoding="utf-8-sig"))
        except (OSError, ValueError):
            continue
        if isinstance(said, dict) and {"images", "annotations", "categories"} <= said.keys():
            return path
    return None


def _voc(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob("**/Annotations/*.xml")) if "<annotation" in _head(path)), None)


def _yolo(folder: Path) -> Path | None:
    found = (path for path in (*folder.glob("*.yaml"), *folder.glob("*.yml")) if "names:" in _head(path))
    return next(found, None) if next(folder.glob("**/labels/**/*.txt"), None) is not None else None


def _luna16(folder: Path) -> Path | None:
    return next((path for path in sorted(folder.glob("**/annotations.csv")) if _head(path).startswith("seriesuid")), None)


def _meta_image(folder: Path) -> Path | None:
    return next(folder.glob("**/*.mhd"), None)


def _head(path: Path) -> str:
    try:
        with path.open(encoding="utf-8-sig", errors="replace") as file:
            return file.read(_HEAD)
    except OSError:
        return ""


_KNOWN: tuple[tuple[Callable[[Path], Path | None], str], ...] = (
    (_coco, f"COCO has it ({{}}): {_BOXES}, `--labels` with this file"),
    (_voc, f"Pascal VOC has it ({{}}): {_BOXES}, `--labels` with the folder of this file"),
    (_yolo, f"YOLO has it ({{}}): {_BOXES} of a table (`--labels`), in pixels, and here are shares of the image"),
    (
        _luna16,
        "LUNA16 has it ({}): places and diameters of nodules are no outlines. Recipe lung-nodule finds nodules, and is judged on such",
    ),
    (_meta_image, "MetaImage files ({}), which are not read: write them as NIfTI"),
)
