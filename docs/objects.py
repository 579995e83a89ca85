"""The page on result objects: SOP classes, syntaxes, attributes and codes, read from objects that the encoder makes for two examples."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any, TypeAlias

from pydicom import dcmread
from pydicom.datadict import dictionary_VR, keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import UID

from docs.example_results import Example, examples
from node.domain.profile import Kind
from node.results.kinds import KINDS, record_of
from node.results.normalise import KEPT
from node.results.port import Encoded

Path: TypeAlias = tuple[str, ...]

_LATER_NAMES = {"1.2.840.10008.5.1.4.1.1.66.7": "Label Map Segmentation Storage"}
"""SOP classes that are younger than the dictionary."""
_BULK = {"PixelData", "FloatPixelData", "DoubleFloatPixelData", "EncapsulatedDocument"}
_LONGEST = 60
_TREE = {"ContentSequence"}
"""Walked as content items, not as attributes."""
_CODES = {"CodeValue", "CodingSchemeDesignator", "CodeMeaning", "LongCodeValue", "URNCodeValue", "CodingSchemeVersion"}


@dataclass(slots=True)
class _Seen:
    """One attribute, or one content item, in the objects of one kind: the values that it had in each example."""

    values: list[set[str]]
    depth: int
    count: int = 0
    note: str = ""
    codes: set[str] = field(default_factory=set)


def page(made: str) -> str:
    """The whole page; `made` is the line that says what writes it."""
    hospitals = examples()
    text = [
        "# Result objects\n\n",
        made,
        "What hilum writes, attribute by attribute. The tables are read from objects: the encoder makes every kind for two hospitals that ",
        "differ in patient, study, images, application, model, findings and time. `value`: the same in both. *source*: copied from the ",
        "analysed images. *computed*: anything else; dates and times are the journal's, UIDs are derived (`2.25.` + UUIDv5), ",
        "an object's own from its bytes. ",
        "[conformance.md](../conformance.md) says the rest; [validators.md](validators.md) says what independent programs find.\n\n",
        _classes(hospitals),
        _numbers(),
        _templates(hospitals),
    ]
    tables = {kind: _tables([[one for one in hospital.objects if one.kind == kind] for hospital in hospitals], hospitals) for kind in Kind}
    # what every kind says alike stands once, before all of them
    common = set.intersection(*(set(rows) for rows, _ in tables.values()))
    first, _ = next(iter(tables.values()))
    text.append("## In every object\n\n" + _table([row for row in first if row in common]))
    for kind, (rows, items) in tables.items():
        text.append(f"## {record_of(kind).title}\n\n" + _table([row for row in rows if row not in common]))
        if items:
            text.append("| content item | relationship and type | value |\n|---|---|---|\n" + "".join(items) + "\n")
    text.append(_codes(hospitals))
    return "".join(text)


def named_kinds() -> dict[str, str]:
    """The SOP class of each kind, by the kind's name: "Comprehensive 3D SR Storage"."""
    return {one.kind.value: class_name(one.sop_class_uid) for one in examples()[0].objects}


def class_name(uid: str) -> str:
    """What people call a SOP class."""
    return _LATER_NAMES.get(uid, UID(uid).name)


def _classes(hospitals: Sequence[Example]) -> str:
    rows = []
    for kind in Kind:
        found: dict[tuple[str, str], set[str]] = {}
        for one in (one for hospital in hospitals for one in hospital.objects if one.kind == kind):
            stored_as = dcmread(BytesIO(one.data), specific_tags=[]).file_meta.TransferSyntaxUID
            found.setdefault((one.sop_class_uid, str(stored_as)), set()).add(one.form)
        for (sop_class, syntax), forms in sorted(found.items()):
            named = ", ".join(f"`{form}`" for form in sorted(forms) if form)
            rows.append(
                f"| {record_of(kind).title} | `{kind.value}` | {class_name(sop_class)} | {sop_class} | {UID(syntax).name} | {named} |\n"
            )
    head = (
        "## SOP classes and transfer syntaxes\n\n| object | kind | SOP class | UID | transfer syntax | forms |\n|---|---|---|---|---|---|\n"
    )
    after = (
        "\nA derived image has the SOP class of its source. A peer that takes no compressed syntax is sent the instance uncompressed.\n\n"
    )
    return head + "".join(rows) + after


