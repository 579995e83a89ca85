"""Input and output of the encoder, and the errors of result objects that cannot be made, or do not pass their check.

`node.results.encode.encode(job) -> list[Encoded]` is the one entrance.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydicom.dataset import Dataset

from inference.applications.port import Application
from inference.findings import Findings
from inference.imaging.subject import Subject, volume_of
from inference.imaging.volume import Volume
from node.domain.errors import ResultError
from node.domain.profile import VIEWER, Form, Kind, Language, Profile


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


class DeformationDiffers(ResultError):
    """The deformation read back from its object is not the one that was found, or it registers other images."""

    code = "HLM-5025"


class DeformationFolds(ResultError):
    """A deformation takes two places of the current images to one of the prior's."""

    code = "HLM-5026"
    remedy = "Report this to the author of the application: images that are laid over each other by it would show what is not there."


class DeformationTooLarge(ResultError):
    """A deformation has more nodes than an object should hold."""

    code = "HLM-5027"
    remedy = "Report this to the author of the application: a grid of twice the distance has an eighth of the nodes."


@dataclass(frozen=True, slots=True, kw_only=True)
class Predecessor:
    """A report that a revision replaces (PredecessorDocumentsSequence, PS3.3 C.17.2); `kind` and `form` are those of its object."""

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str
    kind: Kind = Kind.SR
    form: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoding:
    """All that the objects of one job are made from; equal encodings give equal bytes.

    Attributes
    ----------
    sources
        Headers (no pixels) of the source instances, in any order, those of a prior included; one of a multi-frame source.
    subject
        What was analysed: the findings' grid, and its intensities for the summary page.
    at
        When the findings were journaled (aware UTC): every date and time in the objects comes from it.
    input_digest, model_digest, findings_digest, parameters
        What the UIDs derive from, with the application's name and version. `parameters` is the canonical text of whatever else
        changes the objects (configuration of the application, encoder version).
    device_uid
        DeviceUID of the processing equipment: new for every model file (IHE AIR).
    part
        Which part of a series that was split this is about ("b 1000 s/mm2"); "" for all of a series.
    profiles
        What the job's sinks want. BINARY segmentations, reports and the page are always made; other forms and kinds where one wants them.
    """

    application: Application
    findings: Findings
    sources: Sequence[Dataset]
    subject: Subject
    at: datetime
    input_digest: str
    model_digest: str
    findings_digest: str
    parameters: str
    device_uid: str
    predecessors: Sequence[Predecessor] = ()
    part: str = ""
    profiles: Sequence[Profile] = (VIEWER,)

    @property
    def volume(self) -> Volume:
        """The grid of masks and maps; only for subjects that have a place in space."""
        volume = volume_of(self.subject)
        assert volume is not None, f"{type(self.subject).__name__} has no place in space"
        return volume

    @property
    def language(self) -> Language:
        """The language of what is made once for all sinks: series descriptions, the sentences of measurement reports, pages.

        It is the first one of every profile, where all have the same first one; else English.
        """
        first = {profile.languages[0] for profile in self.profiles}
        return first.pop() if len(first) == 1 else Language.ENGLISH

    def replacing(self, kind: Kind, form: str) -> "Encoding":
        """The same, for one report: with those predecessors alone that a report of this kind and form replaces.

        A report that refers to label maps replaces the one that did, or, where there was none (the profile is new), that of the binary
        masks. A report that refers to no mask replaces what was said of none, or of binary ones, which are always made: so what one sink
        wants changes nothing in the objects of another. Detections and masks that there are none of any more are replaced, in every form
        that a sink may have got, by what is said of the series: that they are absent.
        """
        alike = [one for one in self.predecessors if one.kind == kind]
        own = [one for one in alike if one.form == form]
        # of a narrative the plain form is its language
        plain = [one for one in alike if one.form in ("", Form.BINARY, *([form.partition("+")[0]] if kind is Kind.NARRATIVE else []))]
        about_no_mask = [one for one in alike if one.form == ""]
        chosen = plain if form in ("", Form.BINARY) or not own else own + about_no_mask
        if kind is Kind.SR and form == "" and not self.findings.locations:
            chosen += [one for one in self.predecessors if one.kind is Kind.DETECTIONS]
        if kind is Kind.SR and form == "" and not any(one.has_voxels for one in self.findings.segments):
            chosen += [one for one in alike if one not in chosen]
        return replace(self, predecessors=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One Part 10 object, checked.

    `form` tells apart what exists in several forms, of which a sink gets one: of segmentations and the reports that refer to them
    "binary", "labelmap", "labelmap+jpeg-ls" …; of narratives the language, with the form of the masks that they refer to where it is not
    binary ("en+labelmap"); "" for everything else. `part` is that of the series which it is about, "" for all of it; `label` that of the
    map or the derived image which it shows. `one_cine`: it is a segmentation of several phases of a cine that came as single images of one
    series, or as a series each, over which viewers lay the mask of another phase; or it lies on a single image, at which they may fail.
    """

    kind: Kind
    sop_instance_uid: str
    sop_class_uid: str
    series_instance_uid: str
    description: str
    data: bytes
    form: str = ""
    part: str = ""
    label: str = ""
    one_cine: bool = False
