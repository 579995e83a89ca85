"""Encoder, the one entrance of the room: findings in, checked Part 10 objects out."""

import warnings
from concurrent.futures import ThreadPoolExecutor

from inference.stages import stage
from node.results.check import check
from node.results.kind import EncodingStage, Making
from node.results.kinds import KINDS, beginner_of, maker_of
from node.results.port import Encoded, Encoding
from node.results.sources import read_sources


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
    made: list[Encoded] = []
    with stage(EncodingStage.SOURCES):
        sources = read_sources(encoding)
        begun = {one.kind: beginner_of(one)(encoding, sources) for one in KINDS if one.begins}
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="begun") as pool:
        coming = {kind: pool.submit(work) for kind, work in begun.items()}
        for one in KINDS:
            if one.of_findings:
                done = coming[one.kind].result if one.kind in coming else _nothing
                with stage(one.stage):
                    made += maker_of(one)(Making(encoding=encoding, sources=sources, made=tuple(made), begun=done))
    with stage(EncodingStage.CHECK):
        check(made, encoding, sources)
    return made


def _nothing() -> None:
    """The result of what was not begun."""
