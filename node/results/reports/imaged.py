"""What part of the body the source images show, as far as they tell: region and side as codes."""

from collections.abc import Iterable, Mapping

from pydicom.dataset import Dataset

from inference.codes import BOTH_SIDES, LEFT, RIGHT, Code
from inference.imaging.volume import SliceSource
from node.results.normalise import items_of, text
from node.results.planes import functional_group

_REGIONS = (
    *(("ABDOMEN", "818981001", "Abdomen"), ("ABDOMENPELVIS", "818982008", "Abdomen and Pelvis"), ("ANKLE", "70258002", "Ankle joint")),
    *(("BREAST", "76752008", "Breast"), ("CHEST", "816094009", "Chest"), ("CHESTABDOMEN", "416550000", "Chest and Abdomen")),
    *(("CHESTABDPELVIS", "416775004", "Chest, Abdomen and Pelvis"), ("CLAVICLE", "51299004", "Clavicle")),
    *(("CSPINE", "122494005", "Cervical spine"), ("ELBOW", "16953009", "Elbow joint"), ("EXTREMITY", "66019005", "Extremity")),
    *(("EYE", "81745001", "Eye"), ("FEMUR", "71341001", "Femur"), ("FINGER", "7569003", "Finger"), ("FOOT", "56459004", "Foot")),
    *(("FOREARM", "14975008", "Forearm"), ("HAND", "85562004", "Hand"), ("HEAD", "69536005", "Head")),
    *(("HEADNECK", "774007", "Head and Neck"), ("HEART", "80891009", "Heart"), ("HIP", "29836001", "Hip")),
    *(("HUMERUS", "85050009", "Humerus"), ("KNEE", "72696002", "Knee"), ("LSPINE", "122496007", "Lumbar spine")),
    *(("NECK", "45048000", "Neck"), ("NECKCHEST", "417437006", "Neck and Chest"), ("PELVIS", "816092008", "Pelvis")),
    *(("PROSTATE", "41216001", "Prostate"), ("SHOULDER", "16982005", "Shoulder"), ("SKULL", "89546000", "Skull")),
    *(("SPINE", "421060004", "Spine"), ("TSPINE", "122495006", "Thoracic spine"), ("WHOLEBODY", "38266002", "Entire body")),
    ("WRIST", "74670003", "Wrist joint"),
)
_BY_TERM: Mapping[str, Code] = {term: Code(value, "SCT", meaning) for term, value, meaning in _REGIONS}
"""Defined terms of BodyPartExamined (PS3.16 Annex L) with their codes in CID 4031; other terms are not guessed at."""

_SIDES: Mapping[str, Code] = {"L": LEFT, "R": RIGHT, "B": BOTH_SIDES}


def imaged(slices: Iterable[SliceSource], headers: Mapping[str, Dataset]) -> tuple[Code | None, Code | None]:
    """Region and side, where all images agree; None for what they do not tell, or not alike."""
    seen = {(source.sop_instance_uid, source.frame) for source in slices}
    told = {_told(headers[uid], frame) for uid, frame in seen}
    region, side = ({each[which] for each in told} for which in (0, 1))
    return region.pop() if len(region) == 1 else None, side.pop() if len(side) == 1 else None


def _told(header: Dataset, frame: int | None) -> tuple[Code | None, Code | None]:
    anatomy = functional_group(header, frame, "FrameAnatomySequence") or header
    region = next((code for item in items_of(anatomy, "AnatomicRegionSequence") if (code := _code(item)) is not None), None)
    stated = text(header, "BodyPartExamined").upper().replace(" ", "")
    side = text(anatomy, "FrameLaterality") or text(header, "ImageLaterality") or text(header, "Laterality")
    return region or _BY_TERM.get(stated), _SIDES.get(side)


def _code(item: Dataset) -> Code | None:
    value, scheme, meaning = (text(item, keyword) for keyword in ("CodeValue", "CodingSchemeDesignator", "CodeMeaning"))
    return Code(value, scheme, meaning) if value and meaning and scheme == "SCT" else None
