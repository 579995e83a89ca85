"""Narrative reports as Encapsulated PDF (PS3.3 A.45.1), one a language: a page that a radiologist reads and a patient's file keeps.

The patient stands on it, so it says that annotation is burned in. A name in a script that the fonts do not have is never set in boxes or
question marks: the page then says that the header holds it.
"""

from collections.abc import Sequence
from dataclasses import replace

import highdicom as hd
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.uid import EncapsulatedPDFStorage, ExplicitVRLittleEndian

from node.domain.profile import Kind
from node.results.identity import MANUFACTURER, ResultIdentity, encoded, identify, local_time, model_names, software_versions, stamp
from node.results.kind import Making
from node.results.narrative.make import TITLE, Evidence, each_once, evidences
from node.results.narrative.sentences import WORDINGS, Sentence, sentences
from node.results.narrative.wording import Section, Wording
from node.results.normalise import text
from node.results.page.lettering import settable
from node.results.page.naming import names_of_images, series_date, series_description
from node.results.page.picture import extent, figure_of
from node.results.page.tiles import lay
from node.results.pdf.pages import SOFT, Pages
from node.results.port import Encoded, Encoding
from node.results.selection import written_in
from node.results.sources import Sources, instance, item

_BREADTHS = (1.0, 0.85, 0.7, 0.55, 0.4)
"""Of the key pictures, as shares of the page's: the first that ends no page short is taken."""
_PICTURE = (1500, 1000)
"""Of the key pictures, in pixels: 216 a inch on the page."""


def make(making: Making) -> list[Encoded]:
    """A PDF in every language that a sink wants, for every form of the masks that such a sink gets."""
    encoding, sources, made = making.encoding, making.sources, making.made
    wanted = evidences(encoding, Kind.PDF, made)
    if not wanted:
        return []
    pictures = {language: _key_pictures(encoding, sources, WORDINGS[language]) for language in dict.fromkeys(each for each, _ in wanted)}
    return each_once(
        _encapsulated(encoding, sources, WORDINGS[language], held, pictures[language], written_in(language, masks))
        for (language, masks), held in wanted.items()
    )


def _encapsulated(
    encoding: Encoding, sources: Sources, wording: Wording, held: Evidence, picture: Image.Image | None, form: str
) -> Encoded:
    identity = identify(encoding, sources, Kind.PDF, f"PDF, {wording.tag.meaning}")
    said = sentences(encoding, sources, wording)
    content = _document(encoding, sources, wording, said, held, picture)
    made = _dataset(encoding, identity)
    holders = {one.sop_instance_uid: one for sentence in said for one in held.of(sentence)}
    made.SourceInstanceSequence = [
        instance(sop_class_uid, sop_instance_uid) for series in sources.series for sop_class_uid, sop_instance_uid in series.instances
    ] + [instance(one.sop_class_uid, uid) for uid, one in holders.items()]
    made.DocumentTitle = f"{wording.title}: {encoding.application.name} {encoding.application.version}"
    made.EncapsulatedDocumentLength = len(content)
    made.EncapsulatedDocument = content + b"\0" * (len(content) % 2)
    stamp(made, encoding, sources, identity)
    return encoded(Kind.PDF, made, identity, form)


def _dataset(encoding: Encoding, identity: ResultIdentity) -> Dataset:
    made: Dataset = hd.SOPClass(
        study_instance_uid=encoding.subject.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        series_number=identity.series_number,
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=EncapsulatedPDFStorage,
        instance_number=1,
        modality="DOC",
        manufacturer=MANUFACTURER,
        manufacturer_model_name=encoding.application.name,
        software_versions=software_versions(encoding),
        device_serial_number=encoding.model_digest[:16],
        transfer_syntax_uid=ExplicitVRLittleEndian,
    )
    made.ConversionType = "WSD"
    made.AcquisitionDateTime = None
    made.BurnedInAnnotation = "YES"
    made.VerificationFlag = "UNVERIFIED"
    made.ConceptNameCodeSequence = [item(TITLE)]
    made.MIMETypeOfEncapsulatedDocument = "application/pdf"
    return made


def _document(
    encoding: Encoding, sources: Sources, wording: Wording, said: Sequence[Sentence], held: Evidence, picture: Image.Image | None
) -> bytes:
    # a last page of a few lines is turned as if it were nothing: then the pictures give room
    tries = [_laid(encoding, sources, wording, said, held, picture, breadth) for breadth in (_BREADTHS if picture is not None else (1.0,))]
    pages = next((one for one in tries if not one.ends_short), tries[0])
    return pages.finished(
        title=f"{wording.title}: {encoding.application.name}",
        author=f"hilum, {encoding.application.name} {encoding.application.version}",
        language=wording.tag.value,
        at=encoding.at,
        foot=wording.standing(encoding.application.qualification),
        number=lambda page, of: wording.page(page, of),
    )


