"""What of a source's acquisition still holds for an image that was derived from it, and is therefore copied; nothing else is.

The images are new, the physics behind their contrast is not: how the source was acquired is taken over; how it was cut into pixels only
where the grid is the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from node.results.errors import NotDerivable
from node.results.normalise import cleaned, text

CLASSIC = {CTImageStorage: "CT", MRImageStorage: "MR", PositronEmissionTomographyImageStorage: "PT"}
"""The classes of single-frame images that can be derived from, with their modality."""

_ANY = (
    *("AcquisitionDate", "AcquisitionTime", "AcquisitionNumber", "BodyPartExamined", "ProtocolName", "Laterality"),
    *("ContrastBolusAgent", "ContrastBolusAgentSequence", "ContrastBolusRoute", "ContrastBolusVolume", "ContrastBolusStartTime"),
    *("ContrastBolusTotalDose", "ContrastBolusIngredient", "ContrastBolusIngredientConcentration"),
)
_OF_MODALITY = {
    "CT": (
        *("KVP", "ScanOptions", "DataCollectionDiameter", "DistanceSourceToDetector", "DistanceSourceToPatient", "RotationDirection"),
        *("ExposureTime", "XRayTubeCurrent", "Exposure", "FilterType", "GeneratorPower", "FocalSpots", "ConvolutionKernel"),
        *("SingleCollimationWidth", "TotalCollimationWidth", "TableSpeed", "TableFeedPerRotation", "SpiralPitchFactor"),
        *("CTDIvol", "ExposureModulationType", "RevolutionTime"),
    ),
    "MR": (
        *("ScanningSequence", "SequenceVariant", "ScanOptions", "MRAcquisitionType", "SequenceName", "AngioFlag", "RepetitionTime"),
        *("EchoTime", "InversionTime", "TriggerTime", "NumberOfAverages", "ImagingFrequency", "ImagedNucleus", "EchoNumbers"),
        *("MagneticFieldStrength", "NumberOfPhaseEncodingSteps", "EchoTrainLength", "PercentSampling", "PercentPhaseFieldOfView"),
        *("PixelBandwidth", "ReceiveCoilName", "TransmitCoilName", "FlipAngle", "VariableFlipAngleFlag", "SAR", "dBdt"),
        *("DiffusionBValue", "DiffusionGradientOrientation"),
    ),
    "PT": (
        *("Units", "CountsSource", "SeriesType", "ReprojectionMethod", "NumberOfRRIntervals", "NumberOfTimeSlots", "NumberOfTimeSlices"),
        *("NumberOfSlices", "CorrectedImage", "RandomsCorrectionMethod", "AttenuationCorrectionMethod", "ScatterCorrectionMethod"),
        *("DecayCorrection", "ReconstructionMethod", "DetectorLinesOfResponseUsed", "CollimatorType", "SUVType"),
        *("EnergyWindowRangeSequence", "RadiopharmaceuticalInformationSequence", "PatientOrientationCodeSequence"),
        *("PatientGantryRelationshipCodeSequence", "FrameReferenceTime", "ActualFrameDuration", "DecayFactor", "ScatterFractionFactor"),
        *("DeadTimeFactor", "DoseCalibrationFactor", "PrimaryPromptsCountsAccumulated", "SecondaryCountsAccumulated"),
        # decay is counted from the beginning of the series: a viewer that took the time of derivation would show another SUV
        *("SeriesDate", "SeriesTime"),
    ),
}
_OF_GRID = (
    *("GantryDetectorTilt", "TableHeight", "ReconstructionDiameter", "SliceThickness", "SpacingBetweenSlices"),
    *("AcquisitionMatrix", "InPlanePhaseEncodingDirection"),
)
_WINDOW = ("WindowCenter", "WindowWidth", "WindowCenterWidthExplanation")
"""One for all slices is taken over; where each has its own, one is computed for all."""

_TYPE_2 = {
    "CT": ("KVP", "AcquisitionNumber"),
    "MR": ("ScanOptions", "MRAcquisitionType", "EchoTime", "EchoTrainLength", "RepetitionTime"),
    "PT": (
        *("CorrectedImage", "CollimatorType", "RadiopharmaceuticalInformationSequence", "PatientOrientationCodeSequence"),
        *("PatientGantryRelationshipCodeSequence", "AcquisitionDate", "AcquisitionTime"),
    ),
}
_TYPE_1 = {"CT": {}, "MR": {"ScanningSequence": "RM", "SequenceVariant": "NONE"}, "PT": {}}
_ONLY_OF_SERIES_TYPE = {
    "NumberOfTimeSlices": "DYNAMIC",
    "NumberOfRRIntervals": "GATED",
    "NumberOfTimeSlots": "GATED",
    "ReprojectionMethod": "REPROJECTION",
}
_NEEDED = {"PT": ("Units", "CountsSource", "SeriesType", "DecayCorrection", "FrameReferenceTime")}
"""Without these nobody could say what the values are."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquired:
    """What holds for all slices, and (on the source's own grid) what holds for each."""

    shared: Dataset
    each: Sequence[Dataset]


