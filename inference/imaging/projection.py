"""Projection of a single image by its header: view, laterality, pixel spacing, and whether that holds in the patient."""

from collections.abc import Sequence

from pydicom.dataset import Dataset

from inference.imaging import tags
from inference.imaging.bounds import is_distance
from inference.imaging.header import PARSE_ERRORS, PROJECTIONS, Instance
from inference.imaging.subject import Region

SAME_SPACING = 1e-3
"""Relative difference within which two spacings are one number that was written twice."""

VIEWS = {
    "399162004": "CC",
    "399368009": "MLO",
    "399260004": "ML",
    "399352003": "LM",
    "399099002": "LMO",
    "399196006": "FB",
    "399188001": "SIO",
    "441555000": "ISO",
    "399192008": "XCCL",
    "399101009": "XCCM",
    "272479007": "PA",
    "399348003": "AP",
    "399173006": "LL",
    "399198007": "RL",
    "399135007": "LAO",
    "399356000": "RAO",
    "399006002": "LPO",
    "399038007": "RPO",
    # as the same views were coded before SNOMED CT
    "R-10242": "CC",
    "R-10226": "MLO",
    "R-10224": "ML",
    "R-10228": "LM",
    "R-10230": "LMO",
    "R-10244": "FB",
    "R-102D0": "SIO",
    "R-40AAA": "ISO",
    "R-1024A": "XCCL",
    "R-1024B": "XCCM",
    "R-40888": "PA",
    "R-10206": "AP",
    "R-10236": "LL",
    "R-10232": "RL",
    "R-10220": "LAO",
    "R-40985": "RAO",
    "R-10212": "LPO",
    "R-10210": "RPO",
}
"""Codes of CID 4010 (DX View) and CID 4014 (View for Mammography) in the letters that people use."""

CENTIMETRES = 3
"""PhysicalUnitsXDirection (PS3.3 C.8.5.5.1.15)."""
TWO_DIMENSIONAL = 1
"""RegionSpatialFormat (PS3.3 C.8.5.5.1.1)."""


def view_of(header: Dataset) -> str:
    """Side and view for people: "L MLO", "PA"; "" where the header says nothing."""
    return " ".join(part for part in (laterality_of(header), _view(header)) if part)


def laterality_of(header: Dataset) -> str:
    """ "L", "R", "B"; "" where the part is unpaired or nothing is said. ImageLaterality goes before Laterality, which is the series'."""
    stated = tags.text(header, tags.IMAGE_LATERALITY) or tags.text(header, tags.LATERALITY)
    return stated if stated in {"L", "R", "B"} else ""


def body_parts_of(header: Dataset) -> tuple[str, ...]:
    """What was imaged, in the header's own words: BodyPartExamined, and the meanings of Anatomic Region Sequence (PS3.3 10.5)."""
    meanings = [_meaning(item) for item in tags.items(header, tags.ANATOMIC_REGION, "")]
    return tuple(part for part in (tags.text(header, tags.BODY_PART_EXAMINED), *meanings) if part)


def photographed_of(header: Dataset) -> tuple[str, ...]:
    """How an ophthalmic photograph was taken, by the meanings of its codes (PS3.3 C.8.17.1, C.8.17.2, C.7.6.4b); nothing of other images.

    Raises
    ------
    MissingAttribute
        One of its sequences cannot be read: what it might say is not taken for nothing.
    """
    if tags.text(header, tags.MODALITY) != "OP":
        return ()
    coded = [_meaning(item) for tag in tags.PHOTOGRAPHED for item in tags.items(header, tag, "")]
    return tuple(each for each in coded if each)


def orientation_of(header: Dataset) -> tuple[str, str] | None:
    """Where rows and columns run to (PS3.3 C.7.6.1.1.1), letters of A, P, R, L, H, F."""
    stated = tags.text(header, tags.PATIENT_ORIENTATION).split("\\")
    if len(stated) != 2:
        return None
    row, column = (direction.strip().upper() for direction in stated)
    return (row, column) if row and column and set(row + column) <= set("APRLHF") else None


def spacing_of(instance: Instance) -> tuple[tuple[float, float] | None, bool]:
    """Distance of rows and of columns in mm, and whether it holds in the patient (PS3.3 10.7.1.3).

    On a projection PixelSpacing is the patient's only where it was calibrated: where its type of calibration stands beside it, or where
    it differs from what lies on the detector. Otherwise it repeats the detector's.
    """
    header = instance.header
    inside, detector = _distance(header, tags.PIXEL_SPACING), _distance(header, tags.IMAGER_PIXEL_SPACING)
    detector = detector or _distance(header, tags.NOMINAL_SCANNED_PIXEL_SPACING)
    if inside is None:
        own = instance.planes[0].spacing if instance.planes and instance.planes[0] is not None else None
        own = own if own is not None and all(map(is_distance, own)) else None
        return (own, True) if own is not None else (detector, False)
    if instance.modality not in PROJECTIONS and detector is None:
        return inside, True
    calibrated = tags.text(header, tags.CALIBRATION_TYPE) in {"GEOMETRY", "FIDUCIAL"} or (
        detector is not None and not _alike(inside, detector)
    )
    return inside, calibrated


