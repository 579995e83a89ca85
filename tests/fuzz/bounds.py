"""What no input may exceed, and whose branches guide the search for it; nothing here imports what is fuzzed."""

from typing import Final

HANG_S: Final = 1.0
"""CPU seconds of one input."""
MEMORY_MIB: Final = 512
"""Of the whole process, interpreter and instrumentation among them; the inputs have a few KiB."""
MOST_BYTES: Final = 12288
"""Of one input: DCMTK asks for an association in 9,499. Longer ones only repeat what shorter ones show, and take longer."""
SHORTER: Final = {"pdus": 1024, "commands": 1024, "metas": 1024}
"""Where every branch is reached with less, and time is better spent on more inputs."""
_UPPER_LAYER: Final = ("node.dimse.ul",)
_SENDING: Final = (*_UPPER_LAYER, "node.dimse.requestor")
_NEGOTIATION: Final = ("pynetdicom.pdu", "pynetdicom.pdu_items", "pynetdicom.utils")
MODULES: Final = {
    "pdus": _UPPER_LAYER,
    "commands": _UPPER_LAYER,
    "messages": _SENDING,
    "accepts": ("node.dimse.ul.negotiation", *_NEGOTIATION),
    "requests": ("node.dimse.ul.negotiation", *_NEGOTIATION),
    "dialogues": _SENDING,
    "associations": (
        *(*_UPPER_LAYER, "node.dimse.acceptor", "node.dicom.peek"),
        *("node.dimse.services", "node.dimse.commitment_data"),
    ),
    "peeks": ("node.dicom.peek",),
    "headers": ("node.dicom.elements", "node.dicom.part10", "node.dicom.header", "node.dicom.values"),
    "series": (
        *("inference.imaging.assemble", "inference.imaging.header", "inference.imaging.identity", "inference.imaging.diffusion"),
        *("inference.imaging.axes", "inference.imaging.dimensions", "inference.imaging.geometry", "inference.imaging.groups"),
        *("inference.imaging.single_images", "inference.imaging.slices", "inference.imaging.subjects", "inference.imaging.tags"),
        *("inference.imaging.sop_classes", "inference.imaging.nuclear", "inference.imaging.cine_loops", "inference.imaging.decode"),
    ),
    "matches": ("node.dimse.requestor.queries",),
    "metas": ("node.dimse.requestor.outgoing", "node.dicom.elements"),
    "jpegs": ("inference.imaging.jpeg_extended",),
}
"""By target, in the order in which they run."""
GROUPS: Final = {
    "wire": ("pdus", "commands", "messages", "accepts", "requests", "dialogues", "associations"),
    "header": ("headers",),
    "data set": ("peeks", "metas"),
    "series": ("series",),
    "answers to C-FIND": ("matches",),
    "pixels": ("jpegs",),
}
"""Which targets' executions count together."""
GOALS: Final = {"wire": 10_000_000, "header": 1_000_000}
