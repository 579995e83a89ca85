"""An application over time without a model: the blood of each phase by a threshold, its volume, and its largest and smallest."""

from inference import codes
from inference.applications.port import Accepts, Application, Clock, Infer, MeasurementOutput, SegmentOutput, Takes
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment, in_phase
from inference.imaging.subject import Phases

BRIGHT = 500
_CAVITY = Code("87878005", "SCT", "Left cardiac ventricular structure")
_LARGEST, _SMALLEST = Code("56851009", "SCT", "Maximum"), Code("255605001", "SCT", "Minimum")


def analyse(phases: Phases, infer: Infer) -> Findings:
    """Above 500 is blood, in every phase."""
    masks = [volume.voxels > BRIGHT for volume in phases.volumes]
    cm3 = [phases.reference.volume_mm3(mask) / 1000 for mask in masks]
    labels = [in_phase("cavity", phase) for phase in range(len(phases))]
    return Findings(
        segments=tuple(
            Segment(label=label, mask=mask, category=codes.ANATOMICAL_STRUCTURE, type=_CAVITY, rgb=(220, 60, 60), phase=phase)
            for phase, (label, mask) in enumerate(zip(labels, masks, strict=True))
        ),
        measurements=(
            *(
                Measurement(name=codes.VOLUME, value=value, unit=codes.CUBIC_CENTIMETRE, segment=label)
                for label, value in zip(labels, cm3, strict=True)
            ),
            Measurement(name=codes.VOLUME, value=max(cm3), unit=codes.CUBIC_CENTIMETRE, derivation=_LARGEST),
            Measurement(name=codes.VOLUME, value=min(cm3), unit=codes.CUBIC_CENTIMETRE, derivation=_SMALLEST),
        ),
    )


APPLICATION = Application(
    name="short-axis",
    version="1.0.0",
    title="Blood over the beat (test)",
    accepts=Accepts(modality=("MR",), takes=Takes.PHASES, min_slices=5, min_phases=6, clock=(Clock.HEART,), remark_spacing_mm=10.0),
    models=(),
    outputs=(
        SegmentOutput(label="cavity", type=_CAVITY),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, derivation=_LARGEST),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, derivation=_SMALLEST),
    ),
    analyse=analyse,
)
