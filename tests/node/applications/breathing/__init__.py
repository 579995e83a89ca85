"""An application over a breath without a model: the ball in each phase by a threshold, its volume, and its largest and smallest."""

from inference import codes
from inference.applications.port import Accepts, Application, Clock, Infer, MeasurementOutput, SegmentOutput, Takes
from inference.codes import Code
from inference.findings import Findings, Measurement, Segment, in_phase
from inference.imaging.subject import Phases

DENSE = -300
_LARGEST, _SMALLEST = Code("56851009", "SCT", "Maximum"), Code("255605001", "SCT", "Minimum")


def analyse(phases: Phases, infer: Infer) -> Findings:
    """What is denser than a lung, in every phase."""
    masks = [volume.voxels > DENSE for volume in phases.volumes]
    cm3 = [phases.reference.volume_mm3(mask) / 1000 for mask in masks]
    labels = [in_phase("ball", phase) for phase in range(len(phases))]
    return Findings(
        segments=tuple(
            Segment(
                label=label, mask=mask, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, type=codes.LESION, rgb=(220, 60, 60), phase=phase
            )
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
    name="breathing",
    version="1.0.0",
    title="A ball over the breath (test)",
    accepts=Accepts(modality=("CT",), takes=Takes.PHASES, min_slices=5, min_phases=6, clock=(Clock.BREATH,)),
    models=(),
    outputs=(
        SegmentOutput(label="ball", type=codes.LESION),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, derivation=_LARGEST),
        MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE, derivation=_SMALLEST),
    ),
    analyse=analyse,
)
