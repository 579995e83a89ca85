"""The page for people: pictures of what was found, what was measured, which model said so, and that nobody has verified it."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from io import BytesIO

from PIL import Image, ImageDraw

from inference.findings import Findings
from inference.imaging import subject as subjects
from inference.imaging.subject import Cine, Images, Phases, Subject, VolumeSet, images_in, prior_in
from inference.imaging.volume import Volume
from node.results.page.figures import Figure, cine_figure, images_figure, pair_figure, phase_figure, volume_figure
from node.results.page.lettering import Colour, fitted, height, width, wrapped, write
from node.results.page.table import AMBER, FAINT, SOFT, WHITE, draw_entries, entries
from node.results.page.tiles import BLACK, FRAME, lay
from node.results.page.words import ENGLISH_PAGE, PageWords

WIDTH, HEIGHT = 1600, 1200
NOTICE = ENGLISH_PAGE.notice("RESEARCH")

_MARGIN, _GAP = 36, 12
_HEADER, _FOOTER, _CORNER = 132, 64, 320
COLUMN = 424
"""Width of the column of text."""
_PAPER, _DARK = (16, 18, 22), (60, 40, 0)
REMARKS = 8
"""Lines of remarks that findings leave room for; where they need less, there are more."""
_LONGEST_CAUTION, _LONGEST_CONCLUSION = 3, 4
"""Lines of one caution, and of the conclusion: what has no room even then is in every report."""
_LEAD = 23
"""Size of their letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The words on a page.

    Attributes
    ----------
    title, subtitle
        What was analysed, and by what.
    conclusion
        What was found, in sentences that stand alone; none where nobody has said it.
    source
        Which images, in one line.
    provenance
        (name, value) lines below the findings.
    image_names
        What people call each slice, image or frame ("image 143"); its place in the subject when empty.
    absent
        (what, where) was looked for and not found; of the segments of the findings where nobody says more.
    notice
        The words of the footer.
    words
        The language of all else.
    """

    title: str
    subtitle: str = ""
    conclusion: Sequence[str] = ()
    source: str = ""
    provenance: Sequence[tuple[str, str]] = ()
    image_names: Sequence[str] = ()
    absent: Sequence[tuple[str, str]] | None = None
    notice: str = NOTICE
    words: PageWords = ENGLISH_PAGE


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """A page in RGB, and the indices of the source images on it."""

    image: Image.Image
    images: Sequence[int] = field(default_factory=tuple)


def overlay_png(subject: Subject, findings: Findings, *, title: str, subtitle: str = "") -> bytes:
    """The page as a PNG, for those who have the subject and the findings at hand and no headers."""
    page = Page(
        title=title, subtitle=subtitle, source=f"{subject.modality} · {counted(subject)}", provenance=(("images", extent(subject)),)
    )
    file = BytesIO()
    draw_page(subject, findings, page).image.save(file, "PNG", optimize=False)
    return file.getvalue()


def draw_page(subject: Subject, findings: Findings, page: Page) -> Drawn:
    """Draw the page; the same arguments give the same pixels."""
    image, draw, (left, top, right, bottom) = sheet(page)
    names = page.image_names or [f"{_noun(subject)} {number} of {images_in(subject)}" for number in range(1, images_in(subject) + 1)]
    figure = figure_of(subject, findings, names)
    top = _concluded(draw, findings, page, (left, top, right))
    tiles = [replace(tile, name=page.words.sentence(tile.name)) for tile in figure.tiles]
    lay(image, tiles, (left, top, right - COLUMN - 2 * _GAP, bottom), columns=figure.columns)
    _column(draw, findings, page, names, figure.notes, top)
    return Drawn(image=image, images=figure.images)


def sheet(page: Page) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[int, int, int, int]]:
    """A page with its header and footer, and the area (left, top, right, bottom) that is free for what it is about."""
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    _header(draw, page)
    _footer(draw, page)
    return image, draw, (_MARGIN, _HEADER, WIDTH - _MARGIN, HEIGHT - _FOOTER - 2 * _GAP)


def figure_of(subject: Subject, findings: Findings, names: Sequence[str]) -> Figure:
    """The pictures of any subject."""
    match subject:
        case Volume():
            return volume_figure(subject, findings, names)
        case VolumeSet():
            prior = None if subject.motions else prior_in(subject)
            if prior is None:
                return volume_figure(subject.reference, findings, names)
            return pair_figure(subject.reference, prior, findings, names)
        case Phases():
            return phase_figure(subject, findings, names)
        case Images():
            return images_figure(subject, findings, names)
        case Cine():
            return cine_figure(subject, findings, names)


def counted(subject: Subject, words: PageWords = ENGLISH_PAGE) -> str:
    """How many images were analysed."""
    return words.counted(images_in(subject), _noun(subject))


def extent(subject: Subject, *, words: bool = True) -> str:
    """The grid that was analysed, columns first, with its spacing where the images have one; without `words` in numbers and units alone."""
    match subject:
        case Volume() | VolumeSet():
            volume = subject.reference if isinstance(subject, VolumeSet) else subject
            z, y, x = volume.voxels.shape
            _, dy, dx = volume.spacing_mm
            # in unequal steps: from the least to the largest
            dz = "-".join(dict.fromkeys(f"{step:.2f}" for step in volume.apart_mm))
            return f"{x} × {y} × {z}{' voxels of ' if words else ', '}{dx:.2f} × {dy:.2f} × {dz} mm"
        case Phases():
            return f"{len(subject)} × {extent(subject.reference, words=words)}"
        case Images():
            sizes = list(dict.fromkeys(_size(image, words) for image in subject.images))
            return "; ".join([*sizes[:3], *(["…"] if len(sizes) > 3 else [])])
        case Cine():
            seconds = f", {subject.times_s[-1]:.2f} s" if subject.times_s is not None else ""
            return f"{subject.frames.shape[2]} × {subject.frames.shape[1]}{' pixels' if words else ''}{seconds}"


def _size(image: subjects.Image, words: bool) -> str:
    rows, columns = image.pixels.shape[:2]
    if image.spacing_mm is None or (not words and not image.calibrated):
        return f"{columns} × {rows}{' pixels' if words else ''}"
    pitch = f"{image.spacing_mm[1]:.3g} × {image.spacing_mm[0]:.3g} mm"
    return (
        f"{columns} × {rows} pixels of {pitch}{'' if image.calibrated else ' at the detector'}" if words else f"{columns} × {rows}, {pitch}"
    )


def _noun(subject: Subject) -> str:
    return "frame" if isinstance(subject, Cine) else "image" if isinstance(subject, Images) else "slice"


def _header(draw: ImageDraw.ImageDraw, page: Page) -> None:
    """In the middle: viewers write over all four corners."""
    room, middle = WIDTH - 2 * _CORNER, WIDTH / 2
    write(draw, (middle, 16), fitted(page.title, 36, room), 36, WHITE, align=0.5)
    write(draw, (middle, 64), fitted(page.source, 21, room), 21, SOFT, align=0.5)
    write(draw, (middle, 94), fitted(page.subtitle, 18, room), 18, FAINT, align=0.5)


def _column(
    draw: ImageDraw.ImageDraw, findings: Findings, page: Page, names: Sequence[str], notes: Sequence[tuple[str, str]], top: int
) -> None:
    """Findings, remarks and provenance."""
    left, right = WIDTH - _MARGIN - COLUMN + 16, WIDTH - _MARGIN
    words = page.words
    provenance = [(words.heads.get(name, name), words.sentence(value)) for name, value in (*page.provenance, *notes)]
    remarks = [line for remark in findings.remarks for line in wrapped(words.sentence(remark), 18, right - left, 6)]
    tail = 44 + height(18) * min(len(remarks), REMARKS) if remarks else 0
    lines = [line for name, value in provenance for line in _lines(name, wrapped(value, 16, right - left - 96, 3))]
    lower = HEIGHT - _FOOTER - 2 * _GAP - 16 - len(lines) * height(16)
    absent = [(words.structure(one), "") for one in findings.segments if not one.has_voxels] if page.absent is None else page.absent
    y = draw_entries(draw, entries(findings, names, absent, words), (left, top, right, lower - tail - 20), words)
    if remarks:
        write(draw, (left, y + 12), words.note, 19, AMBER)
        y += 12 + height(19) + 2
        room = int((lower - 20 - y) // height(18))
        for line in remarks if len(remarks) <= room else [*remarks[: room - 1], words.more_remarks]:
            write(draw, (left, y), line, 18, WHITE)
            y += height(18)
    draw.line((left, lower - 10, right, lower - 10), fill=FRAME, width=1)
    for name, line in lines:
        write(draw, (left, lower), name, 16, FAINT)
        write(draw, (left + 96, lower), line, 16, SOFT)
        lower += height(16)


def _concluded(draw: ImageDraw.ImageDraw, findings: Findings, page: Page, place: tuple[int, int, int]) -> int:
    """What a reader must know first, and what was found, over all of (left, top, right); returns where the pictures may begin."""
    left, y, right = place
    said: list[tuple[str, Colour, int]] = [
        (page.words.sentence(caution.sentence), AMBER, _LONGEST_CAUTION) for caution in findings.cautions
    ]
    said += [(_whole_sentences(page.conclusion, right - left, page.words.between), WHITE, _LONGEST_CONCLUSION)] if page.conclusion else []
    for sentence, colour, most in said:
        for line in wrapped(sentence, _LEAD, right - left, most):
            write(draw, (left, y), line, _LEAD, colour)
            y += height(_LEAD)
        y += 6
    return y + _GAP if said else y


def _whole_sentences(sentences: Sequence[str], room: float, between: str) -> str:
    """As many of them as have room, and a mark that there are more: half a sentence may say something else than all of it."""
    for count in range(len(sentences), 1, -1):
        said = between.join([*sentences[:count], *(["…"] if count < len(sentences) else [])])
        if len(wrapped(said, _LEAD, room, _LONGEST_CONCLUSION + 1)) <= _LONGEST_CONCLUSION:
            return said
    return sentences[0] if len(sentences) == 1 else f"{sentences[0]} …"


def _lines(name: str, parts: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if number == 0 else "", part) for number, part in enumerate(parts)]


def _footer(draw: ImageDraw.ImageDraw, page: Page) -> None:
    top = HEIGHT - _FOOTER
    draw.rectangle((0, top, WIDTH, HEIGHT), fill=AMBER)
    x = (WIDTH - width(page.notice, 26, bold=True) - 24 - width(page.words.standing, 22)) / 2
    x += write(draw, (x, top + 13), page.notice, 26, BLACK, bold=True) + 24
    write(draw, (x, top + 16), page.words.standing, 22, _DARK)
