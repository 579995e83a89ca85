"""Pictures of what a reader sees of each shipped application's results: OHIF beside Orthanc, before and now; and of the notes that stand
where there is no result, or no longer one.

`docs.network_pictures` calls it. Everything goes the whole way: a series of this file is sent to a node by `hilum demo`, and what the node
delivers is stored in an archive and opened in the viewer. *Before* is the same done by an earlier checkout. Series and weights are made or
published, and the same in both.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset
from scipy import ndimage

from inference.applications.catalog import load
from inference.engines.registry import fetch_member
from inference.errors import InputError
from inference.findings import Findings
from inference.imaging.subject import Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Affine
from inference.imaging.write_series import Voxels, from_nifti, write_series
from node.cli.demo_needs import HEAD_MEMBER, HEAD_REQUIREMENT, HEAD_SHA256, demo_series
from node.domain.notes import NoResult, Rejection, Statement, Why, Withdrawal, WithdrawnObject
from node.domain.profile import Kind, Profile
from node.results.page.lettering import write
from node.results.sources import SourceSeries
from node.results.statement.make import encode_statement
from node.results.statement.port import Stated, nothing_of
from node.results.withdrawal.make import encode_withdrawal
from tests.lab import chest, planted
from tests.lab.loopback import free_port
from tests.lab.ohif import Opened, Viewer
from tests.lab.orthanc import Orthanc
from tests.results import images, made
from training.data.made_thorax import SPACING_MM, made_thorax

ROOT = Path(__file__).parent.parent
_SIZE = (950, 588)
"""Of the viewer's window, in pixels."""
_SHOWN, _GAP, _LINE = 760, 10, 34
"""Of a sheet: the width of each picture, what lies between two, and the height of the line above them."""
_COLOURS = 64


def _head(folder: Path, **said: Any) -> None:
    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    _write(folder, voxels, affine, "MR", "T1 3D", BodyPartExamined="HEAD", **said)


def _turned_head(folder: Path) -> None:
    """Two examinations of one head: the earlier lies otherwise on the table."""
    _head(folder / "now")
    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    turned = ndimage.rotate(voxels, 6, axes=(1, 2), reshape=False, order=1)
    _write(folder / "prior", turned, affine, "MR", "T1 3D", BodyPartExamined="HEAD", StudyDate="20230405", SeriesDate="20230405")


def _noisy_head(folder: Path) -> None:
    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    clean = 400 * np.maximum(voxels, 0) / np.median(voxels[voxels > np.percentile(voxels, 60)])
    rng = np.random.default_rng(0)
    noisy = np.hypot(clean + rng.normal(0, 20, clean.shape), rng.normal(0, 20, clean.shape))
    _write(folder, np.rint(noisy).astype(np.int16), affine, "MR", "T1 3D", BodyPartExamined="HEAD")


def _crop(folder: Path) -> None:
    demo_series(None, folder, load("hippocampus").sample)


def _flair(folder: Path) -> None:
    made = planted.head(*planted.LESIONS)
    _write(folder, made.voxels, made.affine, "MR", "FLAIR", BodyPartExamined="HEAD", ScanningSequence=["SE", "IR"], InversionTime="2500")


