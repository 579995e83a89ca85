"""What a sink asks for beside the answer: what moved it, and how unsure the network is. The answer leaves without it where that fails."""

from collections.abc import Callable
from dataclasses import replace

from inference.applications.analysing import uncertainties_of
from inference.applications.declared import check_outputs
from inference.applications.port import Application, Infer
from inference.engines.errors import ComputationFailed, EngineTimeout, ModelCrashed, OutOfMemory
from inference.engines.jail.errors import ModelDied
from inference.errors import EngineError
from inference.findings import Findings
from inference.imaging.subjects import Assembled
from inference.translatable import Translatable, say
from node.observe.events import alarm


class JobTooLate(EngineError):
    """The analysis used up the time that it may take."""

    code = "HLM-4080"
    remedy = "If it stays slow, raise `applications: {NAME: {timeout: …}}` or give it a faster engine."


_ITS_OWN = (ComputationFailed, EngineTimeout, JobTooLate, ModelCrashed, ModelDied, OutOfMemory)
"""Errors of an engine that has answered before, by what is asked now: it is more to compute, and another attempt would end alike."""
_MOVED, _UNSURE = say("What moved the answers"), say("How unsure the network is of each voxel")


def explained_by(
    application: Application, assembled: Assembled, infer: Infer, said: Findings, *, left_out: frozenset[int], spent: bool
) -> Findings:
    """The findings with what moved them; without it where that fails.

    Parameters
    ----------
    left_out
        Images that the judge left out: there is no answer of them, and nothing moved it.
    spent
        As `doubted_by` has it.
    """
    explain = application.explain
    if explain is None:
        return said

    def explained() -> Findings:
        moved = explain(assembled.subject, infer)
        return replace(said, explanations=tuple(each for each in moved if each.image not in left_out))

    return _spent(application, said, _MOVED) if spent else _or_without(application, assembled, said, explained, _MOVED)


def doubted_by(application: Application, assembled: Assembled, infer: Infer, said: Findings, *, spent: bool) -> Findings:
    """The findings with how unsure the network is of each voxel; without it where that fails.

    Parameters
    ----------
    spent
        The attempts before this one, the last, did not end: a process may have died of what is asked beside the answer.
    """

    def doubted() -> Findings:
        return replace(said, uncertainties=uncertainties_of(application, assembled.subject, infer))

    if application.unsure is None:
        return said
    return _spent(application, said, _UNSURE) if spent else _or_without(application, assembled, said, doubted, _UNSURE)


def _or_without(
    application: Application, assembled: Assembled, said: Findings, more: Callable[[], Findings], what: Translatable
) -> Findings:
    """What `more` gives; the findings without it where that fails, which they say.

    Raises
    ------
    EngineError
        It is away, and would have met the answer, too.
    """
    try:
        found = more()
        check_outputs(application, found, assembled.subject)
        return found
    except EngineError as failed:
        if not isinstance(failed, _ITS_OWN):
            raise
        why: Exception = failed
    except Exception as defect:  # noqa: BLE001  (whatever an application does, as in the runner; the answer is there)
        why = defect
    code = str(getattr(why, "code", ""))
    alarm("job.unexplained", application=application.name, error=type(why).__name__, code=code)
    return _without(said, what, code or type(why).__name__)


def _spent(application: Application, said: Findings, what: Translatable) -> Findings:
    alarm("job.unexplained", application=application.name, error="LastAttempt", code="")
    return _without(said, what, say("the attempts before did not end"))


def _without(said: Findings, what: Translatable, why: str) -> Findings:
    lacks = say("{what} was asked for and is not in these results: it could not be computed ({why}).", what=what, why=why)
    return replace(said, remarks=(*said.remarks, lacks))
