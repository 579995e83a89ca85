"""What the node is compared with: the same result made directly with highdicom, by a script that trusts its input."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.engines.port import Call, ModelRef, Tensors
from inference.imaging.volume import Volume


class NoModel:
    """Stands for the engine where an application calls none."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        raise AssertionError(f"{model.name} was called")

    def at_once(self, model: ModelRef) -> int:
        raise AssertionError(f"{model.name} was called")

    def call_of(self, model: ModelRef) -> Call | None:
        raise AssertionError(f"{model.name} was called")


def plain_seg(files: Sequence[Path], volume: Volume, mask: NDArray[np.bool_]) -> bytes:
    """A binary segmentation of one segment as highdicom makes it from the sources' headers, as a Part 10 file's bytes."""
    import highdicom as hd
    from highdicom.sr import CodedConcept
    from pydicom import dcmread

    headers = {header.SOPInstanceUID: header for header in (dcmread(path, stop_before_pixels=True) for path in files)}
    tissue = CodedConcept("85756007", "SCT", "Tissue")
    description = hd.seg.SegmentDescription(
        segment_number=1,
        segment_label="above zero",
        segmented_property_category=tissue,
        segmented_property_type=CodedConcept("87784001", "SCT", "Soft tissue"),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name="threshold", version="1", family=CodedConcept("123110", "DCM", "Artificial Intelligence")
        ),
    )
    made = hd.seg.Segmentation(
        source_images=[headers[source.sop_instance_uid] for source in volume.sources],
        pixel_array=mask.view(np.uint8),
        segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
        segment_descriptions=[description],
        series_instance_uid=hd.UID(),
        series_number=1,
        sop_instance_uid=hd.UID(),
        instance_number=1,
        manufacturer="bench",
        manufacturer_model_name="bench",
        software_versions="1",
        device_serial_number="1",
    )
    written = BytesIO()
    made.save_as(written)
    return written.getvalue()
