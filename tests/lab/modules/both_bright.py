"""A program that is given two series in roles: marked is what is above 300 in both, on the images of the first, T1; and a map of by how
much T1 is above FLAIR.

It finds the roles as its contract says: of mercure among its settings, of a package in folders of their names.
"""

import json
import os
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import FileDataset

from . import writing

LIMIT = 300
DIFFERENCE = ("113068", "DCM", "Subtraction")
BONE = ("272673000", "SCT", "Bone structure")


def of_mercure(given: Path) -> dict[str, list[Path]]:
    """The files of each role: task.json is that of a study, and names the series."""
    task = json.loads((given / "task.json").read_text())
    roles = task["process"]["settings"]["roles"]
    assert task["info"]["uid_type"] == "study", task["info"]
    assert task["study"]["received_series_uid"] == list(roles.values()), task["study"]
    assert {file.name.split("#")[0] for file in given.glob("*.dcm")} == set(roles.values())
    return {role: sorted(given.glob(f"{series}#*.dcm")) for role, series in roles.items()}


def of_package(given: Path) -> dict[str, list[Path]]:
    """The files of each role: a folder of its name has them."""
    return {folder.name: sorted(folder.glob("*.dcm")) for folder in given.iterdir()}


def ordered(files: list[Path]) -> list[FileDataset]:
    """Images from the feet to the head."""
    return sorted((dcmread(file) for file in files), key=lambda image: float(image.ImagePositionPatient[2]))


if "MERCURE_IN_DIR" in os.environ:
    roles, made = of_mercure(Path(os.environ["MERCURE_IN_DIR"])), Path(os.environ["MERCURE_OUT_DIR"])
else:
    roles, made = of_package(Path(os.environ["HOLOSCAN_INPUT_PATH"])), Path(os.environ["HOLOSCAN_OUTPUT_PATH"])
assert sorted(roles) == ["FLAIR", "T1"], sorted(roles)
first, second = ordered(roles["T1"]), ordered(roles["FLAIR"])
above = [
    [one - two for one, two in zip(writing.values_of(image), writing.values_of(other), strict=True)]
    for image, other in zip(first, second, strict=True)
]
writing.save(writing.parametric_map(first, above, DIFFERENCE, ("1", "UCUM", "no units")), made / "above.dcm")
for image, other in zip(first, second, strict=True):
    both = [one and two for one, two in zip(writing.bright(image, LIMIT), writing.bright(other, LIMIT), strict=True)]
    image.PixelData = b"".join((1000 * marked).to_bytes(2, "little") for marked in both)
    image.RescaleSlope, image.RescaleIntercept = 1, 0
writing.save(writing.segmentation(first, LIMIT, BONE, "Bone"), made / "bone.dcm")
sys.exit(0)
