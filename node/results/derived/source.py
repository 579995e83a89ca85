"""Source of a derived image: where its slices lie, which ones they were made of, and what still holds of the acquisition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag
from pydicom.uid import CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage

from inference.findings import Deformation, DerivedImage
from inference.imaging.subject import prior_in
from inference.imaging.volume import Affine, SliceSource, Volume
from node.results.normalise import cleaned, text
from node.results.port import Encoding, NotDerivable
from node.results.sources import Sources

DIRECTION_TOLERANCE = 1e-3
SAME_PLACE_VOXELS = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Grid:
    """Where the slices of a derived image lie.

    Attributes
    ----------
    positions
        (Z, 3) ImagePositionPatient of each slice, mm LPS.
    row, column
        Direction of increasing column index, then of increasing row index (ImageOrientationPatient).
    spacing_mm
        Along (z, y, x).
    """

    positions: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing_mm: tuple[float, float, float]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Origin:
    """What a derived image was made from: the volume, the header of every slice's source, and whether the grid is still its own."""

    volume: Volume
    headers: Sequence[Dataset]
    same_grid: bool
    of_prior: bool

    @property
    def sop_class_uid(self) -> str:
        """The class of the source, and therefore of the derived image."""
        return self.volume.sources[0].sop_class_uid


def origin_of(encoding: Encoding, sources: Sources, image: DerivedImage) -> Origin:
    """Which volume an image was made from."""
    subject = encoding.subject
    volume = (prior_in(subject) if image.of_prior else None) or encoding.volume
    affine = encoding.volume.affine if image.affine is None else image.affine
    # a prior that was resampled may have the current grid: its own it is not
    same = not image.of_prior and image.voxels.shape == volume.voxels.shape and same_place(affine, volume)
    headers = [sources.headers[source.sop_instance_uid] for source in volume.sources]
    return Origin(volume=volume, headers=headers, same_grid=same, of_prior=image.of_prior)


def same_place(affine: Affine, volume: Volume) -> bool:
    """Whether no corner of the volume lies elsewhere by more than a thousandth of a voxel; slices in unequal steps lie on no grid."""
    if volume.steps is not None:
        return False
    ends = np.array(np.meshgrid(*[(0, count - 1) for count in volume.voxels.shape])).reshape(3, -1)
    corners = np.vstack([ends, np.ones(ends.shape[1])])
    apart = np.linalg.solve(volume.affine, affine @ corners) - corners
    return bool(np.abs(apart).max() < SAME_PLACE_VOXELS)


def grid_of(encoding: Encoding, image: DerivedImage) -> Grid:
    """Where the slices lie, from the affine.

    Raises
    ------
    NotDerivable
        Its axes are not perpendicular: no stack of images lies like that.
    """
    affine = encoding.volume.affine if image.affine is None else image.affine
    spacing = np.linalg.norm(affine[:3, :3], axis=0)
    directions = affine[:3, :3] / spacing
    if np.abs(directions.T @ directions - np.eye(3)).max() > DIRECTION_TOLERANCE:
        raise NotDerivable(f'the grid of "{image.label}" is sheared: no stack of images lies like that')
    z = np.arange(image.voxels.shape[0])
    return Grid(
        positions=affine[:3, 3] + z[:, None] * affine[:3, 0],
        row=directions[:, 2],
        column=directions[:, 1],
        spacing_mm=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
    )


def source_slices(encoding: Encoding, image: DerivedImage, origin: Origin) -> list[list[SliceSource]]:
    """The slices of the source that each derived slice was made of: those that it crosses, or lies between."""
    slices = origin.volume.sources
    if origin.same_grid:
        return [[source] for source in slices]
    affine = encoding.volume.affine if image.affine is None else image.affine
    # from the current patient coordinates, where the grid lies, to the prior's; and how far from there bending reaches beyond a slice
    laid = encoding.findings.deformation or encoding.findings.registration
    to_prior = np.linalg.inv(laid.matrix) if origin.of_prior and laid is not None else np.eye(4)
    beyond = _bent(origin, encoding.findings.deformation)
    depth, rows, columns = image.voxels.shape
    found = []
    for z in range(depth):
        corners = np.array([(z, y, x, 1) for y in (0, rows - 1) for x in (0, columns - 1)], dtype=np.float64).T
        along = origin.volume.to_indices((to_prior @ affine @ corners)[:3].T)[:, 0]
        first, last = int(np.floor(along.min() - beyond + 1e-6)), int(np.ceil(along.max() + beyond - 1e-6))
        # beyond the ends of the source a slice holds none of it, but was made from its border
        low, high = (min(max(bound, 0), len(slices) - 1) for bound in (first, last))
        found.append(list(slices[low : high + 1]))
    return found


def _bent(origin: Origin, deformation: Deformation | None) -> float:
    """How many of the prior's slices the longest offset crosses, in either direction."""
    if deformation is None or not origin.of_prior:
        return 0.0
    turned = deformation.offsets.reshape(-1, 3) @ np.linalg.inv(deformation.matrix)[:3, :3].T
    across = np.linalg.inv(origin.volume.affine)[0, :3]
    return float(np.abs(turned @ across).max())


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
