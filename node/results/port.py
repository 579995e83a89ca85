"""Input and output of the encoder; `node.results.encode.encode(job) -> list[Encoded]` is the one entrance."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pydicom.dataset import Dataset

from inference.applications.port import Application
from inference.findings import Findings
from inference.imaging.subject import Subject, volume_of
from inference.imaging.volume import Volume
from node.domain.profile import VIEWER, Form, Kind, Language, Profile


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
        wants changes nothing in the objects of another. Detections that there are none of any more are replaced by what is said of the
        series: that they are absent.
        """
        alike = [one for one in self.predecessors if one.kind == kind]
        own = [one for one in alike if one.form == form]
        # of a narrative the plain form is its language
        plain = [one for one in alike if one.form in ("", Form.BINARY, *([form.partition("+")[0]] if kind is Kind.NARRATIVE else []))]
        about_no_mask = [one for one in alike if one.form == ""]
        chosen = plain if form in ("", Form.BINARY) or not own else own + about_no_mask
        if kind is Kind.SR and form == "" and not self.findings.locations:
            chosen += [one for one in self.predecessors if one.kind is Kind.DETECTIONS]
        return replace(self, predecessors=chosen)


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """One Part 10 object, checked.

    `form` tells apart what exists in several forms, of which a sink gets one: of segmentations and the reports that refer to them
    "binary", "labelmap", "labelmap+jpeg-ls" …; of narratives the language, with the form of the masks that they refer to where it is not
    binary ("en+labelmap"); "" for everything else. `part` is that of the series which it is about, "" for all of it; `label` that of the
    map or the derived image which it shows.
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
