"""The one entrance of the room: findings in, checked Part 10 objects out."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from pydicom.dataset import Dataset

from inference.stages import stage
from node.domain.profile import Form, Kind
from node.results.check import check
from node.results.identity import encoded, identify
from node.results.planes import Sources, read_sources
from node.results.port import Encoded, Encoding
from node.results.seg import segmentation, wanted
from node.results.segments import Numbered, empty, numbered
from node.results.sr import report, segment_groups, study_groups
from node.results.summary import drawing, summary, summary_identity

SOURCES, SEGMENTATION, REPORT, PAGE, CHECK = "sources", "segmentation", "report", "page", "check"
"""The stages of an encoding (`inference.stages`)."""


def encode(encoding: Encoding) -> list[Encoded]:
    """Make every result object of one job and check each by reading it back.

    A segmentation and its report, in each form that is wanted, when any segment has a voxel; a report about the series for what has
    no mask (evaluations, measurements of the series, segments of which nothing was found); the summary page always. Equal encodings
    give equal bytes.

    Raises
    ------
    ResultError
        Headers and volume do not belong together, or an object did not pass its check.
    """
    with warnings.catch_warnings():
        # the libraries warn of the senders' ways of writing names and long texts, which are kept on purpose; the check judges the result
        warnings.simplefilter("ignore", UserWarning)
        return _encode(encoding)


def _encode(encoding: Encoding) -> list[Encoded]:
    with stage(SOURCES):
        sources = read_sources(encoding)
        draw = drawing(encoding, sources)
    made: list[Encoded] = []
    # the page is numpy and Pillow, which leave the interpreter to the other objects, which are Python
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="page") as pool:
        page = pool.submit(draw)
        made += _masks(encoding, sources)
        # every other kind: its own file, and one line here
        made += _study_report(encoding, sources)
        with stage(PAGE):
            page_identity = summary_identity(encoding, sources)
            made.append(encoded(Kind.SC, summary(encoding, sources, page.result(), page_identity), page_identity))
    with stage(CHECK):
        check(made, encoding, sources)
    return made


def _masks(encoding: Encoding, sources: Sources) -> list[Encoded]:
    """A segmentation in each form that is wanted, and for each a report of its own that refers to it."""
    found = numbered(encoding.findings)
    made: list[Encoded] = []
    for form in wanted(encoding.profiles, found):
        # BINARY keeps the identity that it had before there were forms
        also = () if form is Form.BINARY else (form.value,)
        with stage(SEGMENTATION):
            identity = identify(encoding, sources, "seg", "segmentation", *also)
            seg = segmentation(encoding, sources, found, identity)
            made.append(encoded(Kind.SEG, seg, identity, form.value))
        with stage(REPORT):
            made.append(_segment_report(encoding, sources, found, seg, form, also))
    return made


def _segment_report(
    encoding: Encoding, sources: Sources, found: Sequence[Numbered], seg: Dataset, form: Form, also: Sequence[str]
) -> Encoded:
    """The report about segments, which refers to one form of the segmentation."""
    encoding = encoding.replacing(Kind.SR, form)
    identity = identify(encoding, sources, "sr", "measurements", *_predecessors(encoding), *also)
    groups = segment_groups(encoding, found, str(seg.SOPInstanceUID))
    return encoded(Kind.SR, report(encoding, sources, groups, identity, seg), identity, form.value)


def _study_report(encoding: Encoding, sources: Sources) -> list[Encoded]:
    """The report about the series, when there is anything to say of it."""
    groups = study_groups(encoding, empty(encoding.findings))
    if not groups:
        return []
    with stage(REPORT):
        encoding = encoding.replacing(Kind.SR, "")
        identity = identify(encoding, sources, "sr-study", "findings", *_predecessors(encoding))
        return [encoded(Kind.SR, report(encoding, sources, groups, identity, None), identity)]


def _predecessors(encoding: Encoding) -> Sequence[str]:
    return [one.sop_instance_uid for one in encoding.predecessors]
