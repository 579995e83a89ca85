"""Pictures of how-to guides, made by models that somebody trained: what moved chest-xray's answer, a head that mr-denoise was given, and
a chest in which lung-nodule finds nodules; and what a reader sees of each application.

`python -m docs.network_pictures MODELS --radiographs chest_xray --thick SERIES` writes explanation.png, denoised.png,
super-resolved.png and lung-nodule.png into docs/images. MODELS is a model repository with what `hilum export` wrote of chest-xray, restore,
super-resolution and lung-nodule; one that lacks a model gives the other pictures alone. `--readers [APPLICATION …]` makes those of
docs/reference/what-readers-see.md instead, as `docs.reader_pictures` says; `--notes` those there of what stands where there is no result,
which needs no model.
"""

import argparse
import hashlib
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian
from scipy import ndimage

from inference import codes, findings_file
from inference.applications.catalog import load
from inference.applications.lung_nodule.preparing import lungs_in
from inference.applications.port import Application
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.registry import fetch_member
from inference.findings import Box, Findings, Location
from inference.imaging.assemble import assemble
from inference.imaging.resample import Grid
from inference.imaging.subject import Subject, Takes
from inference.imaging.subjects import subjects
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from node.cli.demo_needs import HEAD_MEMBER, HEAD_REQUIREMENT, HEAD_SHA256
from node.dicom.uid import derive_uid
from node.results.explanation.make import drawn
from node.results.page.lettering import write
from node.results.port import Encoding
from node.results.sources import read_sources
from node.results.summary.make import begin
from training.back_projection import interpolated
from training.data.heads import rician
from training.data.made_thorax import SPACING_MM, made_thorax
from training.data.planted_nodules import Planted, planted
from training.data.radiographs import sides
from training.infer import EngineInfer

IMAGES = Path(__file__).parent / "images"
LEVEL = 0.05
"""Deviation of the noise, as a share of the median in the head."""
TIMES = 4
"""How much brighter the difference is drawn."""
CHEST, SEED, PLANTED = (112, 160, 200), 3, 4
"""The made chest: voxels, what it is drawn from, and how many nodules are planted."""
_ZOOM, _GAP, _LINE = 4, 12, 34


def explained(models: Path, radiographs: Path, out: Path) -> None:
    """The page of the held-out film with pneumonia about which the model is surest."""
    application = as_served(load("chest-xray"), models)
    test = sides(radiographs).test
    assert application.explain is not None, "chest-xray explains"
    with closing(EmbeddedEngine(models)) as engine, tempfile.TemporaryDirectory() as folder:
        sure: list[tuple[float, int]] = []
        films = [labelled.images.images[0].pixels for labelled in (case.load() for case in test) if labelled.positive][:100]
        for index, film in enumerate(films):
            (found,) = application.analyse(_images(Path(folder), film), EngineInfer(engine)).evaluations
            sure.append((found.probability or 0.0 if found.value == codes.PRESENT else 0.0, index))
        subject = _images(Path(folder), films[max(sure)[1]])
        findings = application.analyse(subject, EngineInfer(engine))
        findings = replace(findings, explanations=application.explain(subject, EngineInfer(engine)))
        encoding = _encoding(application, findings, subject, [Path(folder) / "picture.dcm"], engine)
        drawn(encoding, read_sources(encoding), findings.explanations).image.save(out, optimize=True)


def denoised(models: Path, out: Path) -> None:
    """A slice of the head that `hilum demo` sends: with noise, without, and what was taken away, a few times brighter."""
    voxels, affine = from_nifti(fetch_member(HEAD_REQUIREMENT, HEAD_MEMBER, HEAD_SHA256))
    clean = np.maximum(voxels, 0).astype(np.float32)
    clean *= 400 / np.median(clean[clean > np.percentile(clean, 60)])
    noisy = np.rint(rician(clean, 400 * LEVEL, np.random.default_rng(0))).astype(np.int16)
    application = as_served(load("mr-denoise"), models)
    with closing(EmbeddedEngine(models)) as engine, tempfile.TemporaryDirectory() as folder:
        volume = assemble(write_series(noisy, affine, Path(folder), modality="MR"))
        restored = application.analyse(volume, EngineInfer(engine)).derived[0].voxels.astype(np.float32)
    before = volume.voxels.astype(np.float32)
    middle = len(before) // 2
    # arrays run to the head and to the back; a picture has the front at its top
    down = 1 if volume.affine[1, 1] > 0 else -1
    across = 1 if volume.affine[0, 2] > 0 else -1
    first, second = (each[middle][::down, ::across] for each in (before, restored))
    white = float(np.percentile(first, 99.7))
    shades = (first / white, second / white, 0.5 + TIMES * (first - second) / (2 * white))
    words = (f"with noise ({100 * LEVEL:g} %)", "mr-denoise", f"difference, {TIMES} times")
    _beside([np.clip(255 * each, 0, 255).astype(np.uint8) for each in shades], words).save(out, optimize=True)


