"""Pages of a PDF: lines of text of any script that the fonts have, tables, pictures, and a footer on each page.

reportlab draws them: it embeds the glyphs that are used (subsets of TrueType fonts), and writes the same bytes for the same pages.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import lru_cache, partial
from io import BytesIO
from typing import Any

from PIL import Image
from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from node.results.page.lettering import Face, folded, runs, shown

WIDTH, HEIGHT = 595.28, 841.89
"""A4, in points."""
MARGIN = 48.0
INK, SOFT, RULE, TINT, NOTICE = (0.09, 0.1, 0.12), (0.38, 0.41, 0.45), (0.8, 0.82, 0.85), (0.955, 0.96, 0.97), (1.0, 0.7, 0.19)

_FOOT = 52.0
_LEADING = 1.42
_SHORT = 0.35
"""Of a page's height: a last page with less on it is one that nobody needed."""

Colour = tuple[float, float, float]


class Pages:
    """A document that grows downwards; when it is finished, every page gets its footer."""

    def __init__(self) -> None:
        self._pages: list[list[Callable[[Canvas], None]]] = [[]]
        self._y = HEIGHT - MARGIN

    @property
    def room(self) -> float:
        """Width between the margins."""
        return WIDTH - 2 * MARGIN

    @property
    def ends_short(self) -> bool:
        """Whether the last of several pages holds next to nothing."""
        return len(self._pages) > 1 and HEIGHT - MARGIN - self._y < _SHORT * (HEIGHT - 2 * MARGIN - _FOOT)

    def space(self, points: float) -> None:
        """Leave room."""
        self._y -= points

    def keep(self, points: float) -> None:
        """Begin a page unless so much still fits on this one."""
        if self._y - points < MARGIN + _FOOT:
            self._pages.append([])
            self._y = HEIGHT - MARGIN

    def line(self, text: str, size: float, *, bold: bool = False, colour: Colour = INK, indent: float = 0.0, mark: str = "") -> None:
        """A paragraph, folded into lines; `mark` stands before its first, in the indentation."""
        lines = list(folded(text, lambda part: width(part, size, bold=bold), self.room - indent))
        for number, line in enumerate(lines):
            # neither the first line of a paragraph alone at a foot nor its last alone at a head
            together = 2 if number == 0 and len(lines) > 1 else 2 if number == len(lines) - 2 else 1
            self.keep(size * _LEADING * (3 if number == 0 and len(lines) == 3 else together))
            self._y -= size * _LEADING
            if mark and number == 0:
                self._draw(partial(_write, MARGIN + indent - width(mark, size) - 5, self._y + size * 0.35, mark, size, False, colour))
            self._draw(partial(_write, MARGIN + indent, self._y + size * 0.35, line, size, bold, colour))

    def heading(self, text: str, *, below: float = 29.0) -> None:
        """A heading with a rule below it, never alone at the foot of a page: `below` of what follows stands there too."""
        self.keep(35 + below)
        self.space(12)
        self.line(text, 12.5, bold=True)
        self._draw(partial(_rule, self._y - 1))
        self.space(5)

    def picture(self, image: Image.Image, breadth: float) -> None:
        """A picture between the margins."""
        tall = breadth * image.height / image.width
        self.keep(tall + 8)
        self._y -= tall
        self._draw(partial(_picture, image, MARGIN + (self.room - breadth) / 2, self._y, breadth, tall))
        self.space(8)

    def table(self, rows: Sequence[Sequence[str]], shares: Sequence[float], size: float, *, head: bool = False, heading: str = "") -> None:
        """Rows of cells; `shares` of the breadth for each column; below a heading, where one is given.

        The first row is a head where `head` says so: it stands above every page's part of the table. No row is alone on a page.
        """
        breadths = [share * self.room - 10 for share in shares]
        folded_rows = [
            [_folded_cell(cell, size, head and number == 0, breadth) for cell, breadth in zip(row, breadths, strict=True)]
            for number, row in enumerate(rows)
        ]
        tall = [max(map(len, cells)) * size * _LEADING + 5 for cells in folded_rows]
        first, last = (1 if head else 0), len(rows) - 1
        if heading:
            self.heading(heading, below=sum(tall[: first + 2]))
        self.keep(sum(tall[: first + 2]))
        for number, cells in enumerate(folded_rows):
            page = len(self._pages)
            self.keep(sum(tall[number:]) if number == last - 1 else tall[number])
            if head and number >= first and len(self._pages) > page:
                self._row(folded_rows[0], tall[0], shares, size, bold=True)
            self._row(cells, tall[number], shares, size, bold=head and number == 0)

    def _row(self, cells: Sequence[Sequence[str]], tall: float, shares: Sequence[float], size: float, *, bold: bool) -> None:
        if bold:
            self._draw(partial(_box, self._y - tall, tall))
        left = MARGIN
        for share, cell in zip(shares, cells, strict=True):
            for place, line in enumerate(cell):
                baseline = self._y - 2.5 - (place + 1) * size * _LEADING + size * 0.4
                self._draw(partial(_write, left + 5, baseline, line, size, bold, INK))
            left += share * self.room
        self._y -= tall
        self._draw(partial(_rule, self._y))

    def finished(self, *, title: str, author: str, language: str, at: datetime, foot: str, number: Callable[[int, int], str]) -> bytes:
        """The document as bytes, the same for the same pages.

        Parameters
        ----------
        at
            When it says that it was made.
        foot
            Stands on every page, on the colour of a warning.
        number
            What stands beside it: page, and number of pages.
        """
        _register()
        file = BytesIO()
        make: Any = Canvas
        canvas = make(file, pagesize=(WIDTH, HEIGHT), invariant=1, pageCompression=1, lang=language, initialFontName=_name(Face.REGULAR))
        canvas.setTitle(title)
        canvas.setAuthor(author)
        canvas.setCreator(author)
        canvas.setDateFormatter(lambda *_: at.strftime("D:%Y%m%d%H%M%S+00'00'"))
        for page, draws in enumerate(self._pages, 1):
            for draw in draws:
                draw(canvas)
            _foot(canvas, foot, number(page, len(self._pages)))
            canvas.showPage()
        canvas.save()
        return file.getvalue()

    def _draw(self, draw: Callable[[Canvas], None]) -> None:
        self._pages[-1].append(draw)


