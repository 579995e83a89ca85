"""Containers that are given several series in roles, in real podman: a made module of mercure, a made package, a program of NIfTI."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import ParametricMapStorage

from inference.applications.admitting import admitted
from inference.applications.analysing import analyse
from inference.applications.container.manifest import enter
from inference.applications.port import Application, JobFiles, Takes
from inference.findings import Findings
from inference.imaging.subjects import subjects
from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.lab import dcmtk
from tests.lab.module_images import ModuleImages, module_images
from tests.lab.node import QUIET, Node, configuration
from tests.node.test_container import Never, entered, read, yaml

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

STUDY, FRAME = derive_uid("a study", "of two series"), derive_uid("a frame", "of two series")
AFFINE = np.array([[0.0, 0, 1, -10], [0, 1, 0, -12], [2, 0, 0, 5], [0, 0, 0, 1]])
SHAPE = (12, 24, 20)
IN_T1, IN_FLAIR, IN_BOTH = np.s_[3:9, 4:14, 4:12], np.s_[5:12, 8:18, 6:18], np.s_[5:9, 8:14, 6:12]
_PATIENCE_S = 120.0


@pytest.fixture(scope="module")
def images() -> Iterator[ModuleImages]:
    """A podman whose storage has the made modules; this process finds it, as the node's would."""
    with module_images() as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made


def study(folder: Path, coarse: int = 1) -> dict[Path, str]:
    """T1 and FLAIR with a bright block each; the voxels of FLAIR so many times as large. By file its role."""
    roles: dict[Path, str] = {}
    for number, (name, block) in enumerate((("T1", IN_T1), ("FLAIR", IN_FLAIR)), start=1):
        voxels = np.zeros(SHAPE, np.int16)
        voxels[block] = 700
        step = 1 if name == "T1" else coarse
        # the middle of a large voxel is that of the small ones in it
        affine = AFFINE @ np.array([[1.0, 0, 0, 0], [0, step, 0, (step - 1) / 2], [0, 0, step, (step - 1) / 2], [0, 0, 0, 1]])
        files = write_series(
            voxels[:, ::step, ::step],
            affine,
            folder / name,
            modality="MR",
            study_uid=STUDY,
            series_uid=derive_uid("a series of two", name),
            series_description=name,
            extra={"SeriesNumber": number, "FrameOfReferenceUID": FRAME},
        )
        roles |= dict.fromkeys(files, name)
    return roles


def of_two(image: str, contract: str, **changed: str) -> str:
    """The container.yaml of one that marks what is bright in both."""
    segments = '[{label: Bone, code: "SCT:272673000:Bone structure"}]'
    of_both = {"name": "mr-both", "accepts": "{modality: MR, min_slices: 5}", "roles": "[{name: T1}, {name: FLAIR}]"}
    of_both |= {"maps": "[]" if contract == "folder" else '[{label: above, code: "DCM:113068:Subtraction", unit: "UCUM:1:no units"}]'}
    return yaml(image, contract=contract, values="[]", findings="[]", settings="", **{**of_both, "segments": segments, **changed})


def said(application: Application, files: dict[Path, str]) -> Findings:
    """What it says of the study, as a job would have it."""
    reference = derive_uid("a series of two", "T1")
    (assembled,) = subjects(Takes.VOLUMES, "refuse", list(files), reference, files, roles=application.in_roles, threads=1)
    given = admitted(application, assembled)
    asked = application.on(JobFiles(files=tuple(files), seconds=_PATIENCE_S))
    return analyse(asked, given.assembled.subject, Never())


def both() -> NDArray[np.bool_]:
    """Where both are bright."""
    mask = np.zeros(SHAPE, np.bool_)
    mask[IN_BOTH] = True
    return mask


def by_how_much() -> NDArray[np.float32]:
    """T1 less FLAIR."""
    values = np.zeros(SHAPE, np.float32)
    values[IN_T1] += 700
    values[IN_FLAIR] -= 700
    return values


@pytest.mark.parametrize("contract", ["mercure", "map"])
def test_a_container_finds_each_series_by_its_role(images: ModuleImages, tmp_path: Path, contract: str) -> None:
    """The mask is that of both series, on the images of the first; the map has the values of every voxel."""
    image = images.of_roles() if contract == "mercure" else images.package_of_roles()
    found = said(entered(tmp_path, of_two(image, contract)), study(tmp_path))
    (segment,) = found.segments
    np.testing.assert_array_equal(segment.mask, both())
    (above,) = found.saliencies
    np.testing.assert_array_equal(above.values, by_how_much())


def test_a_program_of_nifti_gets_both_on_one_grid(images: ModuleImages, tmp_path: Path) -> None:
    """FLAIR has voxels twice as large: of 700 its outermost small ones keep three quarters, at corners 394, and those beyond one."""
    segments = '[{label: Bone, file: bone.nii.gz, code: "SCT:272673000:Bone structure"}]'
    text = of_two(images.of_nifti_roles(), "folder", images="nifti", segments=segments)
    found = said(entered(tmp_path, text), study(tmp_path, coarse=2))
    np.testing.assert_array_equal(found.segments[0].mask, both())


def test_a_route_gives_the_series_their_roles_and_the_result_names_both(images: ModuleImages, tmp_path: Path) -> None:
    """Through `hilum serve` alone: one job of the study, one segmentation and one map on T1, the node's own objects, and both
    series among what they refer to."""
    enter(read(tmp_path / "described", of_two(images.of_roles(), "mercure")), tmp_path / "models")
    roles = {name: {"SeriesDescription": name} for name in ("T1", "FLAIR")}
    route = {"name": "both", "when": {"Modality": "MR"}, "run": ["mr-both"], "roles": roles, "send": ["results"]}
    settings = configuration(
        tmp_path,
        port=0,
        repository=tmp_path / "models",
        peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"quiet": QUIET}}},
        sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
        routes=[route],
    )
    files = study(tmp_path / "sent")
    with Node(settings, tmp_path, environment=images.environment) as node:
        sent = dcmtk.storescu(node.port, *files, calling="SCANNER")
        assert sent.code == 0, sent
        (job,) = node.wait_for_jobs(lambda jobs: any(one["state"] == "done" for one in jobs), _PATIENCE_S, "the study is analysed")
    assert job["application"] == "mr-both"
    results = [dcmread(path) for path in (tmp_path / "results").rglob("*.dcm")]
    (mask,) = [one for one in results if one.Modality == "SEG"]
    (above,) = [one for one in results if one.SOPClassUID == ParametricMapStorage]
    np.testing.assert_array_equal(np.frombuffer(above.FloatPixelData, "<f4").reshape(SHAPE), by_how_much())
    (mapping,) = above.SharedFunctionalGroupsSequence[0].RealWorldValueMappingSequence
    assert mapping.QuantityDefinitionSequence[0].ConceptCodeSequence[0].CodeValue == "113068"
    assert (above.ContentLabel, above.ContentQualification) == ("PARAMETRIC_MAP", "RESEARCH")
    assert "mr-both" in {str(one.ManufacturerModelName) for one in above.ContributingEquipmentSequence}
    assert {str(one.SeriesInstanceUID) for one in mask.ReferencedSeriesSequence} == {
        derive_uid("a series of two", name) for name in ("T1", "FLAIR")
    }
    assert int(mask.pixel_array.sum()) == int(both().sum())
