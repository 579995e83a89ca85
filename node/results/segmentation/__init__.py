"""Segmentations: masks on the source grid, BINARY or as a label map, with the report that refers to each."""

from node.dicom.transfer_syntax import (
    DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    JPEG_LS_LOSSLESS,
    LABEL_MAP_STORAGE,
    RLE_LOSSLESS,
)
from node.domain.profile import Form, Kind
from node.results.kind import EncodingStage, Holding, Picture, ResultKind

_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
"""Segmentation Storage (PS3.4 B.5)."""
_DEFLATED = DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN
"""Deflated Image Frame Compression (1.2.840.10008.1.2.8.1) would leave the header readable, but neither DCMTK 3.6 nor Orthanc 1.10 nor the
library reads it; all three inflate whole data sets.
"""
LABEL_MAPS = frozenset({Form.LABELMAP, Form.LABELMAP_RLE, Form.LABELMAP_JPEG_LS, Form.LABELMAP_DEFLATE})

SEGMENTATION = ResultKind(
    kind=Kind.SEG,
    folder=__name__,
    title="Segmentation",
    chinese="分割",
    plural="masks",
    sop_class_uid=_STORAGE,
    forms={
        Form.BINARY: (_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
        Form.BINARY_DEFLATE: (_STORAGE, _DEFLATED),
        Form.FRACTIONAL: (_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
        Form.LABELMAP: (LABEL_MAP_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
        Form.LABELMAP_RLE: (LABEL_MAP_STORAGE, RLE_LOSSLESS),
        Form.LABELMAP_JPEG_LS: (LABEL_MAP_STORAGE, JPEG_LS_LOSSLESS),
        Form.LABELMAP_DEFLATE: (LABEL_MAP_STORAGE, _DEFLATED),
        Form.EMPTY: (_STORAGE, EXPLICIT_VR_LITTLE_ENDIAN),
    },
    series=(1,),
    needs="SegmentOutput",
    image=True,
    held=Holding.TRACKED,
    picture=Picture.MASK,
    stage=EncodingStage.SEGMENTATION,
)
