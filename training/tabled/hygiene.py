"""Data hygiene: what is looked at before the first step, so that a figure is not made by doubles, leaks, marks or mistaken labels.

Each question has its line in one table: how many cases it concerns, what was done, and which. What cannot be learned from honestly is
refused.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import fisher_exact, mannwhitneyu, median_abs_deviation

from inference.applications.bundle.steps import covered
from inference.applications.bundle.views import refuse_even
from inference.errors import HilumError
from inference.imaging.resample import Shape, reorientation
from inference.imaging.subject import Images
from training.data.cases import OwnSide
from training.data.outlined import ONE, Roles
from training.errors import UnfitData
from training.planning import AXES
from training.tabled.features import described, logistic, ridge, shows_text
from training.tabled.labels import LabelTable
from training.tabled.studies import TabledCase, TabledStudies, boxes_on, image_of, values_in_roles

LEAST_PATIENTS = 10
"""Of each class: with fewer, one may stand on the side that chooses, and two among those that are held out."""
NEAR_BITS, NEAR_ALIKE = 24, 0.98
"""Near-doubles: so many of 256 bits of a difference hash (dHash) at most, and so well correlated at 32 × 32, a volume at 8 × 32 × 32: seen
along its first axis alone, heads of two people can be as alike."""
MOST_IDS = 3
"""Of one person, whom several hospitals number; a name and birth date on more of them is what stands for all names that were taken out."""
_FAR = 5.0
"""So many deviations (1.4826 of the median absolute one) from all others, or from what the image makes likely, a number is an outlier."""
_UNLIKELY = 0.05
"""Below this probability of its own label, by a model that did not see the case, a label is an outlier."""
_CHANCE = 0.001
_FOLDS = 5
_SHOWN = 3
_SAMPLED = 2000
_AT_ONCE = 64
"""Images that are compared with all others in one go: for as many others, where all are alike, each takes their number times 256 bytes."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Seen:
    """What one reading of a case tells.

    Attributes
    ----------
    sha256
        Of its pixels and their shape, of all of its images.
    each
        The same of each image.
    hash
        (256,) whether a pixel of the 16 × 17 means is brighter than its neighbour to the left.
    small
        (32 × 32,), of a volume (8 × 32 × 32,): mean 0, length 1; all 0 of an even image.
    grey
        Some of its values, of all of its images.
    shape
        Along the network's axes: of a volume to the head, to the back and to the left; of a single image 1, its rows and its columns.
    unfit
        Roles whose series its line names, and that is left out.
    """

    case: TabledCase
    sha256: str
    each: tuple[str, ...]
    hash: NDArray[np.bool_]
    small: NDArray[np.float32]
    features: NDArray[np.float64]
    grey: NDArray[np.float32]
    shape: Shape
    marked: bool
    unfit: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """One line of the table."""

    what: str
    cases: Sequence[str]
    done: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Clean:
    """What may be learned from: each case as it was seen, and the group that has to stand on one side with it; and what was told."""

    seen: tuple[Seen, ...]
    groups: tuple[str, ...]
    questions: tuple[Question, ...]
    by_patient: bool