def width(text: str, size: float, *, bold: bool = False) -> float:
    """Width of a line in points."""
    _register()
    return float(sum(pdfmetrics.stringWidth(run, _name(face), size) for run, face in runs(shown(text), bold=bold)))


def _folded_cell(cell: str, size: float, bold: bool, breadth: float) -> list[str]:
    return [line for part in cell.split("\n") for line in folded(part, lambda text: width(text, size, bold=bold), breadth)] or [""]


def _write(x: float, y: float, text: str, size: float, bold: bool, colour: Colour, canvas: Any) -> None:
    # one text object a line: readers put its runs together
    line = canvas.beginText(x, y)
    line.setFillColorRGB(*colour)
    for run, face in runs(shown(text), bold=bold):
        line.setFont(_name(face), size)
        line.textOut(run)
    canvas.drawText(line)


def _rule(y: float, canvas: Any) -> None:
    canvas.setStrokeColorRGB(*RULE)
    canvas.setLineWidth(0.6)
    canvas.line(MARGIN, y, WIDTH - MARGIN, y)


def _box(y: float, tall: float, canvas: Any) -> None:
    canvas.setFillColorRGB(*TINT)
    canvas.rect(MARGIN, y, WIDTH - 2 * MARGIN, tall, stroke=0, fill=1)


def _picture(image: Image.Image, x: float, y: float, breadth: float, tall: float, canvas: Any) -> None:
    canvas.drawImage(ImageReader(image), x, y, breadth, tall)


def _foot(canvas: Any, foot: str, number: str) -> None:
    canvas.setFillColorRGB(*NOTICE)
    canvas.rect(0, 0, WIDTH, 34, stroke=0, fill=1)
    size = min(9.5, 9.5 * (WIDTH - 2 * MARGIN - width(number, 8.5) - 20) / max(width(foot, 9.5, bold=True), 1))
    _write(MARGIN, 13, foot, size, True, (0, 0, 0), canvas)
    _write(WIDTH - MARGIN - width(number, 8.5), 13, number, 8.5, False, (0, 0, 0), canvas)


def _name(face: Face) -> str:
    return f"hilum-{face.value}"


@lru_cache(maxsize=1)
def _register() -> None:
    # streams as they are: written in letters, a page's pictures would take seconds and a quarter more room
    rl_config.useA85 = 0
    for face in Face:
        pdfmetrics.registerFont(TTFont(_name(face), str(face.path)))