def acquired(headers: Sequence[Dataset], modality: str, slices: int, *, same_grid: bool) -> Acquired:
    """Collect what can be copied.

    Parameters
    ----------
    headers
        Of the source of every slice, in order.
    slices
        How many the derived image has.

    Raises
    ------
    NotDerivable
        An attribute without which the values have no meaning is absent, or differs between slices that are no more.
    """
    keywords = (*_ANY, *_OF_MODALITY[modality], *_WINDOW, *(_OF_GRID if same_grid else ()))
    shared, each = Dataset(), [Dataset() for _ in range(slices)]
    for keyword in keywords:
        if _alike(headers, Tag(keyword)):
            if (element := cleaned(headers[0], keyword)) is not None:
                shared.add(element)
            continue
        elements = [cleaned(header, keyword) for header in headers]
        first = elements[0]
        if first is not None and all(element is not None and element.value == first.value for element in elements):
            shared.add(first)
        elif same_grid and keyword not in _WINDOW:
            for made, element in zip(each, elements, strict=True):
                if element is not None:
                    made.add(element)
    for keyword, wanted in _ONLY_OF_SERIES_TYPE.items():
        # PS3.3 C.8.9.1: not to be there in series of another type, which some scanners write nevertheless
        if keyword in shared and wanted not in text(shared, "SeriesType").split(", "):
            del shared[keyword]
    _complete(shared, each, modality)
    return Acquired(shared=shared, each=each)


def _alike(headers: Sequence[Dataset], tag: BaseTag) -> bool:
    """Whether all headers hold the very same bytes, as they came: then they need not be parsed one by one."""
    elements: list[Any] = [header.get_item(tag) if tag in header else None for header in headers]
    return all(isinstance(element, RawDataElement) for element in elements) and len({element.value for element in elements}) == 1


def _complete(shared: Dataset, each: Sequence[Dataset], modality: str) -> None:
    """Type 1 and Type 2 attributes are there, those of Type 2 empty where nobody knows."""
    needed = [*_NEEDED.get(modality, ())]
    if modality == "PT" and text(shared, "DecayCorrection") != "NONE":
        # Type 1C (PS3.3 C.8.9.4): by how much each slice was corrected
        needed.append("DecayFactor")
    absent = [keyword for keyword in needed if not all(text(shared, keyword) or text(own, keyword) for own in each)]
    if absent:
        raise NotDerivable(f"{', '.join(absent)} of the {modality} source: absent, or different in slices that the derived image joins")
    defaults: Mapping[str, str] = _TYPE_1[modality]
    for keyword in (*defaults, *_TYPE_2[modality]):
        if keyword in shared:
            continue
        if any(keyword in own for own in each):
            for own in each:
                if keyword not in own:
                    setattr(own, keyword, defaults.get(keyword))
        else:
            setattr(shared, keyword, defaults.get(keyword))
    for item in shared.get("RadiopharmaceuticalInformationSequence") or ():
        if "RadionuclideCodeSequence" not in item:
            item.RadionuclideCodeSequence = []
    if "BodyPartExamined" not in shared and "Laterality" not in shared:
        # Type 2C: with no body part named it may be one of a pair, and nobody knows which
        shared.Laterality = ""