def _thorax(folder: Path) -> None:
    shape = (112, 160, 200)
    affine = np.diag([SPACING_MM] * 3 + [1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = -SPACING_MM * (np.array(shape[::-1]) - 1) / 2
    _write(folder, np.rint(made_thorax(3, shape)).astype(np.int16), affine, "CT", "Chest 1.5 mm", BodyPartExamined="CHEST")


def _balls(folder: Path) -> None:
    _write(folder, chest.voxels(), chest.affine(), "CT", "Chest 1.25 mm", BodyPartExamined="CHEST", WindowCenter=-600, WindowWidth=1500)


def _write(folder: Path, voxels: Voxels, affine: Affine, modality: Any, description: str, **said: Any) -> None:
    extra = {"PatientAge": "060Y", "PatientBirthDate": "19640101", "PatientSex": "F", "SeriesNumber": 2, "AccessionNumber": "A1", **said}
    folder.mkdir(parents=True, exist_ok=True)
    write_series(
        voxels,
        affine,
        folder,
        modality=modality,
        patient_name="Made^Reader",
        patient_id="READER",
        series_description=description,
        extra=extra,
    )


def _film(folder: Path) -> None:
    """What a made chest lets through from back to front, on a film of an adult's size."""
    light = np.clip(made_thorax(3, (112, 160, 200))[::-1], -1000, 400).mean(axis=1) + 1000
    wide = ndimage.zoom(light, (3, 2), order=1)
    pixels = np.rint(4095 * (wide - wide.min()) / np.ptp(wide)).astype("<u2")
    images.radiograph(
        folder,
        1,
        2,
        Rows=pixels.shape[0],
        Columns=pixels.shape[1],
        PixelData=pixels.tobytes(),
        ImagerPixelSpacing=[0.75, 0.75],
        SeriesDescription="Chest PA, made",
        ViewPosition="PA",
        BodyPartExamined="CHEST",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """An application, the series that it is given, and which of its results stands on the page.

    Attributes
    ----------
    series
        Writes it below a folder.
    shown
        The kind of result, as `_kind_of` calls it.
    """

    application: str
    series: Callable[[Path], object]
    shown: str


READINGS = (
    Reading(application="mr-brain", series=_head, shown="measurements"),
    Reading(application="ct-lung", series=_thorax, shown="measurements"),
    Reading(application="hippocampus", series=_crop, shown="measurements"),
    Reading(application="chest-xray", series=_film, shown="report"),
    Reading(application="bright-lesion", series=_flair, shown="detections"),
    Reading(application="lung-nodule", series=_balls, shown="detections"),
    Reading(application="mr-denoise", series=_noisy_head, shown="page"),
    Reading(application="mr-register", series=_turned_head, shown="page"),
)


def read(models: Path, before: Path | None, shots: Path, chosen: Sequence[str] = ()) -> None:
    """Show every result of the chosen applications, or of all, in the viewer, and put one of each on a sheet in docs/images.

    Parameters
    ----------
    models
        A model repository with the weights that no registry has.
    before
        An earlier checkout, which is asked instead of this one; what it showed stands at the left of the sheets from then on.
    shots
        Gets the series, the results, and a picture of each as large as it was seen: APPLICATION/WHEN/KIND.png.
    """
    when, checkout = ("before", before) if before else ("now", ROOT)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Orthanc(Path(scratch) / "pacs", node_port=free_port(), options=_TAKES) as pacs,
        Viewer(pacs.url, size=_SIZE) as viewer,
    ):
        for one in READINGS:
            if chosen and one.application not in chosen:
                continue
            folder = shots.resolve() / one.application
            one.series(folder / "series")
            _analysed(checkout.resolve(), one.application, folder / "series", models.resolve(), folder / when)
            _see(pacs, viewer, folder / "series", folder / when)
            there = {each: folder / each / f"{one.shown}.png" for each in ("before", "now")}
            _sheet({f"{one.application}: {each}": path for each, path in there.items() if path.exists()}).save(
                ROOT / "docs" / "images" / f"reader-{one.application}.png", optimize=True
            )


_TAKES: dict[str, object] = {"UnknownSopClassAccepted": True}


def _analysed(checkout: Path, application: str, series: Path, models: Path, out: Path) -> None:
    """Send the series through a node of a checkout."""
    # all of it: what an engine calls around a model is no model of the application's
    shutil.copytree(models, out / "node" / "models", dirs_exist_ok=True)
    needed = load(application).models
    given: list[str | Path] = ["--models", models] if needed and all((models / one.name).is_dir() for one in needed) else []
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "node.cli.main",
        "demo",
        "--application",
        application,
        "--input",
        series,
        "--out",
        out,
        *given,
    ]
    ended = subprocess.run(
        command, cwd=checkout, env={**os.environ, "PYTHONPATH": str(checkout)}, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        raise SystemExit(f"{application} in {checkout}: {ended.stdout}{ended.stderr}")


def _see(pacs: Orthanc, viewer: Viewer, series: Path, results: Path) -> None:
    """Every result as the viewer shows it beside its images, by what it is; the archive is empty again afterwards."""
    sources = sorted(path for path in series.rglob("*") if path.is_file())
    objects = {path: pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(results.glob("*.dcm"))}
    for path in [*sources, *objects]:
        pacs.post_instance(path.read_bytes())
    for result in {one.SeriesInstanceUID: one for one in objects.values()}.values():
        with viewer.open(result.StudyInstanceUID) as opened:
            opened.show_series(result.SeriesDescription)
            _wait_for(result, opened)
            opened.screenshot(results / f"{_kind_of(result)}.png")
    for study in pacs.studies():
        pacs.call("DELETE", f"/studies/{study.identifier}")


_MEASUREMENTS = "126000"


def _kind_of(result: Dataset) -> str:
    """What a reader calls it."""
    if result.Modality != "SR":
        return {"SEG": "mask", "OT": "page", "REG": "registration"}.get(result.Modality, "images")
    if result.ConceptNameCodeSequence[0].CodeValue == _MEASUREMENTS:
        return "detections"
    return "measurements" if "measurements" in result.SeriesDescription else "report"


def _wait_for(result: Dataset, opened: Opened) -> None:
    kind = _kind_of(result)
    if kind == "mask":
        opened.wait_for_overlay(0)
        opened.scroll_to(0.5)
    elif kind == "detections":
        opened.measurements(1)
        opened.go_to_measurement(0)
    elif result.Modality == "SR":
        opened.wait_for_text(result.ConceptNameCodeSequence[0].CodeMeaning)
    opened.still()


_NOTES = Profile(name="notes", kinds=frozenset({Kind.STATEMENT, Kind.WITHDRAWAL}))
_MISSING = slice(8, 12)
"""Slices of the FLAIR head that do not come."""


def read_notes(shots: Path) -> None:
    """Show the note that there is no result, and the one that withdraws results, each beside its images, and put both on sheets in
    docs/images; print what the viewers say of them.

    The first is of a FLAIR head in which slices are missing, the second of what hippocampus found in a part of a head.
    """
    shots = shots.resolve()
    shutil.rmtree(shots / "notes", ignore_errors=True)
    with (
        tempfile.TemporaryDirectory() as scratch,
        Orthanc(Path(scratch) / "pacs", node_port=free_port(), options=_TAKES) as pacs,
        Viewer(pacs.url, size=_SIZE) as viewer,
    ):
        for name, store in (("no-result", _without_result), ("withdrawn", _withdrawn)):
            folder = shots / "notes" / name
            note = store(pacs, folder)
            with viewer.open(note.StudyInstanceUID) as opened:
                _look_at(note, opened, pacs, folder)
            for study in pacs.studies():
                pacs.call("DELETE", f"/studies/{study.identifier}")
            shown = {f"{note.SeriesDescription}: OHIF": folder / "ohif.png", "Orthanc Explorer": folder / "explorer.png"}
            _sheet(shown).save(ROOT / "docs" / "images" / f"reader-{name}.png", optimize=True)


def _look_at(note: Dataset, opened: Opened, pacs: Orthanc, folder: Path) -> None:
    """A report is opened, a Key Object Selection is looked for in the list; then the study in the archive's own list."""
    if note.Modality == "SR":
        opened.show_series(note.SeriesDescription)
        print(opened.wait_for_text(note.ConceptNameCodeSequence[0].CodeMeaning))
    else:
        listed = opened.page.locator("[data-cy^='study-browser-thumbnail']")
        listed.first.wait_for()
        print([one.inner_text() for one in listed.all()])
    opened.still()
    opened.screenshot(folder / "ohif.png")
    (study,) = pacs.studies()
    explorer = opened.page.context.new_page()
    explorer.goto(f"{pacs.url}/app/explorer.html#study?uuid={study.identifier}")
    row = explorer.get_by_text(note.SeriesDescription)
    row.wait_for()
    row.scroll_into_view_if_needed()
    print(row.locator("xpath=ancestor::li[1]").inner_text())
    explorer.screenshot(path=folder / "explorer.png")
    explorer.close()


def _without_result(pacs: Orthanc, folder: Path) -> Dataset:
    """Store a series in the middle of which slices are missing, and the note that says so."""
    _flair(folder / "series")
    files = sorted(path for path in (folder / "series").rglob("*") if path.is_file())
    whole = subjects(Takes.VOLUME, "refuse", files)[0].subject
    gone = {source.sop_instance_uid for source in whole.sources[_MISSING]}
    came = [path for path in files if pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID not in gone]
    try:
        subjects(Takes.VOLUME, "refuse", came)
    except InputError as refused:
        why = NoResult(job=1, series_instance_uid=whole.series_instance_uid, why=Why.DECLINED, code=refused.code, reason=str(refused))
    about = nothing_of(whole.study_instance_uid, whole.series_instance_uid, "MR")
    encoding = made.encoding(came, Findings(), volume=about, application=load("bright-lesion"), profiles=(_NOTES,))
    looked_at = SourceSeries(
        study_instance_uid=about.study_instance_uid,
        series_instance_uid=about.series_instance_uid,
        instances=tuple((source.sop_class_uid, source.sop_instance_uid) for source in whole.sources if source.sop_instance_uid not in gone),
    )
    (note,) = encode_statement(Stated(encoding=encoding, statement=Statement(series=(why,)), looked_at=[looked_at]))
    for data in (*(path.read_bytes() for path in came), note.data):
        pacs.post_instance(data)
    return pydicom.dcmread(BytesIO(note.data))


def _withdrawn(pacs: Orthanc, folder: Path) -> Dataset:
    """Store a series, what an application delivered of it, and the note that withdraws that."""
    _crop(folder / "series")
    files = sorted(path for path in (folder / "series").rglob("*") if path.is_file())
    (folder / "models").mkdir()
    _analysed(ROOT, "hippocampus", folder / "series", folder / "models", folder)
    results = [(path, pydicom.dcmread(path, stop_before_pixels=True)) for path in sorted(folder.glob("*.dcm"))]
    objects = tuple(
        WithdrawnObject(
            kind=_KINDS[str(one.Modality)],
            series_instance_uid=str(one.SeriesInstanceUID),
            sop_class_uid=str(one.SOPClassUID),
            sop_instance_uid=str(one.SOPInstanceUID),
            blob=path.name,
        )
        for path, one in results
    )
    whole = made.encoding(files, Findings(), application=load("hippocampus"), profiles=(_NOTES,))
    nothing = nothing_of(whole.subject.study_instance_uid, whole.subject.series_instance_uid, "MR")
    (note,) = encode_withdrawal(replace(whole, subject=nothing), Withdrawal(rejection=Rejection.REPLACED, objects=objects))
    for data in (*(path.read_bytes() for path in files), *(path.read_bytes() for path, _ in results), note.data):
        pacs.post_instance(data)
    return pydicom.dcmread(BytesIO(note.data))


_KINDS = {"SEG": Kind.SEG, "SR": Kind.SR, "OT": Kind.SC}


def _sheet(pictures: Mapping[str, Path]) -> Image.Image:
    """Pictures beside each other, each under its words, in few colours."""
    high = round(_SHOWN * _SIZE[1] / _SIZE[0])
    sheet = Image.new("RGB", (len(pictures) * (_SHOWN + _GAP) - _GAP, high + _LINE), (16, 18, 22))
    draw = ImageDraw.Draw(sheet)
    for number, (words, path) in enumerate(pictures.items()):
        left = number * (_SHOWN + _GAP)
        with Image.open(path) as picture:
            sheet.paste(picture.convert("RGB").resize((_SHOWN, high), Image.Resampling.LANCZOS), (left, _LINE))
        write(draw, (left + _SHOWN / 2, 5), words, 20, (214, 222, 235), align=0.5)
    return sheet.quantize(_COLOURS, dither=Image.Dither.NONE)
