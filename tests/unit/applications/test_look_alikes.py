"""What else looks so: said of what is there, by finding, site and modality, with a source; and of nothing else."""

import re

import numpy as np
import pytest

from inference import codes
from inference.applications.look_alikes import LOOK_ALIKES, look_alike_of, look_alikes
from inference.codes import Code
from inference.findings import Box, Evaluation, Findings, Location, Segment, SegmentPoint

_MARKED, _EMPTY = np.ones((1, 2, 2), dtype=np.bool_), np.zeros((1, 2, 2), dtype=np.bool_)


def segment(kind: Code, site: Code | None, mask: object = _MARKED) -> Segment:
    category = codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE
    assert isinstance(mask, np.ndarray)
    return Segment(label="one", mask=mask, category=category, type=kind, rgb=(1, 2, 3), finding_site=site)


def location(kind: Code, site: Code | None, point: SegmentPoint | None = None) -> Location:
    return Location(label="one", finding=kind, shape=Box(top=0, left=0, bottom=1, right=1), image=0, finding_site=site, point=point)


def first_words(findings: Findings, modality: str) -> list[str]:
    return [one.partition(":")[0] for one in look_alikes(findings, modality)]


def test_haemorrhages_are_told_apart_by_their_site() -> None:
    """One sentence for each kind that is marked, however often; none of the kind that has no voxel."""
    bleed = codes.HEMORRHAGE
    found = Findings(
        segments=(segment(bleed, codes.BRAIN), segment(bleed, codes.BRAIN), segment(bleed, codes.BRAIN_VENTRICLE, _EMPTY)),
    )
    assert first_words(found, "CT") == ["Intraparenchymal haemorrhage"]
    several = Findings(segments=(segment(bleed, codes.BRAIN_VENTRICLE), segment(bleed, codes.MENINGES), segment(codes.EDEMA, codes.BRAIN)))
    assert first_words(several, "CT") == ["Extra-axial haemorrhage", "Intraventricular haemorrhage", "Oedema"]


@pytest.mark.parametrize(
    ("findings", "modality"),
    [
        (Findings(segments=(segment(codes.HEMORRHAGE, codes.BRAIN),)), "MR"),
        (Findings(segments=(segment(codes.HEMORRHAGE, None),)), "CT"),
        (Findings(locations=(location(codes.LESION, codes.CHEST),)), "MR"),
        (Findings(segments=(segment(codes.LESION, codes.BRAIN),)), "MR"),
        (Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.ABSENT),)), "DX"),
        (Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.UNDETERMINED),)), "DX"),
        (
            Findings(
                locations=(location(codes.NODULE, codes.LUNG, SegmentPoint(segment="one", purpose=codes.NODULE, method=codes.NODULE)),)
            ),
            "CT",
        ),
        (Findings(), "CT"),
    ],
)
def test_nothing_is_said_of_another_modality_another_site_or_of_what_is_not_there(findings: Findings, modality: str) -> None:
    """Blood on MR looks otherwise; a mask is of no lesion that is only bright; a site that nobody says may be any; what is absent or
    undetermined, and a point of a segment, are not found."""
    assert look_alikes(findings, modality) == ()


def test_a_code_is_known_whatever_its_meaning_is_worded() -> None:
    """As imported models word it."""
    nodule = Code(codes.NODULE.value, codes.NODULE.scheme, "Pulmonary nodule")
    assert first_words(Findings(locations=(location(nodule, codes.LUNG),)), "CT") == ["Lung nodule"]
    assert first_words(Findings(evaluations=(Evaluation(finding=codes.PNEUMONIA, value=codes.PRESENT),)), "CR") == ["Pneumonia"]


@pytest.mark.parametrize("row", LOOK_ALIKES, ids=lambda row: row.sentence.partition(":")[0])
def test_every_row_names_its_finding_and_ends_with_where_it_is_published(row: object) -> None:
    """Authors, journal, year, volume and pages; and a remark leads back to its row, also as a plain text, which is what files hold."""
    (found,) = [one for one in LOOK_ALIKES if one is row]
    source = re.search(r"\(([^()]+(?:\(Nathan\))?[^()]*)\)\.$", found.sentence)
    assert source is not None
    for one in source[1].split("; "):
        assert re.search(r"^\w+(?: and others)?, [\w ()]+ (?:19|20)\d\d;\d+:[\w-]+$", one), one
    assert look_alike_of(str(found.sentence)) is found
    assert look_alike_of("Pneumonia: nothing.") is None