def _laid(
    encoding: Encoding,
    sources: Sources,
    wording: Wording,
    said: Sequence[Sentence],
    held: Evidence,
    picture: Image.Image | None,
    breadth: float,
) -> Pages:
    """Everything once: the conclusion, the pictures, findings as rows with the number of what they rest on, other sentences, provenance."""
    pages, labels = Pages(), wording.labels
    pages.line(wording.title, 20, bold=True)
    pages.line(f"{encoding.application.name} {encoding.application.version} · {encoding.application.manufacturer}", 10, colour=SOFT)
    pages.space(8)
    pages.table(_patient(sources, wording), (0.15, 0.35, 0.15, 0.35), 9)
    pages.heading(wording.headings[Section.IMPRESSION])
    for one in said:
        if one.section is Section.IMPRESSION:
            pages.line(one.brief, 11)
    if picture is not None:
        pages.heading(labels["key images"])
        pages.picture(picture, pages.room * breadth)
    traced = {id(one): number for number, one in enumerate((one for one in said if held.of(one)), 1)}
    rows = [(one.row[0] + _number(one, traced), *one.row[1:]) for one in said if one.row is not None]
    concluded = "".join(one.text for one in said if one.section is Section.IMPRESSION)
    others = [one for one in said if one.section is Section.FINDINGS and one.row is None and one.text not in concluded]
    if rows:
        pages.table([wording.table, *rows], (0.3, 0.42, 0.28), 9, head=True, heading=wording.headings[Section.FINDINGS])
        pages.space(6)
    elif others:
        pages.heading(wording.headings[Section.FINDINGS])
    for one in others:
        pages.line(one.text + _number(one, traced), 10, indent=12, mark="·")
    pages.heading(labels["provenance"])
    for name, value in _provenance(
        encoding, sources, labels["no model"], labels["model"], labels["software"], labels["images"], labels["analysed"]
    ):
        pages.line(f"{name}: {value}", 8.5, colour=SOFT)
    if traced:
        pages.heading(labels["references"])
        for one in said:
            if id(one) in traced:
                pages.line(_reference(one, held, wording), 6.8, colour=SOFT, indent=20, mark=f"[{traced[id(one)]}]")
    return pages


def _number(one: Sentence, traced: dict[int, int]) -> str:
    return f" [{traced[id(one)]}]" if id(one) in traced else ""


def _patient(sources: Sources, wording: Wording) -> list[tuple[str, str, str, str]]:
    """Who and which study, as the header says it."""
    labels, entities = wording.labels, sources.entities
    sex = labels.get(str(entities.PatientSex), str(entities.PatientSex))
    study = " ".join(part for part in (_day(text(entities, "StudyDate")), text(entities, "StudyDescription")) if part)
    number = text(sources.first, "SeriesNumber")
    series = " ".join(part for part in (number, series_description(sources), series_date(sources)) if part)
    return [
        (labels["patient"], _name(entities, labels["unsettable"]), labels["study"], _set(study, labels["unsettable"])),
        (labels["id"], _set(text(entities, "PatientID"), labels["unsettable"]), labels["accession"], text(entities, "AccessionNumber")),
        (
            f"{labels['born']} / {labels['sex']}",
            " / ".join(part for part in (_day(text(entities, "PatientBirthDate")), sex) if part),
            labels["series"],
            _set(series, labels["unsettable"]),
        ),
    ]


def _name(entities: Dataset, instead: str) -> str:
    """All groups of the name that can be set, ideographic ones too; never a name with signs left out."""
    names = entities.PatientName if isinstance(entities.PatientName, MultiValue) else [entities.PatientName]
    groups = [group.replace("^", " ").strip() for name in names for group in str(name).split("=")]
    kept = [" ".join(group.split()) for group in groups if group and settable(group)]
    return "  ".join(dict.fromkeys(kept)) or (instead if any(groups) else "")


def _set(value: str, instead: str) -> str:
    return value if settable(value) else instead


def _day(date: str) -> str:
    return f"{date[:4]}-{date[4:6]}-{date[6:]}" if date else ""


def _provenance(encoding: Encoding, sources: Sources, none: str, *labels: str) -> list[tuple[str, str]]:
    values = (
        model_names(encoding) if encoding.application.models else none,
        # the application stands at the top
        ", ".join(software_versions(encoding)[1:]),
        extent(encoding.subject, words=False),
        local_time(encoding, sources),
    )
    return list(zip(labels, values, strict=True))


def _reference(sentence: Sentence, held: Evidence, wording: Wording) -> str:
    """Tracking identifier and UID, and the objects that hold the finding."""
    tracked = " ".join(sentence.tracked) if sentence.tracked else ""
    objects = [
        f"{wording.object(one.kind)} {one.sop_instance_uid}{f' #{one.segment}' if one.segment is not None else ''}"
        for one in held.of(sentence)
    ]
    return " · ".join([*([tracked] if tracked else []), *objects])


def _key_pictures(encoding: Encoding, sources: Sources, wording: Wording) -> Image.Image | None:
    """The pictures of the summary page, on white."""
    figure = figure_of(encoding.subject, encoding.findings, [wording.image(name) for name in names_of_images(encoding, sources)])
    if not figure.tiles:
        return None
    image = Image.new("RGB", _PICTURE, (255, 255, 255))
    tiles = [replace(tile, name=wording.caption(tile.name)) for tile in figure.tiles]
    lay(image, tiles, (0, 0, _PICTURE[0] - 1, _PICTURE[1] - 1), columns=figure.columns, gap=8)
    return image
