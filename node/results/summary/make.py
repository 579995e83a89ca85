"""The summary page as an RGB Secondary Capture: what every archive and every viewer can show (PS3.3 A.8.1)."""

from collections.abc import Callable
from dataclasses import replace

from node.domain.profile import Kind, Language
from node.results.identity import encoded, identify
from node.results.kind import Making
from node.results.narrative.sentences import WORDINGS, found_in_short
from node.results.page.capture import captured, page_of
from node.results.page.picture import Drawn, draw_page
from node.results.port import Encoded, Encoding
from node.results.sources import Sources

_WORDS = {
    Language.ENGLISH: "Summary page: key slices with contours, and measurements",
    Language.CHINESE: "摘要页：带轮廓的关键层面及测量值",
}
"""What is on the page, in the header."""


def begin(encoding: Encoding, sources: Sources) -> Callable[[], Drawn]:
    """What draws the page, which leads with the conclusion; it may be called in another thread: the headers have been read by then."""
    page = page_of(encoding, sources)
    page = replace(page, conclusion=found_in_short(encoding, sources, WORDINGS[encoding.language]))
    return lambda: draw_page(encoding.subject, encoding.findings, page)


def make(making: Making) -> list[Encoded]:
    """Encode the page as it was drawn."""
    identity = identify(making.encoding, making.sources, Kind.SC, "page")
    words = _WORDS[making.encoding.language]
    return [encoded(Kind.SC, captured(making.encoding, making.sources, making.begun(), identity, words), identity)]
