"""An application that goes by the repository's word: windows of a CT to a small network, or the whole of it to an ensemble."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput, ModelRef, SegmentOutput
from inference.engines.calling import run
from inference.engines.port import Tiles
from inference.findings import Findings, Measurement, Segment
from inference.imaging.volume import Volume

MODEL = ModelRef(name="network")
_TYPE = codes.Code("87784001", "SCT", "Soft tissue")


def _prepare(tiles: NDArray[Any]) -> NDArray[np.float32]:
    """What the ensemble does on the server."""
    return tiles.astype(np.float32) * np.float32(1e-3)


def analyse(volume: Volume, infer: Infer) -> Findings:
    """Where the network's first channel is above its second."""
    by_default = Tiles(window=(16, 16, 16), overlap=0.5, batch=1)
    mask: NDArray[np.bool_] = run(
        infer,
        MODEL,
        np.ascontiguousarray(volume.voxels)[None],
        input="x",
        output="y",
        by_default=by_default,
        prepare=_prepare,
        fill=-1000,
        finish=lambda values: values[0] > values[1],
    )
    size_cm3 = float(mask.sum()) * volume.voxel_volume_mm3 / 1000
    segment = Segment(label="above", mask=mask, category=codes.TISSUE, type=_TYPE, rgb=(220, 160, 90))
    return Findings(
        segments=(segment,),
        measurements=(Measurement(name=codes.VOLUME, value=size_cm3, unit=codes.CUBIC_CENTIMETRE, segment="above"),),
    )


APPLICATION = Application(
    name="tiled-ct",
    version="1.0.0",
    title="Windows of a CT (test)",
    accepts=Accepts(modality=("CT",)),
    models=(MODEL,),
    outputs=(SegmentOutput(label="above", type=_TYPE), MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE)),
    analyse=analyse,
)
