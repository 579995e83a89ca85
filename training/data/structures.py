"""Structures that a folder's segmentations mark: told apart by their codes, and by labels where one type stands for several structures."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.data.dicom import LabelledSeries, Segment
from training.errors import UnclearLabels

MOST = 255
"""Structures in one map of labels; 0 is what is none of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A structure that is to be learned, and in each file the segment that marks it.

    Attributes
    ----------
    segment
        How it is called and coded: as in most files.
    numbers
        By file, the number of its segment.
    """

    segment: Segment
    numbers: Mapping[Path, int]


def wanted(series: Sequence[LabelledSeries], names: Sequence[str]) -> tuple[Wanted, ...]:
    """The structures of a folder: all, in the order of their names; or those that `names` names, in that order.

    Raises
    ------
    UnclearLabels
        A name is not there; a structure is in a series twice, or has no code; without names: not every series has every structure.
    """
    segments = [(each, file.path, segment) for each in series for file in each.segmentations for segment in file.segments]
    by_label = _ambiguous(series)
    marked: dict[tuple[str, ...], list[tuple[LabelledSeries, Path, Segment]]] = {}
    for each, path, segment in segments:
        marked.setdefault(_key(segment, by_label), []).append((each, path, segment))
    known = {_named(found): found for found in marked.values()}
    if len(known) < len(marked):
        raise UnclearLabels(f"several structures have one label: {_several([_named(found) for found in marked.values()])}")
    chosen = _chosen(known, names)
    if len(chosen) > MOST:
        raise UnclearLabels(f"{len(chosen)} structures, of which one network learns {MOST} at most")
    for name, found in chosen.items():
        _once(name, found)
        marked_in = {each.uid for each, _, _ in found}
        if not names and len(marked_in) < len(series):
            lacking = next(each for each in series if each.uid not in marked_in)
            files, known_names = ", ".join(str(file.path) for file in lacking.segmentations), ", ".join(sorted(known))
            raise UnclearLabels(
                f'"{name}" is marked in {len(marked_in)} of {len(series)} series; it is not in {files}; there are: {known_names}'
            )
    return tuple(
        Wanted(segment=_like_most(name, found), numbers={path: s.number for _, path, s in found}) for name, found in chosen.items()
    )


def having(series: Sequence[LabelledSeries], structures: Sequence[Wanted]) -> tuple[LabelledSeries, ...]:
    """The series whose segmentations have all of these structures."""
    return tuple(each for each in series if all(any(file.path in one.numbers for file in each.segmentations) for one in structures))


def _ambiguous(series: Sequence[LabelledSeries]) -> frozenset[tuple[str, ...]]:
    """Codes that stand for more than one structure: two segments of one file have them."""
    twice = set()
    for each in series:
        for file in each.segmentations:
            twice |= {key for key, count in Counter(_coded(segment) for segment in file.segments).items() if count > 1}
    return frozenset(twice)


def _key(segment: Segment, by_label: frozenset[tuple[str, ...]]) -> tuple[str, ...]:
    coded = _coded(segment)
    return (*coded, segment.label.casefold()) if coded in by_label or not segment.type.value else coded


def _coded(segment: Segment) -> tuple[str, ...]:
    return segment.type.scheme, segment.type.value, segment.laterality.value if segment.laterality else ""


def _named(found: Sequence[tuple[LabelledSeries, Path, Segment]]) -> str:
    return Counter(segment.label for _, _, segment in found).most_common(1)[0][0]


def _like_most(name: str, found: Sequence[tuple[LabelledSeries, Path, Segment]]) -> Segment:
    return next(segment for _, _, segment in found if segment.label == name)


def _chosen(
    known: Mapping[str, list[tuple[LabelledSeries, Path, Segment]]], names: Sequence[str]
) -> dict[str, list[tuple[LabelledSeries, Path, Segment]]]:
    if not names:
        return dict(sorted(known.items()))
    # as it is written, first: "Tumor" and "tumor" may be two structures
    meant = {name: [name] if name in known else [one for one in known if one.casefold() == name.casefold()] for name in names}
    absent = [name for name, found in meant.items() if not found]
    if absent:
        raise UnclearLabels(f"no segmentation has {', '.join(absent)}; there are: {', '.join(sorted(known))}")
    for name, found in meant.items():
        if len(found) > 1:
            raise UnclearLabels(f'"{name}" may be any of {", ".join(sorted(found))}: write it as it is there')
    return {found: known[found] for (found,) in meant.values()}


def _once(name: str, found: Sequence[tuple[LabelledSeries, Path, Segment]]) -> None:
    uncoded = [path for _, path, segment in found if not segment.type.value]
    if uncoded:
        raise UnclearLabels(f'"{name}" has no coded type in {uncoded[0]}: nobody could be told what it is')
    first: dict[str, Path] = {}
    for each, path, _ in found:
        if each.uid in first:
            raise UnclearLabels(f'"{name}" of one series is in {first[each.uid]} and in {path}: take one of them out of the folder')
        first[each.uid] = path


def _several(names: Sequence[str]) -> str:
    return ", ".join(name for name, count in Counter(names).items() if count > 1)
