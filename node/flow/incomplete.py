"""What may be said of a series that is known to be short: that it is, before anything else; no measurement of what may be cut; and of
nothing that it is absent."""

from dataclasses import replace

from inference.codes import ABSENT, RECOMMENDED_FOLLOW_UP, UNDETERMINED, VOLUME
from inference.findings import Caution, Evaluation, Findings, Location
from inference.imaging.subject import Pair
from inference.imaging.volume import Volume
from inference.said import OfTheWhole, say
from node.domain.shortage import Shortage


def as_incomplete(findings: Findings, shortage: Shortage, subject: object, *, marked: bool) -> Findings:
    """The findings of a short series.

    `marked`: they begin with a caution, and nothing is absent any more: it may be on what did not come. Of a volume (or a pair of them)
    every measurement goes but lengths of single locations: nobody can say which structures end where the images do. Images and cines that
    came are whole each. What an application says of the whole goes with them, and so does a follow-up: it is recommended for all that there
    is. Not `marked`: as of a whole one, with a remark.
    """
    if not marked:
        return replace(findings, remarks=(say("The series may be incomplete: {shortage}.", shortage=shortage.sentence), *findings.remarks))
    kept = findings.measurements
    mark, why, lacks = shortage.mark, shortage.why, shortage.sentence
    said = say("{mark}: not all instances of the series came; {why}.", mark=mark, why=why, shortage=lacks)
    if isinstance(subject, Volume | Pair):
        kept = tuple(one for one in findings.measurements if one.location is not None and one.name != VOLUME)
        if len(kept) < len(findings.measurements):
            said = say(
                "{mark}: not all instances of the series came; {why}. No volume is given, and nothing is measured of the whole or of its "
                "structures: any of them may be cut.",
                mark=mark,
                why=why,
                shortage=lacks,
            )
    return replace(
        findings,
        measurements=kept,
        evaluations=tuple(_not_absent(one) for one in findings.evaluations),
        locations=tuple(_without_follow_up(one) for one in findings.locations),
        remarks=tuple(one for one in findings.remarks if not isinstance(one, OfTheWhole)),
        cautions=(Caution(sentence=said, mark=shortage.mark), *findings.cautions),
        cut=True,
    )


def _not_absent(one: Evaluation) -> Evaluation:
    """Undetermined in the place of Absent; without its probability, which would say so all the same."""
    return replace(one, value=UNDETERMINED, probability=None) if one.value == ABSENT else one


def _without_follow_up(one: Location) -> Location:
    return replace(one, qualities=tuple(quality for quality in one.qualities if quality.name != RECOMMENDED_FOLLOW_UP))
