"""What a day of the soak says: figures in the shape of the benchmarks', and what of them is a defect."""

from collections.abc import Sequence
from statistics import median

from bench.rows import Row
from tests.soak.day import Day
from tests.soak.studies import Study

_FLAT = 1.3
"""How much longer the last third may take than the first, of medians: the noise of a machine that does other work too."""
_FLAT_S = 1.0
_LIFE_S = 60.0


def delays(studies: Sequence[Study]) -> list[tuple[Study, float]]:
    """Seconds from the last answer to the last result, of the studies that nothing disturbed."""
    return [(study, study.delivered - study.last_answer) for study in studies if study.delivered and not study.disturbed]


def rows_of(day: Day) -> list[Row]:
    """Every figure; `met` False is a defect."""
    sent = sum(len(study.acknowledged) for study in day.studies)
    rows = [
        Row(name="soak: studies", value=len(day.studies), unit=""),
        Row(name="soak: studies an hour", value=len(day.studies) / day.took_s * 3600, unit="1/h"),
        Row(name="soak: instances acknowledged", value=sent, unit=""),
        Row(name="soak: killed and restarted", value=len(day.disturbances), unit=""),
        Row(name="soak: associations that ended early", value=day.aborted, unit=""),
        Row(name="soak: instances refused, sent again", value=day.refused, unit=""),
        Row(name="soak: studies that paused, and were revised", value=len(day.revised), unit=""),
        Row(name="soak: results that came twice under one UID", value=day.copies, unit=""),
        _none("soak: acknowledged instances lost", day.lost),
        _none("soak: acknowledged instances with other bytes", day.changed),
        _none("soak: studies without results", day.undelivered),
        _none("soak: studies without exactly one set of results", day.doubled),
    ]
    return rows + _delays(day) + _growth(day)


def _none(name: str, found: Sequence[str]) -> Row:
    return Row(name=name, value=len(found), unit="", goal="0", met=not found)


def _delays(day: Day) -> list[Row]:
    of_kind: dict[str, list[float]] = {}
    for study, took in delays(day.studies):
        of_kind.setdefault(study.kind.name, []).append(took)
    usual = {kind: median(took) for kind, took in of_kind.items()}
    rows = [Row(name=f"soak: last answer to last result, {kind}, median", value=took, unit="s") for kind, took in sorted(usual.items())]
    third = len(day.studies) // 3
    early = [took - usual[study.kind.name] for study, took in delays(day.studies[:third])]
    late = [took - usual[study.kind.name] for study, took in delays(day.studies[-third:])] if third else []
    if len(early) < 3 or len(late) < 3:
        return rows
    # what each took beyond what is usual for its kind: the kinds differ by seconds
    level = median([took for took_of in of_kind.values() for took in took_of])
    first, last = level + median(early), level + median(late)
    flat = last <= first * _FLAT or last - first <= _FLAT_S
    assert day.watch is not None, "the day is over"
    loads = day.watch.loads
    quiet, busy = (max(median(part), 1.0) for part in (loads[: len(loads) // 3], loads[-len(loads) // 3 :]))
    return [
        *rows,
        Row(name="soak: load of the machine, last third beside the first", value=busy, unit="", baseline=quiet),
        Row(
            name="soak: the same, last third beside the first",
            value=last,
            unit="s",
            baseline=first,
            goal=f"≤ {_FLAT} ×",
            met=flat or (None if busy > quiet * _FLAT else False),
        ),
    ]


def _growth(day: Day) -> list[Row]:
    assert day.watch is not None, "the day is over"
    rows = [Row(name="soak: processes of the family, at most", value=day.watch.children_most + 1, unit="")]
    for trend in day.watch.trends(lasted_s=_LIFE_S):
        unit = "MiB" if trend.what == "rss_mib" else ""
        what = "memory" if trend.what == "rss_mib" else trend.what
        name = f"soak: {what} of {trend.name}, late beside early ({trend.lasted_s:.0f} s)"
        rows.append(Row(name=name, value=trend.late, unit=unit, baseline=trend.early, goal="no growth", met=not trend.grew))
    return rows
