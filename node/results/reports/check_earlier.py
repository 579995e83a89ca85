"""Reads earlier values back from sentences, in either language: each number with its day is one that was found."""

import re
from collections.abc import Iterator, Sequence

from inference.findings import Findings
from node.results.errors import ValuesDiffer

_NUMBER = r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?"
_DAY = r"\d{4}-\d{2}-\d{2}"
_SAID = re.compile(rf"\((?P<value>{_NUMBER})[^()]* on (?P<day>{_DAY})|（(?P<day_first>{_DAY})：(?P<value_last>{_NUMBER})")
_THREE_DIGITS = 0.00501


def check_earlier(sentences: Sequence[str], findings: Findings, *, every: bool) -> None:
    """Compare what sentences about findings say of earlier studies with what was found there.

    Parameters
    ----------
    every
        Whether these are all of them; a conclusion may leave some to the rest of the report.

    Raises
    ------
    ValuesDiffer
    """
    meant = [(one.earlier.date, one.earlier.value) for one in findings.measurements if one.earlier is not None]
    said = [pair for sentence in sentences for pair in _pairs(sentence)]
    left = list(meant)
    for day, value in said:
        near = next((one for one in left if one[0] == day and abs(one[1] - value) <= _THREE_DIGITS * abs(one[1])), None)
        if near is None:
            raise ValuesDiffer(f"a sentence says {value} of {day}, the earlier values are {meant}")
        left.remove(near)
    if left and every:
        raise ValuesDiffer(f"no sentence says the earlier values {left}")


def _pairs(sentence: str) -> Iterator[tuple[str, float]]:
    for found in _SAID.finditer(sentence):
        yield found["day"] or found["day_first"], float(found["value"] or found["value_last"])
