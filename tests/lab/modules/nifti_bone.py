"""A program that knows NIfTI alone: bone is what is above 300 in the file that it is given, and 1 in the one that it writes.

Images of some names have it do what a bad one does.
"""

import gzip
import os
import struct
from pathlib import Path

given, made = Path(os.environ["HILUM_INPUT_PATH"]), Path(os.environ["HILUM_OUTPUT_PATH"])
(image,) = given.iterdir()
content = bytearray(gzip.decompress(image.read_bytes()))
columns, rows, depth = struct.unpack_from("<3h", content, 42)
(kind,) = struct.unpack_from("<h", content, 70)
assert kind == 4, "16 bits, as a CT has"
voxels = struct.unpack_from(f"<{columns * rows * depth}h", content, 352)
labels = bytes(value > 300 for value in voxels)
struct.pack_into("<2h", content, 70, 2, 8)
match image.name.partition(".")[0]:
    case "shifted":
        (left,) = struct.unpack_from("<f", content, 292)
        struct.pack_into("<f", content, 292, left + 3)
    case "undeclared":
        labels = labels.replace(b"\1", b"\2")
    case "cut":
        labels = labels[:-1]
(made / "bone.nii.gz").write_bytes(gzip.compress(bytes(content[:352]) + labels))
