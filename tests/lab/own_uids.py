"""The UIDs of a result object recomputed from its bytes, as docs/conformance.md says it: by pydicom and by arithmetic alone."""

import uuid
from hashlib import sha256
from io import BytesIO

import pydicom
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

HILUM = uuid.UUID("6f0b4ed6-6d38-5d0c-9d8f-5b5a0d6a0e51")
"""The namespace of the node's UIDs, as docs/conformance.md states it."""


def digest_of(data: bytes) -> str:
    """Transfer syntax, then the data set with both UIDs empty, written by pydicom."""
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.SOPInstanceUID, dataset.SeriesInstanceUID = "", ""
    # the deflated one too: pydicom has inflated it
    buffer = DicomBytesIO()
    buffer.is_little_endian, buffer.is_implicit_VR = True, False
    write_dataset(buffer, dataset, "ISO_IR 192")
    return sha256(str(dataset.file_meta.TransferSyntaxUID).encode() + buffer.getvalue()).hexdigest()


def uid_of(*parts: str) -> str:
    """PS3.5 B.2 by hand; again, with the UID behind the parts, while it is shorter than 43 characters."""
    while True:
        uid = f"2.25.{uuid.uuid5(HILUM, ''.join(f'{len(part)}:{part}' for part in parts)).int}"
        if len(uid) >= 43:
            return uid
        parts = (*parts, uid)
