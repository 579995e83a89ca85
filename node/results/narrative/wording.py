"""Port of a language that findings are told in: one method a kind of sentence, numbers and codes in, a sentence out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from inference.codes import Code
from inference.findings import Measurement, Quality
from node.domain.profile import Kind, Language
from node.results.page.naming import ImageName


class Section(Enum):
    """The sections of a report, in order (CID 7001 "Diagnostic Imaging Report Heading"): what stands alone comes first."""

    IMPRESSION = auto()
    FINDINGS = auto()
    EXAMINATION = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class Examination:
    """What was analysed. `grid` is the size in numbers, without words but units; `prior_date` of the prior of a pair."""

    modality: str
    description: str
    series: str
    date: str
    part: str
    images: int
    frames: bool
    grid: str
    prior_date: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What a sentence is about: a coded concept, its side and site.

    `label` stands where the codes do not tell it from another;
    `number` under which it is drawn on the pictures."""

    what: Code
    laterality: Code | None
    site: Code | None
    label: str = ""
    number: int = 0
    abnormal: bool = False
    certainty: float | None = None
    probability: float | None = None

    @property
    def site_sided(self) -> bool:
        """Whether the side is that of the site: a lesion of the left lung, but the left hippocampus in the brain."""
        return self.site is not None and self.abnormal


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """How often what was found, for the impression."""

    what: Code
    number: int


class Wording(Protocol):
    """A language. Every method gives whole sentences, with their full stop."""

    language: Language
    tag: Code
    """The language as the document names it (RFC 5646)."""
    title: str
    headings: Mapping[Section, str]
    table: tuple[str, str, str]
    """Heads of a table of findings: what, measured, details."""
    labels: Mapping[str, str]
    """Of lines that name something: "patient", "born", "sex", "id", "study", "accession", "series", "model", "software", "analysed",
    "images", "key images", "provenance", "references", "none", "all", "no model"; M, F and O; what stands for a text that cannot be set."""

    def term(self, code: Code) -> str: ...
    def object(self, kind: Kind) -> str: ...
    def image(self, name: ImageName) -> str: ...
    def name(self, thing: Thing) -> str: ...
    def page(self, number: int, of: int) -> str: ...
    def value(self, code: Code) -> str: ...
    def details(self, thing: Thing, image: ImageName | None) -> str: ...
    def examined(self, one: Examination) -> str: ...
    def analysed(self, application: str, manufacturer: str, models: str, at: str) -> str: ...
    def measured(self, one: Measurement, seconds: tuple[float, float] | None) -> str: ...
    def quality(self, one: Quality) -> str: ...
    def segment(self, thing: Thing, on: int, of: int, measurements: Sequence[str]) -> str: ...
    def brief(self, thing: Thing, measurements: Sequence[str]) -> str: ...
    def location(self, thing: Thing, image: ImageName, measurements: Sequence[str]) -> str: ...
    def evaluation(self, thing: Thing, value: Code, images: Sequence[ImageName], frames: tuple[int, int] | None) -> str: ...
    def absent(self, thing: Thing, measurements: Sequence[str]) -> str: ...
    def undetermined(self, thing: Thing, measurements: Sequence[str]) -> str: ...
    def total(self, what: Code) -> str: ...
    def whole(self, total: Code | None, measurements: Sequence[str]) -> str: ...
    def saliency(self, quantity: Code, label: str) -> str: ...
    def derived(self, derivation: Code, of_prior: bool) -> str: ...
    def registered(self, rotation_degrees: float, prior_date: str | None) -> str: ...
    def remark(self, text: str) -> str: ...
    def caution(self, text: str) -> str: ...
    def caption(self, text: str) -> str: ...
    def found(self, counts: Sequence[Count]) -> str: ...
    def joined(self, sentences: Sequence[str]) -> str: ...
    def only_measured(self) -> str: ...
    def by(self, application: str, qualification: str) -> str: ...
    def more(self, findings: int) -> str: ...
    def nothing(self) -> str: ...
    def standing(self, qualification: str) -> str: ...