def window_of(instance: Instance, frame: int) -> tuple[float, float] | None:
    """The first VOI window of the header as the lowest and the highest pixel that it tells apart (PS3.3 C.11.2.1.2), on the pixels' side.

    A sigmoid is taken by its width; a VOI LUT, and a window in a functional group, are left to whoever looks.
    """
    header, pixels = instance.header, instance.pixels
    centre, width = (_first(header, tag) for tag in (tags.WINDOW_CENTER, tags.WINDOW_WIDTH))
    turned = pixels.photometric == "MONOCHROME1" and not instance.physical
    if centre is None or width is None or width <= 1 or (turned and instance.lookup_table):
        return None
    if tags.text(header, tags.VOI_LUT_FUNCTION) in {"", "LINEAR"}:
        low, high = centre - 0.5 - (width - 1) / 2, centre - 0.5 + (width - 1) / 2
    else:
        low, high = centre - width / 2, centre + width / 2
    if not turned:
        return low, high
    # stored values turn over before the rescale, the window is told of what they were
    rescale, top = instance.rescale[frame], -1 if pixels.signed else (1 << pixels.bits_stored) - 1
    ends = rescale.slope * top + 2 * rescale.intercept
    return ends - high, ends - low


def regions_of(instance: Instance) -> tuple[tuple[Region, ...], bool]:
    """The calibrated regions of an ultrasound image, and whether any had to be left out because it cannot be true.

    A region that reaches beyond the image was written for another size of it: its scale would be wrong, too.
    """
    pixels, found, doubted = instance.pixels, [], False
    for item in _items(instance):
        corners = [tags.stated(item, tag, 1) for tag in (tags.REGION_LEFT, tags.REGION_TOP, tags.REGION_RIGHT, tags.REGION_BOTTOM)]
        units = [tags.stated(item, tag, 1) for tag in (tags.REGION_UNITS_ACROSS, tags.REGION_UNITS_DOWN)]
        deltas = [tags.stated(item, tag, 1) for tag in (tags.REGION_DELTA_ACROSS, tags.REGION_DELTA_DOWN)]
        if tags.stated(item, tags.REGION_SPATIAL_FORMAT, 1) != (TWO_DIMENSIONAL,) or units != [(CENTIMETRES,), (CENTIMETRES,)]:
            continue
        edges = [int(corner[0]) for corner in corners if corner is not None]
        steps = [abs(delta[0]) for delta in deltas if delta is not None]
        if len(edges) < 4 or len(steps) < 2 or not all(is_distance(cm * 10) for cm in steps):
            doubted = True
            continue
        left, top, right, bottom = edges
        if not (0 <= left < right < pixels.columns and 0 <= top < bottom < pixels.rows):
            doubted = True
            continue
        found.append((left, top, right, bottom, steps[0] * 10, steps[1] * 10))
    return tuple(found), doubted


def _items(instance: Instance) -> Sequence[Dataset]:
    return tags.items(instance.header, tags.ULTRASOUND_REGIONS, instance.sop_instance_uid)


def _view(header: Dataset) -> str:
    stated = tags.text(header, tags.VIEW_POSITION)
    if stated:
        return stated
    codes = tags.items(header, tags.VIEW_CODE, "")
    if not codes:
        return ""
    known = VIEWS.get(tags.text(codes[0], tags.CODE_VALUE))
    if known is not None:
        return known
    return _meaning(codes[0])


def _meaning(code: Dataset) -> str:
    try:
        return str(code[tags.CODE_MEANING].value or "").strip()
    except PARSE_ERRORS:
        return ""


def _first(header: Dataset, tag: int) -> float | None:
    """The first of several numbers: windows come in lists."""
    counted = tags.text(header, tag).count("\\") + 1
    found = tags.stated(header, tag, counted)
    return found[0] if found else None


def _distance(header: Dataset, tag: int) -> tuple[float, float] | None:
    """Two distances that pixels can have; what is none says nothing."""
    found = tags.stated(header, tag, 2)
    return (found[0], found[1]) if found is not None and all(map(is_distance, found)) else None


def _alike(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(abs(a - b) <= SAME_SPACING * max(a, b) for a, b in zip(one, other, strict=True))