def _numbers() -> str:
    """The number of every kind in Series Numbers."""
    numbers = sorted((number, one.title) for one in KINDS for number in one.series)
    rows = "".join(f"| {number} | {title} |\n" for number, title in numbers)
    says = (
        "SeriesNumber (0020,0011) is source × 10000 + application × 100 + kind: of series 4 and application 1 the segmentation is 40101. "
        "The source's number is 0 where it has none of at most six digits, or where the sum would lead beyond 2147483647. "
        "The application's is its manifest's `series`, or else "
        "[the highest that is left](../howto/write-an-application.md#its-number-in-series-numbers). "
        "Objects of one kind share theirs: each map, language and form of a mask is a series of its own all the same. Of the two numbers "
        "of measurement reports the second is that of reports that refer to no segments.\n\n"
    )
    return "## Series Numbers\n\n" + says + "| kind's number | object |\n|---|---|\n" + rows + "\n"


def _templates(hospitals: Sequence[Example]) -> str:
    """The template of every report's root, and the concept of its title."""
    rows = set()
    for one, dataset in _read(hospitals):
        for item in dataset.get("ContentTemplateSequence", ()):
            title = _code(dataset.ConceptNameCodeSequence[0])
            rows.add(f"| {record_of(Kind(one.kind)).title} | TID {item.TemplateIdentifier} | {title} |\n")
    head = "## Templates\n\n| object | root template | title |\n|---|---|---|\n"
    return head + "".join(sorted(rows)) + "\n"


def _table(rows: Sequence[str]) -> str:
    return "| attribute | tag | VR | value |\n|---|---|---|---|\n" + "".join(rows) + "\n"


def _tables(objects: Sequence[Sequence[Encoded]], hospitals: Sequence[Example]) -> tuple[list[str], list[str]]:
    """The rows of one kind: its attributes, and its content items."""
    seen: dict[Path, _Seen] = {}
    items: dict[Path, _Seen] = {}
    total = 0
    for number, made in enumerate(objects):
        for one in made:
            total += 1
            dataset = dcmread(BytesIO(one.data))
            for path, depth, value in _walk(dataset, (), 0):
                entry = seen.setdefault(path, _Seen(values=[set(), set()], depth=depth))
                entry.values[number].add(value)
            for path in {path for path, _, _ in _walk(dataset, (), 0)}:
                seen[path].count += 1
            for path, note, value in _contents(dataset, ()):
                entry = items.setdefault(path, _Seen(values=[set(), set()], depth=len(path), note=note))
                entry.values[number].add(value)
    sources = [[_texts(header) for header in hospital.sources] for hospital in hospitals]
    rows = []
    for path in sorted(seen, key=lambda path: [tag_for_keyword(keyword) or 0 for keyword in path]):
        entry = seen[path]
        keyword = path[-1]
        always = "" if entry.count == total else " (where it applies)"
        name = "> " * entry.depth + keyword
        rows.append(f"| {name} | {Tag(keyword)} | {dictionary_VR(keyword)} | {_origin(entry, path, sources)}{always} |\n")
    contents = [
        f"| {'> ' * (entry.depth - 1)}{path[-1]} | {entry.note} | {_origin(entry, path, sources)} |\n" for path, entry in items.items()
    ]
    return rows, contents


def _walk(dataset: Dataset, path: Path, depth: int) -> Iterator[tuple[Path, int, str]]:
    """Every attribute with its value as text; items of one sequence count as one."""
    for element in dataset:
        keyword = keyword_for_tag(element.tag)
        if not keyword or keyword in _TREE:
            continue
        here = (*path, keyword)
        if element.VR == "SQ":
            items = list(element.value)
            if items and all("CodeMeaning" in item and set(item.dir()) <= _CODES for item in items):
                for item in items:
                    yield here, depth, _code(item)
                continue
            yield here, depth, f"{len(items)} items"
            for item in items:
                yield from _walk(item, here, depth + 1)
        else:
            yield here, depth, "(bytes)" if keyword in _BULK or element.VR in {"OB", "OW", "OF", "OD", "UN"} else _text(element.value)


