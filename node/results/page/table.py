"""Findings as a column of text beside the pictures: large where there is little, in close lines where there is much.

What has no room is counted, never dropped in silence.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from PIL import ImageDraw

from inference.codes import ABSENT, UNDETERMINED, Code
from inference.findings import Evaluation, Findings, Location, Measurement, Segment, of_image
from node.results.page.lettering import Colour, fitted, height, width, wrapped, write
from node.results.page.tiles import INK
from node.results.page.words import ENGLISH_PAGE, PageWords

WHITE, SOFT, FAINT, AMBER = (240, 242, 245), (176, 182, 192), (120, 127, 138), (255, 179, 48)

_VOLUMES = ("cm³", "mm³")
_NAMED = 3
"""Up to so many images that a number rests on are named."""
_MUCH = 19
"""Size of the letters of close lines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One finding.

    Attributes
    ----------
    colour
        Of its contour; None where it has none.
    number
        Under which it is drawn on the pictures; 0 where it is not.
    values
        (name, number with unit): what was measured.
    word
        A value that is no number ("Absent").
    answers
        (question, answer) in words, which may be long.
    details
        Where, how certain, on which image.
    earlier
        Values of an earlier study, each with its day ("1450 cm³ on 2025-03-04").
    """

    name: str
    colour: Colour | None = None
    number: int = 0
    values: Sequence[tuple[str, str]] = ()
    word: str = ""
    answers: Sequence[tuple[str, str]] = ()
    details: str = ""
    earlier: Sequence[str] = ()


def entries(
    findings: Findings, image_names: Sequence[str], absent: Sequence[tuple[str, str]], words: PageWords = ENGLISH_PAGE
) -> list[Entry]:
    """All that is said: evaluations first, then locations, segments, values of the whole, what was not found, and what else was made.

    Parameters
    ----------
    absent
        (what, where) was looked for and not found, in the language of `words`: undetermined where images are missing.
    """
    # what is there may not be left out for want of room where what is absent stands
    evaluations = sorted(findings.evaluations, key=lambda one: one.value == UNDETERMINED)
    listed = [_evaluation(one, image_names, words) for one in evaluations if one.value != ABSENT]
    located = [(one.point, _location(findings, number, one, image_names, words)) for number, one in enumerate(findings.locations, 1)]
    listed += [entry for point, entry in located if point is None]
    outlined = [_segment(findings, one, image_names, words) for one in findings.segments if one.has_voxels]
    whole = [
        entry
        for (total, indices), those in _of_the_whole(findings).items()
        for entry in _whole(words.total(total) if total else "", [image_names[index] for index in indices], those, words)
    ]
    # of a structure in each of many phases the page may not have room for more
    over_time = any(one.phase is not None for one in findings.segments)
    listed += [*whole, *outlined] if over_time else [*outlined, *whole]
    listed += [entry for point, entry in located if point is not None]
    # another like it was found, or may be there: only the mask is empty
    without = {what for what, _ in absent}
    listed += [
        replace(_segment(findings, one, image_names, words), colour=None, word=words.outlined_none)
        for one in findings.segments
        if not one.has_voxels and words.structure(one) not in without
    ]
    listed += [_sought(findings, what, where, words) for what, where in absent]
    listed += [_evaluation(one, image_names, words) for one in evaluations if one.value == ABSENT]
    listed += list(_made(findings, words))
    return listed or [Entry(name=words.undetermined if findings.cut else words.nothing)]


def draw_entries(draw: ImageDraw.ImageDraw, listed: Sequence[Entry], area: tuple[float, float, float, float], words: PageWords) -> float:
    """Draw entries into (left, top, right, bottom); returns where the next line may stand."""
    left, top, right, bottom = area
    draws: Sequence[Callable[..., float]] = (_large, _close)
    for draw_one in draws:
        if top + sum(draw_one(None, one, left, right, 0.0) for one in listed) <= bottom:
            break
    y = top
    for done, one in enumerate(listed):
        needed = draw_one(None, one, left, right, 0.0)
        last = done == len(listed) - 1
        if y + needed + (0 if last else height(_MUCH)) > bottom:
            left_out = len(listed) - done
            write(draw, (left, y), words.more(left_out), _MUCH, AMBER)
            return y + height(_MUCH)
        y = draw_one(draw, one, left, right, y)
    return y


def _of_the_whole(findings: Findings) -> dict[tuple[Code | None, tuple[int, ...]], list[Measurement]]:
    """What is of no single segment and no location, by what it is the total of, and by the images that it rests on."""
    found: dict[tuple[Code | None, tuple[int, ...]], list[Measurement]] = {}
    for one in findings.measurements:
        if one.segment is None and one.location is None:
            found.setdefault((one.total, one.images), []).append(one)
    return found


def _whole(total: str, images: Sequence[str], those: Sequence[Measurement], words: PageWords) -> list[Entry]:
    """Numbers of several segments, of all that was analysed, or of some images: of many of these each number by its own name."""
    if total or len(images) <= _NAMED:
        return [
            Entry(
                name=total or ", ".join(images) or words.whole,
                values=[words.measured(one) for one in those],
                earlier=_earlier(those, words),
            )
        ]
    named = [(one, *words.measured(one)) for one in those]
    return [
        Entry(name=name, values=[("", said)], details=words.images(len(images)), earlier=_earlier([one], words))
        for one, name, said in named
    ]


def _evaluation(one: Evaluation, image_names: Sequence[str], words: PageWords) -> Entry:
    on = [image_names[index] for index in one.images] if len(one.images) < 3 else [words.images(len(one.images))]
    frames = words.frames(one.span.first, one.span.last) if one.span else ""
    # beside Absent a number would be read as that of absence: it stands in the sentence alone
    probable = "" if one.probability is None or one.value == ABSENT else words.probable(one.finding, one.probability)
    details = _joined(words.place(one.laterality, one.finding_site), ", ".join(on), frames, probable)
    return Entry(name=words.term(one.finding), word=words.value(one.value), details=details)


def _sought(findings: Findings, what: str, where: str, words: PageWords) -> Entry:
    if findings.cut:
        return Entry(name=what, word=words.value(UNDETERMINED))
    return Entry(name=what, word=words.none_found, details=words.searched(where))


def _location(findings: Findings, number: int, one: Location, image_names: Sequence[str], words: PageWords) -> Entry:
    values = [words.measured(each) for each in findings.measurements if each.location == one.label]
    return Entry(
        name=words.term(one.finding),
        number=number,
        values=values,
        answers=[(words.term(each.name), words.quality(each.value)) for each in one.qualities],
        word="" if one.point is None else words.term(one.point.purpose),
        details=_joined(image_names[one.image], words.place(one.laterality, one.finding_site), words.sure(one.certainty)),
    )


def _segment(findings: Findings, one: Segment, image_names: Sequence[str], words: PageWords) -> Entry:
    those = [each for each in findings.measurements if each.segment == one.label]
    values = [words.measured(each) for each in those]
    structure, on = one, ""
    if one.image is not None:
        # the image is told by its own name
        structure, on = replace(one, label=one.label.removesuffix(of_image("", one.image))), image_names[one.image]
    details = _joined(on, words.sure(one.certainty))
    return Entry(name=words.structure(structure), colour=one.rgb, values=values, details=details, earlier=_earlier(those, words))


def _made(findings: Findings, words: PageWords) -> Iterator[Entry]:
    for saliency in findings.saliencies:
        yield Entry(name=words.shown_map(saliency.label), details=words.term(saliency.quantity))
    for derived in findings.derived:
        name, details = words.new_series(derived.label, derived.derivation, of_prior=derived.of_prior)
        yield Entry(name=name, details=details)
    if findings.registration is not None:
        name, details = words.aligned
        yield Entry(name=name, details=details)
    if findings.deformation is not None:
        name, details = words.bent
        yield Entry(name=name, details=details)


def _earlier(those: Sequence[Measurement], words: PageWords) -> list[str]:
    """Earlier values, by name where there are several to choose from."""
    return [words.earlier(one, words.measured(one)[0] if len(those) > 1 else "") for one in those if one.earlier is not None]


def _joined(*parts: str, between: str = " · ") -> str:
    return between.join(part for part in parts if part)


def _large(draw: ImageDraw.ImageDraw | None, one: Entry, left: float, right: float, y: float) -> float:
    """A name, below it each value in large digits; returns y of the next (without `draw` nothing is drawn: its height)."""
    x = _named(draw, one, left, right, y, 24)
    y += 38
    for name, large in [*one.values, *([("", one.word)] if one.word else [])]:
        for line in wrapped(name, 18, right - x, 2):
            if draw:
                write(draw, (x, y), line, 18, SOFT)
            y += 26
        if draw:
            write(draw, (x, y), fitted(large, 34, right - x), 34, WHITE)
        y += 50
    for name, answer in one.answers:
        for line, size, colour in [(name, 18, SOFT), *((line, 22, WHITE) for line in wrapped(answer, 22, right - x, 3))]:
            if draw:
                write(draw, (x, y), line, size, colour)
            y += height(size)
        y += 8
    y = _before(draw, one, x, right, y, 20)
    for line in wrapped(one.details, 18, right - x, 2):
        if draw:
            write(draw, (x, y), line, 18, SOFT)
        y += height(18)
    return y + 20


def _close(draw: ImageDraw.ImageDraw | None, one: Entry, left: float, right: float, y: float) -> float:
    """A name with its one value at the right, more values below it, details in small letters."""
    alone = one.word or (one.values[0][1] if len(one.values) == 1 else "")
    room = width(alone, _MUCH) + 14 if alone else 0.0
    x = _named(draw, one, left, right - room, y, _MUCH)
    if draw and alone:
        write(draw, (right, y), alone, _MUCH, WHITE, align=1)
    y += height(_MUCH)
    for name, large in one.values if not alone else ():
        if draw:
            taken = write(draw, (right, y), large, 17, WHITE, align=1)
            write(draw, (x, y), fitted(name, 17, right - x - taken - 14), 17, SOFT)
        y += height(17)
    for name, answer in one.answers:
        # the longer ones speak for themselves
        beside = width(name, 17) + 14 + width(answer, 17) <= right - x
        if draw and beside:
            write(draw, (x, y), name, 17, SOFT)
        for line in wrapped(answer, 17, right - x, 2):
            if draw:
                write(draw, (right, y), line, 17, WHITE, align=1)
            y += height(17)
    y = _before(draw, one, x, right, y, 16)
    # a volume is known by its unit
    named = one.values[0][0] if len(one.values) == 1 and not one.values[0][1].endswith(_VOLUMES) else ""
    details = _joined(named, one.details)
    if details:
        if draw:
            write(draw, (x, y), fitted(details, 16, right - x), 16, FAINT)
        y += height(16)
    return y + 4


def _before(draw: ImageDraw.ImageDraw | None, one: Entry, left: float, right: float, y: float, size: int) -> float:
    """The earlier values, on lines of their own; returns y of the next."""
    for said in one.earlier:
        for line in wrapped(said, size, right - left, 2):
            if draw:
                write(draw, (left, y), line, size, SOFT)
            y += height(size)
    return y


def _named(draw: ImageDraw.ImageDraw | None, one: Entry, left: float, right: float, y: float, size: int) -> float:
    """The name behind its colour or number; returns where it begins."""
    x = left + (size + 8 if one.colour or one.number else 0)
    if draw is None:
        return x
    if one.colour:
        draw.rounded_rectangle((left, y + size * 0.25, left + size * 0.8, y + size * 1.05), radius=4, fill=one.colour)
    if one.number:
        write(draw, (left + size * 0.4, y), str(one.number), size, INK, align=0.5, bold=True)
    write(draw, (x, y), fitted(one.name, size, right - x), size, WHITE)
    return x
