"""Structures of label files by the names that people gave to their values: which of them are learned, and under which codes."""

from collections.abc import Mapping, Sequence

from inference import codes
from inference.applications.bundle.names import known
from inference.applications.manifest import is_label
from training.data.coded import coded
from training.data.dicom import Segment
from training.data.structures import MOST
from training.errors import UnclearLabels


def named_structures(where: str, labels: Mapping[int, str], names: Sequence[str]) -> tuple[Segment, ...]:
    """The structures of `labels` (number: name) that `names` names, in that order, () for all; `where` says where their names stand.

    Raises
    ------
    UnclearLabels
        A name is not there, none is, one fits no element of text, or two structures could not be told apart.
    """
    every = {number: _segment(number, name) for number, name in sorted(labels.items())}
    known_as = {plain(one.label): number for number, one in every.items()}
    known_as |= {plain(name): number for number, name in labels.items()}
    said = ", ".join(labels.values())
    absent = [name for name in names if plain(name) not in known_as]
    if absent:
        raise UnclearLabels(f"{where} has no label {', '.join(absent)}; it has: {said}")
    made = tuple(every[number] for number in dict.fromkeys(known_as[plain(name)] for name in names)) or tuple(every.values())
    if not made:
        raise UnclearLabels(f"{where} has no label beside the background: nothing could be learned")
    unfit = [labels[one.number] for one in made if not is_label(one.label)]
    if unfit:
        raise UnclearLabels(f"{where}: label {unfit[0]!r} is empty, or has a backslash or a sign that is not printed: rename it")
    if len(made) > MOST:
        raise UnclearLabels(f"{len(made)} structures, of which one network learns {MOST} at most")
    kinds = {(one.type.scheme, one.type.value, one.laterality, one.site) for one in made}
    if min(len(kinds), len({plain(one.label) for one in made})) < len(made):
        raise UnclearLabels(f"{where}: two of {said} have one name or one code: rename one, or take it out with --labels")
    return made


def plain(name: str) -> str:
    """A name without what people write one way or another."""
    return " ".join(name.replace("_", " ").split()).casefold()


def _segment(number: int, name: str) -> Segment:
    """A structure by its name: its code where the name is known whole, or says one itself; else one of hilum's own."""
    found = known(name)
    if found is not None:
        label = " ".join(name.replace("_", " ").split())[:64]
        return Segment(number=number, label=label, type=found.type, category=found.category, laterality=found.laterality, site=found.site)
    type = coded(name.replace("_", " "))
    return Segment(number=number, label=type.meaning[:64], type=type, category=codes.ANATOMICAL_STRUCTURE)
