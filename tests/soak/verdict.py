"""What a day of the soak says: figures in the shape of the benchmarks', and what of them is a defect.

Nothing is excused because of what the node itself does:

- *Counts* (lost, changed, without results, not exactly one set, left behind) have to be 0. When a second set of results is no defect is
  said in tests.soak.count: never because of what the node alone brought about.
- *The delay* from a sender's last answer to the last result is taken without the quiet window, which is the same for all and would hide a
  growth by a third. It must not grow by more than a third, or half a second, from the first third of the day to the last; studies that
  something killed or stopped are left out. Where it grew there is no verdict only if the *machine* had less time for the node: if its
  threads, ready to run, waited for a processor for a third longer than before for each second that they ran, and the node needed no more
  processor time for what it received. The load of the machine says nothing: a node that needs more and more raises it itself.
- *Memory, files, threads, sockets* must not grow, in each process that lived for long (tests.soak.watch).
"""

from collections.abc import Sequence
from statistics import median

from bench.rows import Row
from tests.soak.happened import Day, Span
from tests.soak.studies import Study

_FLAT = 1.3
"""How much longer the last third may take than the first, of medians: the noise of a machine that does other work too."""
_FLAT_S = 0.5
_LIFE_S = 60.0
_FEW = 3
_GIB = 1 << 30


def delays(day: Day, studies: Sequence[Study]) -> list[tuple[Study, float]]:
    """Seconds from the end of the quiet window after the last answer to the last result, of the studies that nothing disturbed."""
    return [(one, one.delivered - one.last_answer - day.quiet_s) for one in studies if one.delivered and not one.disturbed]


def rows_of(day: Day) -> list[Row]:
    """Every figure; `met` False is a defect."""
    sent = sum(len(study.acknowledged) for study in day.studies)
    rows = [
        Row(name="soak: studies", value=len(day.studies), unit=""),
        Row(name="soak: studies an hour", value=len(day.studies) / day.took_s * 3600, unit="1/h"),
        Row(name="soak: instances acknowledged", value=sent, unit=""),
        Row(name="soak: killed and restarted", value=len(day.disturbances), unit=""),
        Row(name="soak: the machine stood still", value=sum(until - since for since, until in day.still), unit="s"),
        Row(name="soak: associations that ended early", value=day.aborted, unit=""),
        Row(name="soak: instances refused, sent again", value=day.refused, unit=""),
        Row(name="soak: studies revised after a pause of their sender", value=len(day.revised), unit=""),
        Row(name="soak: results that came twice under one UID", value=day.copies, unit=""),
        _none("soak: acknowledged instances lost", day.lost),
        _none("soak: acknowledged instances with other bytes", day.changed),
        _none("soak: studies without results", day.undelivered),
        _none("soak: studies without exactly one set of results, of all instances", day.doubled),
        _none("soak: left half-written or not journaled", day.left),
    ]
    return rows + _delays(day) + _growth(day)


def _none(name: str, found: Sequence[str]) -> Row:
    return Row(name=name, value=len(found), unit="", goal="0", met=not found)


def _delays(day: Day) -> list[Row]:
    of_kind: dict[str, list[float]] = {}
    for study, took in delays(day, day.studies):
        of_kind.setdefault(study.kind.name, []).append(took)
    usual = {kind: median(took) for kind, took in of_kind.items()}
    rows = [
        Row(name=f"soak: last answer to last result without the quiet window, {kind}, median", value=took, unit="s")
        for kind, took in sorted(usual.items())
    ]
    third = len(day.studies) // 3
    parts = day.studies[:third], day.studies[len(day.studies) - third :]
    # what each took beyond what is usual for its kind: the kinds differ by seconds
    early, late = ([took - usual[study.kind.name] for study, took in delays(day, part)] for part in parts)
    if len(early) < _FEW or len(late) < _FEW:
        return rows
    level = median([took for took_of in of_kind.values() for took in took_of])
    first, last = level + median(early), level + median(late)
    met = last <= first * _FLAT or last - first <= _FLAT_S
    (waited_first, used_first), (waited_last, used_last) = (_shares(day, part) for part in parts)
    excused = not met and waited_last >= waited_first * _FLAT and used_last <= used_first * _FLAT
    unit = "s/GiB received"
    return [
        *rows,
        Row(
            name="soak: waiting for a processor, last third beside the first",
            value=waited_last,
            unit="s for 1 s run",
            baseline=waited_first,
        ),
        Row(name="soak: processor time of the node, last third beside the first", value=used_last, unit=unit, baseline=used_first),
        Row(
            name="soak: the delay of all kinds, last third beside the first",
            value=last,
            unit="s",
            baseline=first,
            goal=f"≤ {_FLAT} ×" + (", not judged: the machine was busier" if excused else ""),
            met=None if excused else met,
        ),
    ]


def _shares(day: Day, part: Sequence[Study]) -> tuple[float, float]:
    """While these studies came: how long the node waited for a processor for each second that it ran, and how long it ran for each GiB."""
    assert day.watch is not None, "the day is over"
    during: Span = (min(one.answers[0] for one in part if one.answers), max(one.delivered or one.last_answer for one in part))
    shares = [one for one in day.watch.shares if during[0] <= one.at <= during[1] and not day.stood_still((one.at - one.lasted_s, one.at))]
    used_s = sum(one.used_s for one in shares) or 1.0
    received = sum(len(one.answers) * one.kind.pixel_bytes for one in part) / _GIB
    return sum(one.waited_s for one in shares) / used_s, used_s / received


def _growth(day: Day) -> list[Row]:
    assert day.watch is not None, "the day is over"
    rows = [Row(name="soak: processes of the family, at most", value=day.watch.children_most + 1, unit="")]
    for trend in day.watch.trends(lasted_s=_LIFE_S):
        unit = "MiB" if trend.what == "rss_mib" else ""
        what = "memory" if trend.what == "rss_mib" else trend.what
        name = f"soak: {what} of {trend.name}, late beside early ({trend.lasted_s:.0f} s)"
        rows.append(Row(name=name, value=trend.late, unit=unit, baseline=trend.early, goal="no growth", met=not trend.grew))
    return rows