def thinned(models: Path, thick: Path, out: Path) -> None:
    """A plane across the thick slices of a series: as a viewer reformats it, of what mr-super-resolution makes, and what that changes."""
    application, volume = as_served(load("mr-super-resolution"), models), assemble(sorted(thick.glob("*")))
    with closing(EmbeddedEngine(models)) as engine:
        made = application.analyse(volume, EngineInfer(engine)).derived[0].voxels.astype(np.float32)
    # columns of the plane are slices
    first, second = (each[:, each.shape[1] // 2].T for each in (interpolated(volume), made))
    white = float(np.percentile(first, 99.7))
    shades = (first / white, second / white, 0.5 + TIMES * (second - first) / (2 * white))
    words = ("reformatted, linear", "mr-super-resolution", f"difference, {TIMES} times")
    _beside([np.clip(255 * each, 0, 255).astype(np.uint8) for each in shades], words).save(out, optimize=True)


def nodules(models: Path, out: Path) -> None:
    """The summary page of a made chest with planted nodules; the numbers of those that were found are printed."""
    hu = made_thorax(SEED, CHEST)
    affine = np.diag([SPACING_MM] * 3 + [1.0])[[2, 1, 0, 3]]
    affine[:3, 3] = -SPACING_MM * (np.array(CHEST[::-1]) - 1) / 2
    grid = Grid(affine=affine, shape=CHEST)
    planting = planted(hu, grid, ndimage.binary_closing(lungs_in(hu, grid), iterations=4), PLANTED, SEED)
    application = as_served(load("lung-nodule"), models)
    with closing(EmbeddedEngine(models)) as engine, tempfile.TemporaryDirectory() as folder:
        said = {"PatientAge": "060Y", "BodyPartExamined": "CHEST", "SeriesNumber": 2, "WindowCenter": -600, "WindowWidth": 1500}
        files = write_series(
            np.rint(planting.hu).astype(np.int16),
            affine,
            Path(folder),
            modality="CT",
            series_description="Made chest, nodules planted",
            extra=said,
        )
        volume = assemble(files)
        findings = application.analyse(volume, EngineInfer(engine))
        encoding = _encoding(application, findings, volume, files, engine)
        begin(encoding, read_sources(encoding))().image.save(out, optimize=True)
    print("planted:", *(number for number, one in enumerate(findings.locations, 1) if _on_nodule(one, volume, planting)))


def _on_nodule(found: Location, volume: Volume, planting: Planted) -> bool:
    box = found.shape
    assert isinstance(box, Box), "lung-nodule gives boxes"
    middle = volume.affine @ (found.image, (box.top + box.bottom) / 2 - 0.5, (box.left + box.right) / 2 - 0.5, 1)
    return any(np.linalg.norm(middle[:3] - one.centre_mm) <= one.long_mm / 2 for one in planting.nodules)


def _encoding(application: Application, findings: Findings, subject: Subject, files: Sequence[Path], engine: EmbeddedEngine) -> Encoding:
    return Encoding(
        application=application,
        findings=findings,
        sources=[pydicom.dcmread(file, stop_before_pixels=True) for file in files],
        subject=subject,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        input_digest="",
        model_digest=engine.digest(application.models[0]),
        findings_digest=findings_file.digest(findings),
        parameters="",
        device_uid=derive_uid("device", "of the picture"),
    )


def _beside(pictures: list[NDArray[np.uint8]], words: tuple[str, ...]) -> Image.Image:
    rows, columns = (side * _ZOOM for side in pictures[0].shape)
    sheet = Image.new("RGB", (len(pictures) * (columns + _GAP) - _GAP, rows + _LINE), (16, 18, 22))
    draw = ImageDraw.Draw(sheet)
    for number, (picture, word) in enumerate(zip(pictures, words, strict=True)):
        left = number * (columns + _GAP)
        sheet.paste(Image.fromarray(np.ascontiguousarray(picture)).resize((columns, rows), Image.Resampling.BICUBIC), (left, _LINE))
        write(draw, (left + columns / 2, 5), word, 20, (214, 222, 235), align=0.5)
    return sheet


def _images(folder: Path, picture: NDArray[np.uint8]) -> Any:
    """A picture as a frontal DX image, in picture.dcm of the folder."""
    dataset = Dataset()
    dataset.SOPClassUID, dataset.Modality = DigitalXRayImageStorageForPresentation, "DX"
    dataset.SOPInstanceUID = derive_uid("picture", hashlib.sha256(picture.tobytes()).hexdigest())
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = derive_uid("study of pictures"), derive_uid("series of pictures")
    dataset.PatientName, dataset.PatientID, dataset.InstanceNumber = "Film^Of^A child", "FILM", 1
    dataset.SeriesDescription, dataset.ViewPosition = "held-out film", "AP"
    dataset.Rows, dataset.Columns = picture.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8, 8, 7
    dataset.add_new("PixelData", "OW", picture.tobytes())
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    file = folder / "picture.dcm"
    dataset.save_as(file, enforce_file_format=True)
    (assembled,) = subjects(Takes.IMAGES, "refuse", [file], "")
    return assembled.subject


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path)
    parser.add_argument("--radiographs", type=Path)
    parser.add_argument("--thick", type=Path, help="a folder with one T1 series of a head in thick slices")
    parser.add_argument("--readers", nargs="*", help="applications; all of them where none is named")
    parser.add_argument("--notes", action="store_true", help="what is said where there is no result, or no longer one")
    parser.add_argument("--before", type=Path, help="an earlier checkout, which is asked instead of this one")
    parser.add_argument("--shots", type=Path, default=Path("var/shots"), help="gets every picture that is taken in the viewer")
    given = parser.parse_args()
    if given.readers is not None:
        # it starts an archive and a browser, which the others need not have
        from docs.reader_pictures import read

        read(given.models, given.before, given.shots, given.readers)
        return
    if given.notes:
        from docs.reader_pictures import read_notes

        read_notes(given.shots)
        return
    if given.radiographs is not None and (given.models / "chest_xray_pneumonia").is_dir():
        explained(given.models, given.radiographs, IMAGES / "explanation.png")
    if (given.models / "mr_head_denoising").is_dir():
        denoised(given.models, IMAGES / "denoised.png")
    if given.thick is not None and (given.models / "mr_head_super_resolution").is_dir():
        thinned(given.models, given.thick, IMAGES / "super-resolved.png")
    if (given.models / "lung_nodule_planted").is_dir():
        nodules(given.models, IMAGES / "lung-nodule.png")


if __name__ == "__main__":
    main()
