"""Which segment of a reference marks which structure of an application: by what the hospital said, by label, or by code and side."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.applications.port import Application, SegmentOutput
from inference.codes import LEFT, RIGHT
from training.data.dicom import LabelledSeries, Segment
from training.errors import UnclearLabels, UnfitSetting

_SIDES = frozenset({LEFT.meaning.casefold(), RIGHT.meaning.casefold()})


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """The structures that are compared.

    Attributes
    ----------
    numbers
        By structure (label of an output), by file, the segments that mark it: several of one file are its sides, and it is all of them.
    unknown
        Labels of segments that stand for no structure of the application, and how many files have each.
    unmarked
        Structures of the application that no file marks.
    """

    numbers: Mapping[str, Mapping[Path, tuple[int, ...]]]
    unknown: Mapping[str, int]
    unmarked: tuple[str, ...]


def references(application: Application, series: Sequence[LabelledSeries], same: Mapping[str, str]) -> References:
    """Tell which segments of the files of these series mark what the application marks.

    Parameters
    ----------
    same
        Label of a reference's segment to the label of the output that it is, for drawings that use neither its label nor its code.

    Raises
    ------
    UnfitSetting
        `same` names an output that the application does not have, or a label that no file has.
    UnclearLabels
        No segment marks anything that the application marks; or a structure of one series is marked twice.
    """
    outputs = [output for output in application.outputs if isinstance(output, SegmentOutput)]
    labels = [output.label for output in outputs]
    _refuse_unknown(same, labels, series)
    numbers: dict[str, dict[Path, tuple[int, ...]]] = {}
    unknown: Counter[str] = Counter()
    for each in series:
        marked: dict[str, tuple[Path, Segment]] = {}
        for file in each.segmentations:
            for segment in file.segments:
                label = _structure(segment, outputs, same)
                if label is None:
                    unknown[segment.label or f"segment {segment.number}"] += 1
                    continue
                if label in marked:
                    _refuse_twice(label, each, marked[label], (file.path, segment))
                marked[label] = file.path, segment
                numbers.setdefault(label, {})[file.path] = (*numbers.get(label, {}).get(file.path, ()), segment.number)
    if not numbers:
        said, known = ", ".join(f'"{name}"' for name in unknown) or "nothing", ", ".join(f'"{name}"' for name in labels)
        raise UnclearLabels(
            f"{application.name} marks {known}; the segmentations mark {said}. Where one is the other under another name, say so: "
            f'--same "THEIR LABEL={labels[0]}"'
        )
    ordered = {label: numbers[label] for label in labels if label in numbers}
    return References(numbers=ordered, unknown=dict(unknown), unmarked=tuple(label for label in labels if label not in numbers))


def _structure(segment: Segment, outputs: Sequence[SegmentOutput], same: Mapping[str, str]) -> str | None:
    """The label of the output that a segment marks; None where it marks none."""
    if (said := _folded(same).get(segment.label.casefold())) is not None:
        return said
    if named := [output.label for output in outputs if output.label.casefold() == segment.label.casefold()]:
        return named[0]
    coded = [output.label for output in outputs if (output.type.scheme, output.type.value) == (segment.type.scheme, segment.type.value)]
    if segment.laterality is not None:
        side = segment.laterality.meaning.casefold()
        # a label of no side, or of both, is of either
        coded = [label for label in coded if _SIDES & {*label.casefold().split()} in (frozenset(), {side}, _SIDES)]
        if len(coded) > 1:
            coded = [label for label in coded if side in label.casefold().split()]
    return coded[0] if len(coded) == 1 else None


def _refuse_twice(label: str, series: LabelledSeries, first: tuple[Path, Segment], second: tuple[Path, Segment]) -> None:
    """Two sides in one file are one structure; anything else is two drawings, and nobody could say which of them is right."""
    (one, before), (other, now) = first, second
    if one == other and None not in (before.laterality, now.laterality) and before.laterality != now.laterality:
        return
    where = f"{one}, as {before.number} and {now.number}" if one == other else f"{one} and in {other}"
    raise UnclearLabels(f'"{label}" of series {series.uid} is marked twice, in {where}: take one of the two out of the folder')


def _refuse_unknown(same: Mapping[str, str], outputs: Iterable[str], series: Sequence[LabelledSeries]) -> None:
    known = tuple(outputs)
    for mine in same.values():
        if mine not in known:
            raise UnfitSetting(f'--same names "{mine}", which the application does not mark; it marks {", ".join(known) or "no structure"}')
    there = {segment.label.casefold() for each in series for file in each.segmentations for segment in file.segments}
    for theirs in same:
        if theirs.casefold() not in there:
            raise UnfitSetting(f'--same names "{theirs}", and no segmentation has it; there are: {", ".join(sorted(there))}')


def _folded(same: Mapping[str, str]) -> dict[str, str]:
    return {theirs.casefold(): mine for theirs, mine in same.items()}
