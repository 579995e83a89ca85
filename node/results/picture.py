"""The page for people: key slices with contours, what was measured, which model said so, and that nobody has verified it."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

from PIL import Image, ImageDraw

from inference.codes import ABSENT, Code
from inference.findings import Evaluation, Findings, Measurement, Segment
from inference.imaging.volume import Volume
from node.results.lettering import Colour, fitted, height, width, wrapped, write
from node.results.panels import View, Window, crop_of, key_slices, panel, view_of, window_of

WIDTH, HEIGHT = 1600, 1200
NOTICE = "RESEARCH - NOT FOR DIAGNOSIS"
STANDING = "preliminary · not verified by a person"

_MARGIN, _GAP = 36, 12
_HEADER, _FOOTER, _COLUMN, _CORNER = 132, 64, 424, 320
_PAPER, _BLACK, _FRAME = (16, 18, 22), (0, 0, 0), (44, 48, 56)
_WHITE, _SOFT, _FAINT = (240, 242, 245), (176, 182, 192), (120, 127, 138)
_AMBER, _LETTERS = (255, 179, 48), (214, 222, 235)

_UNITS = {"cm3": "cm³", "mm3": "mm³", "mm2": "mm²", "cm2": "cm²", "[hnsf'U]": "HU", "1": ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The words on a page.

    Attributes
    ----------
    title, subtitle
        What was analysed, and by what.
    source
        Which images, in one line.
    provenance
        (name, value) lines below the findings.
    image_names
        What people call each slice of the volume ("image 143"); its place in the volume when empty.
    notice
        The words of the footer.
    """

    title: str
    subtitle: str = ""
    source: str = ""
    provenance: Sequence[tuple[str, str]] = ()
    image_names: Sequence[str] = ()
    notice: str = NOTICE


def overlay_png(volume: Volume, findings: Findings, *, title: str) -> bytes:
    """The page as a PNG, for those who have the volume and the findings at hand and no headers."""
    z, y, x = volume.voxels.shape
    dz, dy, dx = volume.spacing_mm
    page = Page(
        title=title,
        source=f"{volume.modality} · {z} slices",
        provenance=(("images", f"{x} × {y} × {z} voxels of {dx:.2f} × {dy:.2f} × {dz:.2f} mm"),),
    )
    file = BytesIO()
    draw_page(volume, findings, page).save(file, "PNG", optimize=False)
    return file.getvalue()


def draw_page(volume: Volume, findings: Findings, page: Page) -> Image.Image:
    """Draw the page in RGB; the same arguments give the same pixels."""
    image = Image.new("RGB", (WIDTH, HEIGHT), _PAPER)
    draw = ImageDraw.Draw(image)
    window = window_of(volume, findings.segments)
    _header(draw, page)
    _slices(image, draw, volume, findings.segments, window, page)
    _column(draw, findings, page, window)
    _footer(draw, page)
    return image


def _header(draw: ImageDraw.ImageDraw, page: Page) -> None:
    """In the middle: viewers write over all four corners."""
    room, middle = WIDTH - 2 * _CORNER, WIDTH / 2
    write(draw, (middle, 18), fitted(page.title, 38, room), 38, _WHITE, align=0.5)
    write(draw, (middle, 66), fitted(page.source, 21, room), 21, _SOFT, align=0.5)
    write(draw, (middle, 94), fitted(page.subtitle, 18, room), 18, _FAINT, align=0.5)


