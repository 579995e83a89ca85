"""What an application may emit for a profile, as presentation contexts: known from its manifest, before anything was found."""

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.uid import (
    Comprehensive3DSRStorage,
    EncapsulatedPDFStorage,
    EnhancedSRStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    KeyObjectSelectionDocumentStorage,
    ParametricMapStorage,
    SecondaryCaptureImageStorage,
    SegmentationStorage,
    SpatialRegistrationStorage,
)

from inference.applications.port import (
    Application,
    DerivedOutput,
    ExplanationOutput,
    LocationOutput,
    Output,
    RegistrationOutput,
    SaliencyOutput,
    SegmentOutput,
)
from node.domain.context import LABEL_MAP_STORAGE, Context
from node.domain.profile import Form, Kind, Profile
from node.results.images.derived_acquired import CLASSIC
from node.results.masks.seg_forms import LABEL_MAPS, SYNTAXES

_CLASSES = {
    Kind.SR: Comprehensive3DSRStorage,
    Kind.DETECTIONS: Comprehensive3DSRStorage,
    Kind.SC: SecondaryCaptureImageStorage,
    Kind.OVERLAY: SecondaryCaptureImageStorage,
    Kind.MAP: ParametricMapStorage,
    Kind.REGISTRATION: SpatialRegistrationStorage,
    Kind.NARRATIVE: EnhancedSRStorage,
    Kind.PDF: EncapsulatedPDFStorage,
    Kind.EXPLANATION: SecondaryCaptureImageStorage,
    Kind.EXPLANATION_MAP: ParametricMapStorage,
    Kind.STATEMENT: EnhancedSRStorage,
    Kind.WITHDRAWAL: KeyObjectSelectionDocumentStorage,
}
_NEEDS: dict[Kind, tuple[type[Output], ...]] = {
    Kind.DETECTIONS: (LocationOutput,),
    Kind.OVERLAY: (SaliencyOutput,),
    Kind.MAP: (SaliencyOutput,),
    Kind.DERIVED: (DerivedOutput,),
    Kind.REGISTRATION: (RegistrationOutput,),
    Kind.EXPLANATION: (ExplanationOutput,),
    Kind.EXPLANATION_MAP: (ExplanationOutput,),
}
"""Which of its outputs an application must declare for a kind; the others come from any."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Emitted:
    """Objects of one kind, and what a sink may take them in.

    Attributes
    ----------
    wanted
        As the profile asks for them.
    decompressed
        The same objects without compression, which they lose on their way to a sink that takes them only so.
    instead
        Binary masks without compression, which exist besides.
    """

    kind: Kind
    wanted: Context
    decompressed: tuple[Context, ...]
    instead: tuple[Context, ...] = ()

    @property
    def contexts(self) -> tuple[Context, ...]:
        """All of them, the best first."""
        return tuple(dict.fromkeys((self.wanted, *self.decompressed, *self.instead)))


def emitted(application: Application, profile: Profile) -> list[Emitted]:
    """What a sink with this profile may be sent of the application's results."""
    return list(_emitted(application, profile))


def _emitted(application: Application, profile: Profile) -> Iterator[Emitted]:
    if profile.form is not None and _declares(application, SegmentOutput):
        yield _masks(profile.form)
    for kind in Kind:
        if kind in profile.kinds and (kind not in _NEEDS or _declares(application, *_NEEDS[kind])):
            for sop_class in _derived_classes(application) if kind is Kind.DERIVED else [_CLASSES[kind]]:
                yield Emitted(kind=kind, wanted=_plain(sop_class)[0], decompressed=_plain(sop_class))


def _masks(form: Form) -> Emitted:
    sop_class = LABEL_MAP_STORAGE if form in LABEL_MAPS else SegmentationStorage
    wanted = Context(sop_class_uid=str(sop_class), transfer_syntax_uid=str(SYNTAXES.get(form, ExplicitVRLittleEndian)))
    return Emitted(
        kind=Kind.SEG,
        wanted=wanted,
        decompressed=_plain(sop_class) if form in LABEL_MAPS or form is Form.BINARY else (),
        instead=() if form is Form.BINARY else _plain(SegmentationStorage),
    )


def _declares(application: Application, *outputs: type[Output]) -> bool:
    return any(isinstance(one, outputs) for one in application.outputs)


def _derived_classes(application: Application) -> list[str]:
    """Derived images have their source's class."""
    return [sop_class for sop_class, modality in CLASSIC.items() if modality in application.accepts.modality]


def _plain(sop_class: str) -> tuple[Context, ...]:
    return tuple(
        Context(sop_class_uid=str(sop_class), transfer_syntax_uid=str(one)) for one in (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    )
