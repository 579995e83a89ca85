"""The one entrance of the room: findings in, checked Part 10 objects out."""

import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from inference.stages import stage
from node.domain.profile import Kind
from node.results.check import check
from node.results.identity import encoded, identify
from node.results.planes import read_sources
from node.results.port import Encoded, Encoding
from node.results.seg import segmentation
from node.results.segments import empty, numbered
from node.results.sr import report, segment_groups, study_groups
from node.results.summary import drawing, summary, summary_identity

SOURCES, SEGMENTATION, REPORT, PAGE, CHECK = "sources", "segmentation", "report", "page", "check"
"""The stages of an encoding (`inference.stages`)."""


def encode(encoding: Encoding) -> list[Encoded]:
    """Make every result object of one job and check each by reading it back.

    A segmentation and its report when any segment has a voxel; a report about the series for what has no mask (evaluations,
    measurements of the series, segments of which nothing was found); the summary page always. Equal encodings give equal bytes.

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
    found = numbered(encoding.findings)
    made: list[Encoded] = []
    # the page is numpy and Pillow, which leave the interpreter to the other objects, which are Python
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="page") as pool:
        page = pool.submit(draw)
        if found:
            with stage(SEGMENTATION):
                seg_identity = identify(encoding, sources, "seg", "segmentation")
                seg = segmentation(encoding, sources, found, seg_identity)
                made.append(encoded(Kind.SEG, seg, seg_identity))
            with stage(REPORT):
                sr_identity = identify(encoding, sources, "sr", "measurements", *_predecessors(encoding))
                groups = segment_groups(encoding, found, seg_identity.sop_instance_uid)
                made.append(encoded(Kind.SR, report(encoding, sources, groups, sr_identity, seg), sr_identity))
        groups = study_groups(encoding, empty(encoding.findings))
        if groups:
            study_identity = identify(encoding, sources, "sr-study", "findings", *_predecessors(encoding))
            made.append(encoded(Kind.SR, report(encoding, sources, groups, study_identity, None), study_identity))
        with stage(PAGE):
            page_identity = summary_identity(encoding, sources)
            made.append(encoded(Kind.SC, summary(encoding, sources, page.result(), page_identity), page_identity))
    with stage(CHECK):
        check(made, encoding, sources)
    return made


def _predecessors(encoding: Encoding) -> Sequence[str]:
    return [one.sop_instance_uid for one in encoding.predecessors]
