"""The application of a MONAI Application Package: bone is what is above 300 HU; folders as Holoscan's variables say."""

import os
import sys
from pathlib import Path

from pydicom import dcmread

from . import writing

given, made = Path(os.environ["HOLOSCAN_INPUT_PATH"]), Path(os.environ["HOLOSCAN_OUTPUT_PATH"])
images = sorted((dcmread(file) for file in given.rglob("*.dcm")), key=lambda image: float(image.ImagePositionPatient[2]))
writing.save(writing.segmentation(images, 300, ("272673000", "SCT", "Bone structure"), "Bone"), made / f"{os.getpid()}.dcm")
sys.exit(0)
