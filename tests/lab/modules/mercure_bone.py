"""A module of mercure: bone is what is above `limit` HU. It parses names of files as mercure's modules do, and says numbers in result.json.

Its setting `misbehave` has it do what a bad one does; without it, it is as good as it can be.
"""

import json
import os
import signal
import sys
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset

from . import writing

BONE = ("272673000", "SCT", "Bone structure")


def main(given: Path, made: Path) -> int:
    """Read the one series that was given, write what is bone."""
    task = json.loads((given / "task.json").read_text())
    settings = task["process"]["settings"]
    series: dict[str, list[Path]] = {}
    for file in sorted(given.glob("*.dcm")):
        series.setdefault(file.name.split("#")[0], []).append(file)
    (files,) = series.values()
    images = sorted((dcmread(file) for file in files), key=lambda image: float(image.ImagePositionPatient[2]))
    found = spoiled(settings.get("misbehave", ""), writing.segmentation(images, settings["limit"], BONE, "bone"), made)
    if found is not None:
        writing.save(found, made / "bone.dcm")
    marked = sum(sum(writing.bright(image, settings["limit"])) for image in images)
    if settings.get("misbehave") not in ("nothing", "no number"):
        rows_mm, columns_mm = images[0].PixelSpacing
        apart_mm = images[1].ImagePositionPatient[2] - images[0].ImagePositionPatient[2]
        volume = float(marked * rows_mm * columns_mm * apart_mm / 1000)
        said = {"voxels": marked, "volume": volume, "probability": 0.9 if marked else 0.1}
        (made / "result.json").write_text(json.dumps({"bone": said}))
    return 0


def spoiled(how: str, found: Dataset, made: Path) -> Dataset | None:
    """The segmentation as a bad module leaves it, None without one; some of them do worse."""
    place = found.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0]
    match how:
        case "another patient":
            found.PatientID = "SOMEBODY-ELSE"
        case "another code":
            found.SegmentSequence[0].SegmentedPropertyTypeCodeSequence[0].CodeValue = "10200004"
        case "another place":
            place.ImagePositionPatient[0] += 5
        case "an undeclared segment":
            found.SegmentSequence[0].SegmentLabel = "tumour"
        case "nothing" | "no mask":
            return None
        case "garbage":
            (made / "more.dcm").write_bytes(os.urandom(4096))
        case "damaged":
            (made / "more.dcm").write_bytes(bytes(128) + b"DICM" + os.urandom(4096))
        case "a link":
            (made / "passwd.dcm").symlink_to("/etc/passwd")
        case "a pipe":
            os.mkfifo(made / "more.dcm")
        case "too much":
            for number in range(1000):
                (made / f"{number}.bin").write_bytes(bytes(1 << 20))
            signal.pause()
        case "for ever":
            signal.pause()
        case "memory":
            print(len(bytearray(1 << 30)))
        case "status":
            print("no licence for this host")
            sys.exit(3)
    return found


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
