"""Structured reports: Comprehensive 3D SR on TID 1500, one kind of measurement group a report (PS3.16 A, PS3.3 A.35.13).

Here is what the reports share: title, observer, image library, comments, evidence. A report about segments holds TID 1411 groups
(measurements/segments.py), one about images TID 1501 groups (measurements/make.py), one of detections TID 1410 groups (detections/make.py).
"""

from collections.abc import Iterator, Sequence

from highdicom import sr
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from inference.codes import Code
from node.results.identity import MANUFACTURER, ResultIdentity, stamp
from node.results.items import item
from node.results.narrative.sentences import conclusion
from node.results.narrative.wordings import WORDINGS
from node.results.port import Encoding
from node.results.reports.context import give_evidence, name_predecessors, observer, procedure
from node.results.reports.items import Groups
from node.results.reports.library import library
from node.results.sources import Sources
from node.results.written import as_explicit, hold, items

TITLE = Code("18748-4", "LN", "Diagnostic Imaging Report")
TITLE_OF_COORDINATES = Code("126000", "DCM", "Imaging Measurement Report")
"""Document titles (ADR-0036: what each viewer makes of each). TID 1500 takes its title from CID 7021, which is extensible and has
four: 126000, and one each for oncology, PET and dynamic contrast MR. OHIF 3.13 draws what a report titled 126000 holds in coordinates,
but opens it as an empty viewport when its groups hold none; it writes any other title over a tree of text, where "Oncology Measurement
Report" stood over healthy heads. So: 126000 for coordinates; without, the title of CID 7000 that claims no disease and no technique.
"""

COMMENTS = Code("C0034375", "UMLS", "Qualitative Evaluations")
CONCLUSION = Code("121077", "DCM", "Conclusion")
COMMENT = Code("121106", "DCM", "Comment")
"""Sentences for the reader stand as texts in the container of TID 1500 row 12, the one place that no validator objects to; and it is the
first of the report, for readers of a tree see observers and UIDs else before the first word about the patient (ADR-0036)."""


def report(
    encoding: Encoding,
    sources: Sources,
    groups: Groups,
    identity: ResultIdentity,
    *,
    segmentation: Dataset | None = None,
    coordinates: bool = False,
    comments: Sequence[str] = (),
) -> Dataset:
    """Encode one report over `groups`, which are all of one template.

    Parameters
    ----------
    segmentation
        What TID 1411 groups refer to; None for another report.
    coordinates
        Whether the groups hold coordinates: TID 1410.
    comments
        Sentences beside those that stand in every report: which part of the series it is about, and what the quality gate said.
    """
    title = TITLE_OF_COORDINATES if coordinates else TITLE
    root = _root(encoding, groups, title)
    # kept from the library, which would copy all of them and look for evidence, which is written below
    measurements = _settled_groups(root.ContentSequence.pop())
    made: Dataset = sr.Comprehensive3DSR(
        # the library takes the patient from it
        evidence=[sources.base],
        content=root,
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        instance_number=1,
        manufacturer=MANUFACTURER,
        is_complete=True,
        is_final=False,
        is_verified=False,
    )
    # as TID 1500 orders its rows
    made.ContentSequence.extend([library(encoding, sources, read=not coordinates), measurements])
    concluded = conclusion(encoding, sources, WORDINGS[encoding.language])
    made.ContentSequence.insert(0, _said(concluded, [*_always(encoding), *comments]))
    give_evidence(made, encoding, sources, segmentation)
    name_predecessors(made, encoding.predecessors)
    stamp(made, encoding, sources, identity)
    return made


def _root(encoding: Encoding, groups: Groups, title: Code) -> Dataset:
    root: Dataset = sr.MeasurementReport(
        observation_context=sr.ObservationContext(observer_device_context=observer(encoding)),
        procedure_reported=item(procedure(encoding)),
        imaging_measurements=groups,
        title=item(title),
        language_of_content_item_and_descendants=sr.LanguageOfContentItemAndDescendants(item(WORDINGS[encoding.language].tag)),
    )[0]
    return root


def _settled_groups(measurements: Dataset) -> Dataset:
    """The container of the groups, these written already: what says by which algorithm is the same in all, and half of each."""
    known: dict[int, tuple[Dataset, bytes]] = {}
    for group in measurements.ContentSequence:
        hold(group, Tag("ContentSequence"), items(group.ContentSequence, known))
        as_explicit(group)
    return as_explicit(measurements)


def _always(encoding: Encoding) -> Iterator[str]:
    """What a reader of any report has to know."""
    wording = WORDINGS[encoding.language]
    if encoding.part:
        yield wording.analysed_part(encoding.part)
    # blanks at its ends are no part of a text (PS3.5 6.2)
    yield from (wording.noted(remark).strip() for remark in encoding.findings.remarks if remark.strip())


def _said(concluded: str, comments: Sequence[str]) -> Dataset:
    """The conclusion, and what else there is to say in words."""
    contains = sr.RelationshipTypeValues.CONTAINS
    container: Dataset = sr.ContainerContentItem(name=item(COMMENTS), relationship_type=contains)
    sentences = [(CONCLUSION, concluded), *((COMMENT, sentence) for sentence in comments)]
    container.ContentSequence = [sr.TextContentItem(item(name), sentence, contains) for name, sentence in sentences]
    return container