def _slices(image: Image.Image, draw: ImageDraw.ImageDraw, volume: Volume, segments: Sequence[Segment], window: Window, page: Page) -> None:
    """The key slices in a grid, all in one scale, as large as the page allows."""
    view, chosen = view_of(volume), key_slices(volume, segments)
    crop = crop_of(volume, segments, view, chosen)
    down_mm = (crop[0].stop - crop[0].start) * view.spacing_mm[0]
    right_mm = (crop[1].stop - crop[1].start) * view.spacing_mm[1]
    area = (WIDTH - 2 * _MARGIN - _COLUMN - 2 * _GAP, HEIGHT - _HEADER - _FOOTER - 2 * _GAP)
    columns, scale = _grid(len(chosen), area, right_mm, down_mm)
    rows = -(-len(chosen) // columns)
    cell = ((area[0] - (columns - 1) * _GAP) / columns, (area[1] - (rows - 1) * _GAP) / rows)
    size = (max(round(right_mm * scale), 1), max(round(down_mm * scale), 1))
    for place, z in enumerate(chosen):
        left = _MARGIN + (place % columns) * (cell[0] + _GAP)
        top = _HEADER + (place // columns) * (cell[1] + _GAP)
        box = (round(left), round(top), round(left + cell[0]), round(top + cell[1]))
        draw.rectangle(box, fill=_BLACK)
        at = (round(left + (cell[0] - size[0]) / 2), round(top + (cell[1] - size[1]) / 2))
        image.paste(panel(volume, segments, view, window, crop, z, size), at)
        draw.rectangle(box, outline=_FRAME)
        name = page.image_names[z] if page.image_names else f"slice {z + 1} of {len(volume.sources)}"
        _mark(draw, box, view, name, scale)


def _grid(count: int, area: tuple[float, float], right_mm: float, down_mm: float) -> tuple[int, float]:
    """How many columns give the largest images, and their scale in pixels per mm."""
    best = (1, 0.0)
    for columns in range(1, count + 1):
        rows = -(-count // columns)
        across = (area[0] - (columns - 1) * _GAP - 4) / columns / right_mm
        along = (area[1] - (rows - 1) * _GAP - 4) / rows / down_mm
        if min(across, along) > best[1]:
            best = (columns, min(across, along))
    return best


def _mark(draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], view: View, name: str, scale: float) -> None:
    """Letters at the four edges, the image's name, and a scale."""
    left, top, right, bottom = box
    middle_x, middle_y = (left + right) / 2, (top + bottom) / 2
    write(draw, (left + 10, middle_y - 12), view.left, 22, _LETTERS, seam=2)
    write(draw, (right - 10, middle_y - 12), view.right, 22, _LETTERS, align=1, seam=2)
    write(draw, (middle_x, top + 6), view.top, 22, _LETTERS, align=0.5, seam=2)
    write(draw, (middle_x, bottom - 34), view.bottom, 22, _LETTERS, align=0.5, seam=2)
    write(draw, (left + 10, bottom - 30), name, 18, _SOFT, seam=2)
    length_mm = next((mm for mm in (100, 50, 20, 10, 5, 2, 1) if mm * scale < (right - left) / 3.2), 1)
    start, y = right - 12 - length_mm * scale, bottom - 10
    draw.line((start, y, right - 12, y), fill=_SOFT, width=2)
    for x in (start, right - 12):
        draw.line((x, y - 4, x, y + 1), fill=_SOFT, width=2)
    write(draw, (right - 12, y - 25), f"{length_mm // 10} cm" if length_mm >= 10 else f"{length_mm} mm", 16, _SOFT, align=1, seam=2)


def _column(draw: ImageDraw.ImageDraw, findings: Findings, page: Page, window: Window) -> None:
    """Findings, remarks and provenance; what does not fit is said to be missing, never dropped in silence."""
    left, right = WIDTH - _MARGIN - _COLUMN + 16, WIDTH - _MARGIN
    provenance = [*page.provenance, *([("window", window.name)] if window.name else [])]
    remarks = [line for remark in findings.remarks for line in wrapped(remark, 19, right - left - 20, 4)]
    tail = 34 + height(19) * len(remarks) if remarks else 0
    lines = [line for name, value in provenance for line in _lines(name, wrapped(value, 17, right - left - 104, 3))]
    lower = HEIGHT - _FOOTER - 2 * _GAP - 16 - len(lines) * height(17)
    y = _rows(draw, findings, left, right, lower - tail - 20)
    if remarks:
        y += 14
        write(draw, (left, y), "Please note", 19, _AMBER)
        y += 30
        for line in remarks:
            write(draw, (left, y), line, 19, _WHITE)
            y += height(19)
    draw.line((left, lower - 12, right, lower - 12), fill=_FRAME, width=1)
    for name, line in lines:
        write(draw, (left, lower), name, 17, _FAINT)
        write(draw, (left + 104, lower), line, 17, _SOFT)
        lower += height(17)


def _lines(name: str, parts: Sequence[str]) -> list[tuple[str, str]]:
    return [(name if number == 0 else "", part) for number, part in enumerate(parts)]


def _rows(draw: ImageDraw.ImageDraw, findings: Findings, left: float, right: float, lowest: float) -> float:
    """One block a segment, then what is said of the series, then the evaluations; returns where the next line may stand."""
    y = float(_HEADER)
    blocks = _blocks(findings)
    for number, block in enumerate(blocks):
        if y + block.height > lowest and number < len(blocks):
            write(draw, (left, y), f"and {len(blocks) - number} more findings: see the report", 19, _AMBER)
            return y + height(19)
        y = block.draw(draw, left, right, y)
    return y


@dataclass(frozen=True, slots=True, kw_only=True)
class _Block:
    """A finding on the page: its name, with the colour of its contour, and its values (name, large, small)."""

    name: str
    colour: Colour | None
    values: Sequence[tuple[str, str, str]]

    @property
    def height(self) -> float:
        return 40 + sum(78 if name else 52 for name, _, _ in self.values) + 18

    def draw(self, draw: ImageDraw.ImageDraw, left: float, right: float, y: float) -> float:
        x = left
        if self.colour:
            draw.rounded_rectangle((left, y + 4, left + 20, y + 24), radius=4, fill=self.colour)
            x += 32
        write(draw, (x, y), fitted(self.name, 24, right - x), 24, _WHITE)
        y += 40
        for name, large, small in self.values:
            if name:
                write(draw, (x, y), fitted(name, 18, right - x), 18, _SOFT)
                y += 26
            done = write(draw, (x, y), fitted(large, 34, right - x), 34, _WHITE)
            if small and x + done + 14 + width(small, 19) < right:
                write(draw, (x + done + 14, y + 14), small, 19, _FAINT)
            y += 52
        return y + 18


def _blocks(findings: Findings) -> list[_Block]:
    blocks = []
    for segment in findings.segments:
        values = [_value(one) for one in findings.measurements if one.segment == segment.label]
        present = bool(segment.mask.any())
        if not present:
            values = [("", "nothing found", ""), *values]
        blocks.append(_Block(name=_sentence(segment.label), colour=segment.rgb if present else None, values=values))
    series = [_value(one) for one in findings.measurements if one.segment is None]
    if series:
        blocks.append(_Block(name="Whole series", colour=None, values=series))
    blocks += [_evaluation(one) for one in findings.evaluations]
    return blocks or [_Block(name="No findings", colour=None, values=())]


def _evaluation(one: Evaluation) -> _Block:
    site = f" · {one.finding_site.meaning}" if one.finding_site else ""
    word = "Absent" if one.value == ABSENT else one.value.meaning
    return _Block(name=f"{one.finding.meaning}{site}", colour=None, values=[("", word, "")])


def _value(one: Measurement) -> tuple[str, str, str]:
    name = f"{one.derivation.meaning} {one.name.meaning.lower()}" if one.derivation else one.name.meaning
    if one.unit.value == "cm3":
        # people read millilitres; the report says cubic centimetres, which its context group knows
        return name, f"{_number(one.value)} mL", f"= {_number(one.value)} cm³"
    return name, f"{_number(one.value)} {_unit(one.unit)}".strip(), ""


def _unit(unit: Code) -> str:
    return _UNITS.get(unit.value, unit.value)


def _number(value: float) -> str:
    """Four significant digits, at least the whole part: a picture is no place for more."""
    magnitude = abs(value)
    decimals = 0 if magnitude >= 1000 else 1 if magnitude >= 100 else 2 if magnitude >= 1 or magnitude == 0 else 4
    return f"{value:.{decimals}f}" if magnitude else "0"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _footer(draw: ImageDraw.ImageDraw, page: Page) -> None:
    top = HEIGHT - _FOOTER
    draw.rectangle((0, top, WIDTH, HEIGHT), fill=_AMBER)
    total = width(page.notice, 27) + 24 + width(STANDING, 22)
    x = (WIDTH - total) / 2
    x += write(draw, (x, top + 15), page.notice, 27, _BLACK) + 24
    write(draw, (x, top + 19), STANDING, 22, (60, 40, 0))
