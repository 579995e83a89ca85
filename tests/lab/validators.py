"""Independent validators of DICOM objects; each returns what it holds against a file, beyond the documented false alarms (allowlist)."""

import os
import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.uid import EnhancedSRStorage

from tests.lab.allowlist import FalseAlarm, judged
from tests.lab.needs import program, python_program
from tests.lab.pixelmed import Judges

_TIMEOUT_S = 120
_TEMPLATES = Judges()
_FAULT = re.compile(r"^\s*(Error|Abort)\b", re.IGNORECASE)


def _run(command: Sequence[str | Path], **environment: str) -> tuple[int, str]:
    """Exit code, and stdout and stderr together: dciodvfy and dcmtk report on stderr."""
    done = subprocess.run(
        [str(part) for part in command],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=_TIMEOUT_S,
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout.decode("utf-8", "replace")


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What a validator holds against an object, and which known false alarms it raised beside."""

    faults: list[str]
    alarms: list[FalseAlarm]


def _verdict(validator: str, code: int, said: str, fault: re.Pattern[str], about: str = "") -> Verdict:
    """The lines that are faults; an exit code other than 0 without any such line is one too."""
    found = [line.strip() for line in said.splitlines() if fault.search(line)]
    if code and not found:
        found = [f"exit code {code}: {said[-500:].strip()}"]
    faults, alarms = judged(validator, found, about)
    return Verdict(faults=faults, alarms=alarms)


def judge_modules(path: Path, about: str = "", *, newest: bool = False) -> Verdict:
    """dicom3tools' module check (PS3.3 IODs) of one file; Debian's build of 2022, or the one of PyPI, which knows label maps.

    `about` names the kind of object, for false alarms that are passed over in one kind alone; so in the others below.
    """
    tool = python_program("dciodvfy", "dicom3tools") if newest else program("dciodvfy", "dicom3tools")
    code, said = _run([tool, path])
    return _verdict("dciodvfy 2026" if newest else "dciodvfy 2022", code, said, _FAULT, about)


def judge_entities(paths: Sequence[Path], *, newest: bool = False) -> Verdict:
    """Disagreements of attributes across the files of a study (patient, study, series, frame of reference), after dicom3tools."""
    tool = python_program("dcentvfy", "dicom3tools") if newest else program("dcentvfy", "dicom3tools")
    code, said = _run([tool, *paths])
    # it calls every disagreement a warning
    return _verdict("dcentvfy", code, said, re.compile(r"^\s*(Error|Abort)\b|Different information entities|Different .* for attribute"))


def judge_templates(path: Path, about: str = "") -> Verdict:
    """PixelMed's DicomSRValidator: IOD, templates, context groups (IHE AIR uses it)."""
    # a narrative that claims no template is held to its information object alone; everything else is a report on a template, or nothing
    document = pydicom.dcmread(path, stop_before_pixels=True)
    with tempfile.TemporaryDirectory() as folder:
        code, said = _TEMPLATES.said(_titled(document, path, Path(folder) / "titled.dcm"))
    claims = "ContentTemplateSequence" in document or document.SOPClassUID != EnhancedSRStorage
    fault = r"^\s*Error\b|Exception" + (r"|Content Item not in template(?! row order)" if claims else "")
    verdict = _verdict("pixelmed", code, said, re.compile(fault), about)
    # its exit code is 0 whatever happens: only the closing words say that it looked
    for word in (*(["Root Template Validation Complete"] if claims else []), "IOD validation complete"):
        if word not in said:
            verdict.faults.append(f"PixelMed never said {word!r}: {said[-500:].strip()}")
    return verdict


def _titled(document: pydicom.Dataset, path: Path, other: Path) -> Path:
    """The file, or a copy of it whose title PixelMed knows: it holds nothing to TID 1500 that has a title from outside CID 7021, though
    that group is extensible. The title alone is another; (18748-4, LN) is of CID 7000, Diagnostic Imaging Report Document Title."""
    templates, titles = document.get("ContentTemplateSequence") or (), document.get("ConceptNameCodeSequence") or ()
    if not (templates and titles and templates[0].TemplateIdentifier == "1500" and titles[0].get("CodeValue") == "18748-4"):
        return path
    titles[0].CodeValue, titles[0].CodingSchemeDesignator, titles[0].CodeMeaning = "126000", "DCM", "Imaging Measurement Report"
    document.save_as(other)
    return other


def judge_tree(path: Path, about: str = "") -> tuple[Verdict, str]:
    """DCMTK's reader of structured reports, and the content tree that it prints (concept names with their codes)."""
    # it does not know the class of label maps, and would stop at the first reference to one
    lenient = ["--invalid-item-value"] if about == "label map" else []
    code, said = _run([program("dsrdump", "dcmtk"), "--print-all-codes", *lenient, path])
    return _verdict("dsrdump", code, said, re.compile(r"^[EF]: |^W: Invalid or unknown"), about), said


def dciodvfy(path: Path) -> list[str]:
    """Errors of dicom3tools' module check of one file."""
    return judge_modules(path).faults


def dcentvfy(paths: Sequence[Path]) -> list[str]:
    """Disagreements of the files of a study."""
    return judge_entities(paths).faults


def dsrdump(path: Path) -> tuple[list[str], str]:
    """Errors of DCMTK's reader of structured reports, and the content tree."""
    verdict, tree = judge_tree(path)
    return verdict.faults, tree


def pixelmed(path: Path) -> list[str]:
    """Errors of PixelMed's DicomSRValidator."""
    return judge_templates(path).faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """One segment as dcmqi (the Slicer path) reads it: `mask` (K, J, I) bool; `affine` maps (i, j, k, 1) to patient LPS mm."""

    number: int
    mask: NDArray[np.bool_]
    affine: NDArray[np.float64]

    @property
    def voxel_ml(self) -> float:
        """Volume of one voxel in mL, from the affine."""
        return float(abs(np.linalg.det(self.affine[:3, :3]))) / 1000.0

    @property
    def volume_ml(self) -> float:
        """Volume in mL by counting voxels."""
        return float(self.mask.sum()) * self.voxel_ml

    @property
    def centroid_mm(self) -> NDArray[np.float64]:
        """Centre of the mask in patient LPS mm."""
        kji = np.argwhere(self.mask).mean(axis=0)
        return np.asarray((self.affine @ [kji[2], kji[1], kji[0], 1.0])[:3], dtype=np.float64)

    def points_mm(self) -> NDArray[np.float64]:
        """Centres of all voxels of the mask, (N, 3) patient LPS mm."""
        ijk = np.argwhere(self.mask)[:, ::-1].astype(np.float64)
        return np.asarray(ijk @ self.affine[:3, :3].T + self.affine[:3, 3], dtype=np.float64)


def segimage2itkimage(path: Path) -> list[Segment]:
    """Read a SEG with dcmqi; raises AssertionError when it does not write an image (its exit code says 0 even then).

    dcmqi knows no fractions and numbers each of several segments of them 1: here they have their places in the order of its files.
    """
    import nibabel

    tool = python_program("segimage2itkimage", "dcmqi")
    with tempfile.TemporaryDirectory() as folder:
        code, said = _run([tool, "--inputDICOM", path, "--outputDirectory", folder, "--prefix", "s", "--outputType", "nii"])
        images = sorted(Path(folder).glob("s-*.nii*"))
        if code or not images:
            raise AssertionError(f"segimage2itkimage wrote {len(images)} images (exit code {code}): {said[-1000:]}")
        segments = []
        for image in images:
            loaded = nibabel.load(image)
            # NIfTI counts from right to left and back to front (RAS), DICOM the other way round (LPS)
            affine = np.diag([-1.0, -1.0, 1.0, 1.0]) @ np.asarray(loaded.affine, dtype=np.float64)
            # voxels hold the segment's number: a label map is one image with many
            numbers = np.asarray(loaded.dataobj).transpose(2, 1, 0)
            segments += [Segment(number=int(number), mask=numbers == number, affine=affine) for number in np.unique(numbers) if number]
    if len(segments) > 1 and {one.number for one in segments} == {1}:
        segments = [replace(one, number=place) for place, one in enumerate(segments, start=1)]
    return segments


def faults_of(path: Path, *, report: bool = False) -> list[str]:
    """Everything that the validators of one file hold against it; `report` says that it is a structured report."""
    faults = [f"dciodvfy: {fault}" for fault in dciodvfy(path)]
    if report:
        faults += [f"dsrdump: {fault}" for fault in dsrdump(path)[0]]
        faults += [f"pixelmed: {fault}" for fault in pixelmed(path)]
    return faults