def _contents(item: Dataset, path: Path) -> Iterator[tuple[Path, str, str]]:
    """Every content item by the concept names that lead to it."""
    for child in item.get("ContentSequence", ()):
        names = child.get("ConceptNameCodeSequence")
        here = (*path, _code(names[0]) if names else "(no name)")
        yield here, f"{child.RelationshipType} {child.ValueType}", _value(child)
        yield from _contents(child, here)


def _value(item: Dataset) -> str:
    if item.ValueType == "CODE":
        return _code(item.ConceptCodeSequence[0])
    if item.ValueType == "NUM":
        return f"in {_code(item.MeasuredValueSequence[0].MeasurementUnitsCodeSequence[0])}"
    for keyword in ("TextValue", "UID", "DateTime", "Date", "Time", "PersonName", "GraphicType", "TemporalRangeType"):
        if keyword in item:
            return str(item[keyword].value)
    if "ReferencedSOPSequence" in item:
        return class_name(item.ReferencedSOPSequence[0].ReferencedSOPClassUID)
    return str(item.get("ContinuityOfContent", ""))


def _origin(entry: _Seen, path: Path, sources: Sequence[Sequence[dict[str, str]]]) -> str:
    first, second = entry.values
    copied = [
        bool(values) and values <= {header.get(path[-1], "") for header in headers}
        for values, headers in zip(entry.values, sources, strict=True)
    ]
    values = first | second
    if values == {""}:
        return "empty"
    if first != second:
        return "*source*" if all(copied) else "*computed*"
    if values == {"(bytes)"} or all(value.endswith(" items") for value in values):
        return ""
    shown = ", ".join(f"`{value}`" if value else "(empty)" for value in sorted(values))
    # what both hospitals happen to have alike in patient and study is still theirs
    return "*source*" if len(path) == 1 and path[0] in KEPT else shown if len(shown) <= 4 * _LONGEST else "*computed*"


def _texts(header: Dataset) -> dict[str, str]:
    return {element.keyword: _text(element.value) for element in header if element.VR != "SQ"}


def _text(value: Any) -> str:
    several = [str(each) for each in value] if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [str(value)]
    text = "\\".join("" if each == "None" else each for each in several)
    return (text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…").replace("|", "\\|")


def _code(item: Dataset) -> str:
    value = item.get("CodeValue") or item.get("LongCodeValue") or item.get("URNCodeValue")
    return f"({value}, {item.get('CodingSchemeDesignator', '')}, {item.get('CodeMeaning', '')})"


def _codes(hospitals: Sequence[Example]) -> str:
    """Every coded concept in the objects, and those that the built-in applications declare."""
    from inference.applications import catalog

    used: Counter[str] = Counter()
    for _, dataset in _read(hospitals):
        for item in _items(dataset):
            if "CodeMeaning" in item:
                used[_code(item)] += 1
    declared: dict[str, list[str]] = {}
    for name in catalog.names():
        for output in catalog.load(name).outputs:
            for code in (getattr(output, slot) for slot in output.__slots__ if hasattr(getattr(output, slot), "meaning")):
                text = f"({code.value}, {code.scheme}, {code.meaning})"
                if name not in declared.setdefault(text, []):
                    declared[text].append(name)
    text = "## Coded concepts\n\nIn the objects:\n\n" + "".join(f"- {code}\n" for code in sorted(used))
    text += "\nDeclared by the built-in applications:\n\n| code | applications |\n|---|---|\n"
    return text + "".join(f"| {code} | {', '.join(names)} |\n" for code, names in sorted(declared.items()))


def _items(dataset: Dataset) -> Iterator[Dataset]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield item
                yield from _items(item)


def _read(hospitals: Sequence[Example]) -> Iterator[tuple[Encoded, Dataset]]:
    for hospital in hospitals:
        for one in hospital.objects:
            yield one, dcmread(BytesIO(one.data))
