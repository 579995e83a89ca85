"""Errors of result objects that cannot be made, or do not pass their check; nothing of them has left the node."""

from node.domain.errors import ResultError


class ResultMalformed(ResultError):
    """A result object cannot be read back, or lacks what its information object definition demands."""

    code = "HLM-5001"


class ResultMisidentified(ResultError):
    """A result object carries another patient, study, series or instance than it was made for."""

    code = "HLM-5002"


class MaskDiffers(ResultError):
    """The mask read back from a segmentation is not the mask that was found."""

    code = "HLM-5003"


class ValuesDiffer(ResultError):
    """A number, unit, code or tracking identifier read back from a report is not what was found."""

    code = "HLM-5004"


class ReferencesDiffer(ResultError):
    """A result object refers to an instance that is no source of it, or its evidence is not complete."""

    code = "HLM-5005"


class PageDiffers(ResultError):
    """The pixels read back from a summary page are not the page that was drawn."""

    code = "HLM-5006"


class ResultTooLong(ResultError):
    """The pixels of a result need more bytes than an element can have (4 GiB, PS3.5 7.1)."""

    code = "HLM-5007"
    remedy = "Route series of fewer slices to the application, or ask its author for fewer segments: no object holds such masks."


class MapDiffers(ResultError):
    """A value read back from a parametric map, or its place, is not what was computed; or the map drawn over the images is no picture."""

    code = "HLM-5020"


class DerivedDiffers(ResultError):
    """A derived image read back from its bytes differs from what was computed by more than half a step, or lies elsewhere."""

    code = "HLM-5021"


class RegistrationDiffers(ResultError):
    """The matrix read back from a registration is not the one that was found, or it registers other images."""

    code = "HLM-5022"


class NotDerivable(ResultError):
    """Images of this SOP class cannot be derived from: no object would say truly what they are."""

    code = "HLM-5023"
    remedy = "Route series that are classic or enhanced CT or MR, or classic PET, to an application that derives images."


class NotRigid(ResultError):
    """The matrix of a registration does not turn and shift alone."""

    code = "HLM-5024"
    remedy = "Report this to the author of the application: a rigid registration was promised, and another was found."
