"""`hilum studies accept-held|refuse-held`: what a person decides about instances that wait for one."""

from typing import TYPE_CHECKING

from node.cli.errors import NothingFound
from node.cli.opened import ConfigOption, journal
from node.domain.instance import Instance

if TYPE_CHECKING:
    from node.journal.port import Journal

_BY = "a person at the command line"


def accept_held(study: str, /, *, series: str | None = None, config: ConfigOption = None) -> int:
    """Let what is held of a study count, and analyse it anew.

    Images of two patients are never analysed as one: where a series names several then, its job is parked (HLM-3030).

    Parameters
    ----------
    study
        Its UID, or the end of it.
    series
        Only what is held of the series with this UID.
    """
    from node.flow.held import accept

    with journal(config) as (settings, opened):
        accepted = accept(opened, _held(opened, study, series), settings.peers, opened.now, by=_BY)
    print(f"{_many(accepted)} accepted: the study is looked at again in a moment, and routed with them")
    return 0


def refuse_held(study: str, /, *, series: str | None = None, config: ConfigOption = None) -> int:
    """Never use what is held of a study. It is kept for as long as pixels are, and not counted as held any more.

    Parameters
    ----------
    study
        Its UID, or the end of it.
    series
        Only what is held of the series with this UID.
    """
    from node.flow.held import refuse

    with journal(config) as (_, opened):
        refused = refuse(opened, _held(opened, study, series), opened.now, by=_BY)
    print(f"{_many(refused)} refused: what the first sender sent stands")
    return 0


def _held(opened: "Journal", study: str, series: str | None) -> list[Instance]:
    from node.cli.studies import find_study
    from node.flow.held import Part, held_of

    uid = find_study(opened, study)
    held = held_of(opened, uid, Part(series_instance_uid=series))
    if not held:
        of = "" if series is None else f", series {series}"
        raise NothingFound(f"nothing is held of study {uid}{of}; `hilum studies list` says of which studies something is")
    return held


def _many(count: int) -> str:
    return "1 instance is" if count == 1 else f"{count} instances are"
