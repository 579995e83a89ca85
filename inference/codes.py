"""Coded concepts by name (SNOMED CT, DCM, UCUM); a structure without a code here cannot be reported."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Code:
    """A code value in a coding scheme with its meaning (PS3.3 8.8); `scheme` is "SCT", "DCM", "LN" or "UCUM"."""

    value: str
    scheme: str
    meaning: str


ANATOMICAL_STRUCTURE = Code("91723000", "SCT", "Anatomical Structure")
MORPHOLOGICALLY_ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")
TISSUE = Code("85756007", "SCT", "Tissue")
PHYSICAL_OBJECT = Code("260787004", "SCT", "Physical object")
BODY_SUBSTANCE = Code("91720002", "SCT", "Body substance")

LUNG = Code("39607008", "SCT", "Lung")
LUNGS = Code("74101002", "SCT", "Both lungs")
BRAIN = Code("12738006", "SCT", "Brain")
HIPPOCAMPUS = Code("5366008", "SCT", "Hippocampus")
INTRACRANIAL_SPACE = Code("1101003", "SCT", "Intracranial")
HEAD = Code("69536005", "SCT", "Head")
BRAIN_VENTRICLE = Code("35764002", "SCT", "Brain ventricle")
MENINGES = Code("1231004", "SCT", "Meninges")
CHEST = Code("51185008", "SCT", "Chest")
RETINA = Code("5665001", "SCT", "Retina")
BLOOD_VESSEL = Code("59820001", "SCT", "Blood Vessel")
ARTERY = Code("51114001", "SCT", "Artery")
VEIN = Code("29092000", "SCT", "Vein")
LEFT_VENTRICLE = Code("87878005", "SCT", "Left ventricle")

LEFT = Code("7771000", "SCT", "Left")
RIGHT = Code("24028007", "SCT", "Right")
BOTH_SIDES = Code("51440002", "SCT", "Right and left")

VOLUME = Code("118565006", "SCT", "Volume")
SALIENCY = Code("130404", "DCM", "Saliency")
GRADIENT_WEIGHTED_CLASS_ACTIVATION = Code("130403", "DCM", "Gradient-weighted class activation")
NORMALISED_ENTROPY = Code("ENTROPY", "99HILUM", "Normalized entropy of class probabilities")
ATTENUATION_COEFFICIENT = Code("112031", "DCM", "Attenuation Coefficient")
LONG_AXIS = Code("103339001", "SCT", "Long axis")
SHORT_AXIS = Code("103340004", "SCT", "Short axis")
DIAMETER = Code("81827009", "SCT", "Diameter")
MEAN = Code("373098007", "SCT", "Mean")
# of the heart (PS3.16 CID 3468, 3469, 3835, 12304)
END_DIASTOLIC_VOLUME = Code("8821-1", "LN", "Left Ventricular ED Volume")
END_SYSTOLIC_VOLUME = Code("8823-7", "LN", "Left Ventricular ES Volume")
STROKE_VOLUME = Code("90096001", "SCT", "Stroke Volume")
EJECTION_FRACTION = Code("70822001", "SCT", "Cardiac ejection fraction")
# phases of the beat (PS3.16 CID 12233)
END_DIASTOLE = Code("416190007", "SCT", "End diastole")
END_SYSTOLE = Code("416430001", "SCT", "End systole")

CUBIC_CENTIMETRE = Code("cm3", "UCUM", "cubic centimeter")
HOUNSFIELD_UNIT = Code("[hnsf'U]", "UCUM", "Hounsfield unit")
NO_UNITS = Code("1", "UCUM", "no units")
SCORE = Code("{score}", "UCUM", "score")
PERCENT = Code("%", "UCUM", "Percent")
MILLIMETRE = Code("mm", "UCUM", "millimeter")
DAY = Code("d", "UCUM", "day")

ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")
MORPHOLOGICAL_OPERATIONS = Code("123104", "DCM", "Morphological Operations")
MULTI_SCALE_FILTERING = Code("123106", "DCM", "Multi-Scale/Resolution Filtering")

PRESENT = Code("52101004", "SCT", "Present")
ABSENT = Code("272519000", "SCT", "Absent")
UNDETERMINED = Code("373068000", "SCT", "Undetermined")
RECOMMENDED_FOLLOW_UP = Code("111053", "DCM", "Recommended Follow-up")
# between two visits (PS3.16 CID 6133, 6134)
QUALITATIVE_DIFFERENCE = Code("111049", "DCM", "Qualitative Difference")
DIFFERENCE_IN_SIZE = Code("442714003", "SCT", "Difference in size")
INCREASE_IN_SIZE = Code("15454001", "SCT", "Increase in size")
DECREASE_IN_SIZE = Code("19776001", "SCT", "Decrease in size")
NO_SIGNIFICANT_CHANGES = Code("129723006", "SCT", "No significant changes in the finding")

SMOOTHING = Code("113087", "DCM", "Smoothing")
SPATIAL_RESAMPLING = Code("113085", "DCM", "Spatial resampling")

LESION = Code("52988006", "SCT", "Lesion")
NEOPLASM = Code("108369006", "SCT", "Neoplasm")
NODULE = Code("27925004", "SCT", "Nodule")
PNEUMONIA = Code("233604007", "SCT", "Pneumonia")
HEMORRHAGE = Code("50960005", "SCT", "Hemorrhage")
INTRACRANIAL_HEMORRHAGE = Code("1386000", "SCT", "Intracranial hemorrhage")
EDEMA = Code("79654002", "SCT", "Edema")


_SIGNS: Mapping[str, str] = {
    "1": "",
    "cm3": "cm³",
    "ml": "mL",
    "mL": "mL",
    "mm3": "mm³",
    "mm2": "mm²",
    "cm2": "cm²",
    "um": "µm",
    "[hnsf'U]": "HU",
    "deg": "°",
    "Cel": "°C",
    "mm[Hg]": "mmHg",
    "mm2/s": "mm²/s",
    "um2/s": "µm²/s",
    "{SUVbw}g/ml": "g/mL SUVbw",
    "g/ml{SUVbw}": "g/mL",
    "Bq/ml": "Bq/mL",
    "kg/m2": "kg/m²",
    "[arb'U]": "arb. units",
    "{ratio}": "",
    "{score}": "",
    "{counts}": "",
    "/min": "/min",
    "{H.B.}/min": "/min",
}


def unit_sign(ucum: str) -> str:
    """The unit of a UCUM code as people write it ("cm³"); "" where there is none. Viewers show codes: volumes are in cm³ wherever they
    stand."""
    return _SIGNS.get(ucum, ucum)
