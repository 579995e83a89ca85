"""The one entrance of the room: findings in, checked Part 10 objects out."""

import warnings
from concurrent.futures import ThreadPoolExecutor

from inference.stages import stage
from node.domain.profile import Kind
from node.results.check import check
from node.results.identity import encoded, identify
from node.results.images.derived import derived_images
from node.results.images.explanation_map import explanation_maps
from node.results.images.parametric_map import parametric_maps
from node.results.images.registration import registrations
from node.results.masks.seg import segmentation
from node.results.masks.seg_forms import forms
from node.results.masks.segments import numbered, unoccupied
from node.results.narrative.narrative import narratives
from node.results.narrative.narrative_sentences import found_in_short
from node.results.narrative.pdf import pdfs
from node.results.page.explanation import explanation_pages
from node.results.page.overlay import overlays
from node.results.page.summary import drawing, summary, summary_identity
from node.results.planes import Sources, read_sources
from node.results.port import Encoded, Encoding
from node.results.reports.sr import ENGLISH_WORDS
from node.results.reports.sr_detections import detections
from node.results.reports.sr_segments import segment_report
from node.results.reports.sr_series import series_report

SOURCES, SEGMENTATION, REPORT, IMAGES, PAGE, CHECK = "sources", "segmentation", "report", "images", "page", "check"
"""The stages of an encoding (`inference.stages`)."""


def encode(encoding: Encoding) -> list[Encoded]:
    """Make every result object of one job and check each by reading it back.

    A segmentation and its report, in each form that is wanted, when any segment has a voxel; a report about the series for what has
    no mask (evaluations, measurements of the series, segments of which nothing was found); maps, derived images and a registration where
    there are any; the summary page always. Equal encodings give equal bytes.

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
        draw = drawing(encoding, sources, found_in_short(encoding, sources, ENGLISH_WORDS))
    made: list[Encoded] = []
    # the page is numpy and Pillow, which leave the interpreter to the other objects, which are Python
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="page") as pool:
        page = pool.submit(draw)
        made += _masks(encoding, sources)
        # every other kind: its own file, and one line here
        with stage(REPORT):
            made += series_report(encoding, sources)
            made += detections(encoding, sources)
        with stage(IMAGES):
            made += parametric_maps(encoding, sources)
            made += overlays(encoding, sources)
            made += registrations(encoding, sources)
            made += derived_images(encoding, sources)
            made += [*explanation_pages(encoding, sources), *explanation_maps(encoding, sources)]
        with stage(REPORT):
            made += [*narratives(encoding, sources, made), *pdfs(encoding, sources, made)]
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
    for form in forms(encoding, found):
        described = found or unoccupied(encoding.findings)
        with stage(SEGMENTATION):
            identity = identify(encoding, sources, "seg", "SEG")
            seg = segmentation(encoding, sources, described, form, identity)
            made.append(encoded(Kind.SEG, seg.dataset, identity, form.value, pixels=seg.pixels, syntax=seg.syntax))
        if found:
            with stage(REPORT):
                made.append(segment_report(encoding, sources, found, seg.dataset, form))
    return made