def see(case: TabledCase, roles: Roles = ONE) -> Seen:
    """Read a case once. Of several images in `roles` the first is compared with those of other cases; each is told again by its pixels.

    Raises
    ------
    InputError, UnfitData
    """
    subject, image = image_of(case)
    boxes_on(case, image)
    values, every = image.values, [image.values]
    features = described(values)
    of_role: Mapping[str, NDArray[np.float32]] = {}
    if roles.names:
        of_role = values_in_roles(subject, roles)
        refuse_even(of_role)
        every = list(of_role.values())
        features = np.concatenate([described(of_role.get(role, np.zeros_like(values))) for role in roles.names])
    each = tuple(hashlib.sha256(repr(one.shape).encode() + np.ascontiguousarray(one).tobytes()).hexdigest() for one in every)
    bits = covered(values, (1, 16, 17))[0]
    single = isinstance(subject, Images)
    small = covered(values, (1 if single else 8, 32, 32)).ravel()
    small -= small.mean()
    length = float(np.linalg.norm(small))
    return Seen(
        case=case,
        sha256=hashlib.sha256("".join(each).encode()).hexdigest(),
        each=each,
        hash=(bits[:, 1:] > bits[:, :-1]).ravel(),
        small=small / length if length else small,
        features=features,
        grey=np.concatenate([one.ravel()[:: max(1, one.size // _SAMPLED)] for one in every]),
        shape=image.grid.shape if single else reorientation(image.grid, AXES).grid(image.grid).shape,
        marked=case.burned_in == "YES" or (single and shows_text(values)),
        unfit=tuple(role for role in case.roles if role not in of_role),
    )


def clean(table: LabelTable, found: TabledStudies, tell: Callable[[str], None]) -> Clean:
    """Look at all cases; what is left may be split and learned. The table is told in any case, as far as it came.

    Raises
    ------
    UnfitData
        Too few patients of a class are left, or marks in the images go with a label.
    """
    asked: list[Question] = [
        Question(what="lines that name no image", cases=found.lost, done="left out"),
        Question(what="lines with an empty label", cases=[f"line {number}" for number in table.unlabelled], done="left out"),
        Question(what="images without a label", cases=found.unlabelled, done="not used"),
        Question(what="files that cannot be read", cases=found.left_out, done="not used"),
    ]
    if table.boxed:
        asked += [
            Question(what="images in no line", cases=found.empty, done="KEPT, AS SHOWING NOTHING"),
            Question(what="images that a lost line may mean", cases=found.doubted, done="NOT USED: NAME THEM, EMPTY ONES TOO"),
            Question(what="boxes that stand twice", cases=table.twice, done="each is taken once"),
        ]
    if found.unsaid:
        asked.append(Question(what="what nothing says of the images", cases=found.unsaid, done="TAKEN SO"))
    try:
        seen, broken = _read(found.cases, found.roles)
        asked.append(Question(what="cases that cannot be read", cases=broken, done="left out"))
        if found.roles.names:
            unfit = [f"{one.case.name}: {' and '.join(one.unfit)}" for one in seen if one.unfit]
            asked.append(Question(what="series of a role that do not fit", cases=unfit, done="left out, as in serving"))
        seen, doubled = _without_doubles(seen, asked)
        groups, by_patient = _grouped(seen, doubled, asked)
        seen, groups = _without_leaks(seen, groups, asked)
        _refuse_few(table, seen, groups)
        _marks(table, seen, asked)
        if table.units:
            asked.append(Question(what="numbers far from all others", cases=_far(table, seen), done="kept: look at them"))
        unlikely = _outliers(table, seen, groups)
        asked.append(Question(what="labels that the image makes unlikely", cases=unlikely, done="kept: look at them"))
    finally:
        tell(told(asked))
    return Clean(seen=tuple(seen), groups=tuple(groups), questions=tuple(asked), by_patient=by_patient)


def told(questions: Sequence[Question]) -> str:
    """The table, for people."""
    rows = [("looked for", "found", "done", "which")]
    for one in questions:
        which = "; ".join(one.cases[:_SHOWN]) + (f"; and {len(one.cases) - _SHOWN} more" if len(one.cases) > _SHOWN else "")
        rows.append((one.what, str(len(one.cases)), one.done if one.cases else "", which))
    wide = [max(len(row[at]) for row in rows) for at in range(3)]
    return "\n".join("  ".join((*(cell.ljust(width) for cell, width in zip(row, wide, strict=False)), row[3])).rstrip() for row in rows)


def _read(cases: Sequence[TabledCase], roles: Roles) -> tuple[list[Seen], list[str]]:
    seen, broken = [], []
    for case in cases:
        try:
            seen.append(see(case, roles))
        except HilumError as unfit:
            broken.append(f"line {case.line}, {case.name}: {unfit} [{unfit.code}]")
    return seen, broken


def _without_doubles(seen: Sequence[Seen], asked: list[Question]) -> tuple[list[Seen], list[set[str]]]:
    """One of each group with the same pixels, none where their labels differ; and the patients of each group."""
    alike: dict[str, list[Seen]] = {}
    for one in seen:
        alike.setdefault(one.sha256, []).append(one)
    doubled = [group for group in alike.values() if len(group) > 1]
    against = [group for group in doubled if len({one.case.said for one in group}) > 1]
    same = [group for group in doubled if group not in against]
    asked += [
        Question(what="exact doubles", cases=list(map(_named, same)), done="one of each is kept, their patients count as one"),
        Question(what="exact doubles under two labels", cases=list(map(_named, against)), done="all left out"),
    ]
    gone = {one.case.name for group in against for one in group} | {one.case.name for group in same for one in group[1:]}
    people = [{one.case.patient for one in group if one.case.patient} for group in doubled]
    return [one for one in seen if one.case.name not in gone], people


def _grouped(seen: Sequence[Seen], doubled: Sequence[set[str]], asked: list[Question]) -> tuple[list[str], bool]:
    """For each case who stands on one side with it: its patient, patients of the same pixels (`doubled`), others of the same name and birth
    date where both are given and name a person, and near-doubles."""
    parent = list(range(len(seen)))

    def root(at: int) -> int:
        while parent[at] != at:
            at = parent[at]
        return at

    def join(these: Sequence[int]) -> None:
        for at in these[1:]:
            parent[root(at)] = root(these[0])

    patients = _places([one.case.patient for one in seen])
    people = _places(["^".join(one.case.person) if all(one.case.person) else "" for one in seen])
    nameless = [one.case.name for one in seen if not one.case.patient]
    ids = [(those, len({seen[at].case.patient for at in those if seen[at].case.patient})) for those in people.values()]
    of_one_name = [those for those, count in ids if 1 < count <= MOST_IDS]
    of_all = [those for those, count in ids if count > MOST_IDS]
    of_one_id = [those for those in patients.values() if len({seen[at].case.person for at in those if seen[at].case.person[0]}) > 1]
    of_doubles = [[at for patient in sorted(those) for at in patients.get(patient, ())] for those in doubled]
    for those in (*patients.values(), *of_one_name, *of_doubles):
        join(those)
    shared = [those for those in _places_of_each([one.each for one in seen]) if len({root(at) for at in those}) > 1]
    for those in shared:
        join(those)
    near = [(first, second) for first, second in _near(seen)]
    across = [(first, second) for first, second in near if root(first) != root(second)]
    against = [(first, second) for first, second in near if seen[first].case.labels != seen[second].case.labels]
    for pair in near:
        join(pair)
    if any(len(one.each) > 1 for one in seen):
        asked.append(Question(what="one series in two patients' cases", cases=_those(seen, shared), done="the two count as one patient"))
    asked += [
        Question(what="near-doubles", cases=_pairs(seen, near), done="kept, on one side of the split"),
        Question(what="near-doubles of two patients", cases=_pairs(seen, across), done="the two count as one patient"),
        Question(what="near-doubles under two labels", cases=_pairs(seen, against), done="kept: look at them"),
        Question(what="cases that name no patient", cases=nameless, done="EACH COUNTS AS A PATIENT: THE SPLIT MAY NOT BE BY PATIENT"),
        Question(what="two patients of one name and birth date", cases=_those(seen, of_one_name), done="they count as one"),
        Question(
            what=f"one name and birth date, more than {MOST_IDS} IDs", cases=_those(seen, of_all), done="each ID counts: nobody's name"
        ),
        Question(what="one patient ID, several names", cases=_those(seen, of_one_id), done="they count as one"),
    ]
    first_of = [root(at) for at in range(len(seen))]
    return [seen[at].case.patient or seen[at].case.name for at in first_of], not nameless


def _without_leaks(seen: Sequence[Seen], groups: Sequence[str], asked: list[Question]) -> tuple[list[Seen], list[str]]:
    """Of a group that a split of the data's own puts on several sides, those on the first of `OwnSide`: what is held out stays held out."""
    if not any(one.case.side for one in seen):
        return list(seen), list(groups)
    there: dict[str, set[OwnSide]] = {}
    for one, group in zip(seen, groups, strict=True):
        there.setdefault(group, set()).update({one.case.side} if one.case.side else ())
    first = {group: next(side for side in OwnSide if side in sides) for group, sides in there.items()}
    stay = [one.case.side is first[group] for one, group in zip(seen, groups, strict=True)]
    leaks = [one.case.name for one, stays in zip(seen, stay, strict=True) if not stays]
    asked.append(Question(what="of one group on two sides of the split", cases=leaks, done="those that learn or choose are left out"))
    return [one for one, stays in zip(seen, stay, strict=True) if stays], [
        group for group, stays in zip(groups, stay, strict=True) if stays
    ]


def _near(seen: Sequence[Seen]) -> list[tuple[int, int]]:
    """Pairs that are nearly the same picture."""
    found: list[tuple[int, int]] = []
    if not seen:
        return found
    hashes, small = np.stack([one.hash for one in seen]), np.stack([one.small for one in seen])
    for start in range(0, len(seen), _AT_ONCE):
        # products of matrices: of every image with all behind it, one after the other, ten thousand images took minutes
        alike = small[start : start + _AT_ONCE] @ small[start:].T
        first, other = (start + at for at in np.nonzero(np.triu(alike >= NEAR_ALIKE, 1)))
        near = np.count_nonzero(hashes[first] != hashes[other], axis=1) <= NEAR_BITS
        found += zip(first[near].tolist(), other[near].tolist(), strict=True)
    return found


def _refuse_few(table: LabelTable, seen: Sequence[Seen], groups: Sequence[str]) -> None:
    if table.units:
        if (count := len(set(groups))) < 2 * LEAST_PATIENTS:
            raise UnfitData(
                f"{count} patient{'' if count == 1 else 's'}, after what was left out: at least {2 * LEAST_PATIENTS} are needed to train, "
                "to choose and to hold out numbers. Add cases"
            )
        return
    few = []
    for at, code in enumerate(table.channels):
        # boxes are looked for in every image, and there may be none without
        for value in (True,) if table.exclusive or table.boxed else (True, False):
            count = len({group for one, group in zip(seen, groups, strict=True) if one.case.labels[at] is value})
            if count < LEAST_PATIENTS:
                said = f'class "{code.meaning}"' if table.exclusive or table.boxed else f'"{code.meaning}" {"yes" if value else "no"}'
                few.append(f"{said} has {count} patient{'' if count == 1 else 's'}")
    if few:
        raise UnfitData(
            f"{'; '.join(few)}, after what was left out: at least {LEAST_PATIENTS} of each are needed to train, to choose and to hold out. "
            "Add cases, join classes, or name other columns with --target"
        )


def _marks(table: LabelTable, seen: Sequence[Seen], asked: list[Question]) -> None:
    """Burned-in marks are told; where they go with a label, nothing else would be learned."""
    marked = np.array([one.marked for one in seen])
    cases = [one.case.name for one in seen if one.marked]
    what = "marks or text in the image"
    for at, code in enumerate(table.channels):
        labelled = np.array([one.case.labels[at] for one in seen])
        if table.units:
            _numbers_marked(code.meaning, labelled, marked, cases, asked)
            continue
        counts = [[int(np.count_nonzero((marked == mark) & (labelled == real))) for real in (True, False)] for mark in (True, False)]
        if float(fisher_exact(counts).pvalue) < _CHANCE:
            asked.append(Question(what=what, cases=cases, done="REFUSED: a label goes with them"))
            raise UnfitData(
                f"marks or text (Burned In Annotation, or letters in the pixels) stand in {counts[0][0]} of {counts[0][0] + counts[1][0]} "
                f'images with "{code.meaning}" and in {counts[0][1]} of {counts[0][1] + counts[1][1]} without: a network would learn the '
                "marks. Take these images out, or take such images that both kinds have them alike"
            )
    asked.append(Question(what=what, cases=cases, done="kept: no label goes with them"))


def _numbers_marked(
    name: str, numbers: NDArray[np.float64], marked: NDArray[np.bool_], cases: Sequence[str], asked: list[Question]
) -> None:
    if not marked.any() or marked.all() or float(mannwhitneyu(numbers[marked], numbers[~marked]).pvalue) >= _CHANCE:
        return
    asked.append(Question(what="marks or text in the image", cases=cases, done="REFUSED: a number goes with them"))
    raise UnfitData(
        f'marks or text (Burned In Annotation, or letters in the pixels) stand in {len(cases)} images, in which "{name}" is '
        f"{np.median(numbers[marked]):g} in the middle, and {np.median(numbers[~marked]):g} in the others: a network would learn the "
        "marks. Take these images out, or take such images that both kinds have them alike"
    )


def _far(table: LabelTable, seen: Sequence[Seen]) -> list[str]:
    """Numbers that lie far from all others, the farthest first: a slip of the point, another unit."""
    numbers = np.array([one.case.labels for one in seen])
    away = np.abs(numbers - np.median(numbers, axis=0)) / _spread(numbers)
    return _named_numbers(table, seen, away)


def _spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The deviation of each column by its median absolute one; where more than half are alike, the standard deviation."""
    by_median = np.asarray(median_abs_deviation(values, axis=0, scale="normal"))
    return np.where(by_median > 0, by_median, np.maximum(values.std(axis=0), 1e-12))


def _named_numbers(table: LabelTable, seen: Sequence[Seen], away: NDArray[np.float64]) -> list[str]:
    found = [
        (-float(away[row, at]), f'{one.case.name} ("{code.meaning}" {one.case.labels[at]:g} {unit.value})')
        for row, one in enumerate(seen)
        for at, (code, unit) in enumerate(zip(table.channels, table.units, strict=True))
        if away[row, at] > _FAR
    ]
    return [case for _, case in sorted(found)]


def _unlikely_numbers(table: LabelTable, seen: Sequence[Seen], fold: NDArray[np.int_]) -> list[str]:
    """Cases whose number a ridge regression of the others is far from, the farthest first."""
    features, numbers = np.stack([one.features for one in seen]), np.array([one.case.labels for one in seen])
    beside = np.zeros_like(numbers)
    for number in np.unique(fold):
        mine = fold == number
        if not mine.all():
            beside[mine] = numbers[mine] - ridge(features[~mine], numbers[~mine])(features[mine])
    return _named_numbers(table, seen, np.abs(beside) / _spread(beside))


def _outliers(table: LabelTable, seen: Sequence[Seen], groups: Sequence[str]) -> list[str]:
    """Cases whose label a model of the others, over brightness and texture, holds for unlikely, the least likely first."""
    fold = np.array([int(hashlib.sha256(group.encode()).hexdigest(), 16) % _FOLDS for group in groups])
    if table.units:
        return _unlikely_numbers(table, seen, fold)
    features, labels = np.stack([one.features for one in seen]), np.array([one.case.labels for one in seen], dtype=np.bool_)
    found: list[tuple[float, str]] = []
    for number in range(_FOLDS):
        mine = fold == number
        if not mine.any() or mine.all():
            continue
        probable = logistic(features[~mine], labels[~mine], table.exclusive)(features[mine])
        for one, row in zip([each for each, inside in zip(seen, mine, strict=True) if inside], probable, strict=True):
            for at, code in enumerate(table.channels):
                own = row[at] if one.case.labels[at] else 1 - row[at]
                if own < _UNLIKELY and (one.case.labels[at] or not table.exclusive):
                    real = "yes" if one.case.labels[at] else "no"
                    found.append((float(own), f'{one.case.name} ("{code.meaning}" {real}: {own:.3f})'))
    return [case for _, case in sorted(found)]


def _places(names: Sequence[str]) -> Mapping[str, list[int]]:
    places: dict[str, list[int]] = {}
    for at, name in enumerate(names):
        if name:
            places.setdefault(name, []).append(at)
    return places


def _places_of_each(images: Sequence[Sequence[str]]) -> list[list[int]]:
    """Of every image that several cases have, where they stand."""
    places: dict[str, list[int]] = {}
    for at, each in enumerate(images):
        for one in dict.fromkeys(each):
            places.setdefault(one, []).append(at)
    return [those for those in places.values() if len(those) > 1]


def _named(group: Sequence[Seen]) -> str:
    return " = ".join(one.case.name for one in group)


def _pairs(seen: Sequence[Seen], pairs: Sequence[tuple[int, int]]) -> list[str]:
    return [f"{seen[first].case.name} ~ {seen[second].case.name}" for first, second in pairs]


def _those(seen: Sequence[Seen], groups: Sequence[Sequence[int]]) -> list[str]:
    return [" = ".join(sorted({seen[at].case.name for at in those})) for those in groups]
