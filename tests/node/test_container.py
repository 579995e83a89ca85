"""Containers in real podman: a made mercure module, a made MONAI Application Package, and every bad way of one."""

import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference.applications import catalog
from inference.applications.analysing import analyse
from inference.applications.container.described import ContainerManifest
from inference.applications.container.engine import engine_here
from inference.applications.container.errors import (
    ContainerFailed,
    ContainerNotStarted,
    ContainerOutputRefused,
    ContainerStopped,
    ImageAbsent,
    UnfitContainer,
)
from inference.applications.container.manifest import enter, from_text, to_text
from inference.applications.port import Application, JobFiles, ModelRef, Tensors
from inference.errors import ModelError
from inference.findings import Findings
from inference.imaging.assemble import assemble
from inference.imaging.volume import Volume
from inference.imaging.write_series import write_series
from node.assembly.configuration import load as load_configuration
from node.cli.doctor.containers import look_at_containers
from node.settings.container_yaml import described, load
from tests.lab.module_images import ModuleImages, module_images
from tests.lab.node import configuration

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::DeprecationWarning")]

SHAPE = (12, 24, 20)
BLOCK = np.s_[3:9, 5:15, 4:12]
CUBIC_CM = 6 * 10 * 8 * 2 / 1000
"""Of the block: 6 × 10 × 8 voxels of 2 × 1 × 1 mm."""
_PATIENCE_S = 120.0


def series(folder: Path, affine: NDArray[np.float64] | None = None) -> tuple[Volume, list[Path]]:
    """A CT of water with a block of 700 HU; as it is assembled, and its files."""
    voxels = np.zeros(SHAPE, np.int16)
    voxels[BLOCK] = 700
    if affine is None:
        affine = np.array([[0.0, 0, 1, -10], [0, 1, 0, -12], [2, 0, 0, 5], [0, 0, 0, 1]])
    files = write_series(voxels, affine, folder, modality="CT", patient_id="BONES")
    return assemble(files), files


def yaml(image: str, *, contract: str = "mercure", **changed: str) -> str:
    """A container.yaml; each of `changed` takes the place of a line, or is one more."""
    lines = {
        "name": "ct-bone",
        "title": "Bone by a module",
        "image": image,
        "contract": contract,
        "accepts": "{modality: CT, min_slices: 5}",
        "bounds": "{memory: 200MB, output: 20MB, processors: 1}",
        "segments": '[{label: Bone, called: bone, code: "SCT:272673000:Bone structure"}]',
        "values": '[{key: bone.voxels, code: "DCM:112031:Attenuation Coefficient", unit: "UCUM:1:no units", segment: Bone}]',
        "findings": '[{key: bone.probability, code: "SCT:272673000:Bone structure", present: 0.8, absent: 0.2}]',
        "licence": "{weights: MIT}",
        **({"settings": "{limit: 300}"} if contract == "mercure" else {}),
        **changed,
    }
    return "".join(f"{key}: {value}\n" for key, value in lines.items() if value)


@pytest.fixture(scope="module")
def images() -> Iterator[ModuleImages]:
    """A podman whose storage has the made modules; this process finds it, as the node's would."""
    with module_images() as made, pytest.MonkeyPatch.context() as patch:
        for name, value in made.environment.items():
            patch.setenv(name, value)
        yield made


@pytest.fixture(scope="module")
def module(images: ModuleImages) -> str:
    """The image of the mercure module."""
    return images.mercure()


def read(folder: Path, text: str) -> ContainerManifest:
    """The container of a container.yaml."""
    folder.mkdir()
    (folder / "container.yaml").write_text(text, encoding="utf-8")
    return described(load(folder), engine_here())


def entered(folder: Path, text: str) -> Application:
    """The application that it is, by way of the model repository."""
    manifest = read(folder / "described", text)
    assert from_text(to_text(manifest), "here") == manifest
    enter(manifest, folder / "models")
    return catalog.load(manifest.name, [folder / "models"])


def said(
    application: Application, folder: Path, seconds: float = _PATIENCE_S, affine: NDArray[np.float64] | None = None
) -> tuple[Volume, Findings]:
    """What it says of the series, as a job would have it."""
    volume, files = series(folder / "ct", affine)
    asked = application.on(JobFiles(files=tuple(files), seconds=seconds))
    return volume, analyse(asked, volume, Never())


class Never:
    """No engine: a container calls no model of the node's."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> Mapping[str, NDArray[Any]]:
        raise AssertionError(f"a container calls no model, and it called {model.name}")

    def at_once(self, model: ModelRef) -> int:
        raise AssertionError(f"a container calls no model, and it asked for {model.name}")

    def call_of(self, model: ModelRef) -> None:
        raise AssertionError(f"a container calls no model, and it asked for {model.name}")


def test_a_module_of_mercure_becomes_findings(images: ModuleImages, module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block is marked voxel for voxel; its number, its answer and the node's own volume are said of it; nothing is left behind."""
    application = entered(tmp_path, yaml(module))
    # those of tests beside this one come and go among everybody's
    monkeypatch.setattr(tempfile, "tempdir", str(temporary := tmp_path / "temporary"))
    temporary.mkdir()
    volume, found = said(application, tmp_path)
    (segment,), (evaluation,) = found.segments, found.evaluations
    np.testing.assert_array_equal(segment.mask, volume.voxels == 700)
    assert (segment.label, segment.type.value, evaluation.value.meaning, evaluation.probability) == ("Bone", "272673000", "Present", 0.9)
    told = {one.name.meaning: one.value for one in found.measurements}
    assert told == {"Volume": pytest.approx(CUBIC_CM), "Attenuation Coefficient": 6 * 10 * 8}
    assert list(temporary.iterdir()) == []
    assert images.podman("ps", "--all", "--quiet") == ""
    assert application.version.startswith("1.0.0+image.")


def test_a_monai_application_package_becomes_findings(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """Folders, environment and command are those of its app.json; it starts from no entry point."""
    text = yaml(images.packaged(), contract="map", values="", findings="", segments='[{label: Bone, code: "SCT:272673000:Bone structure"}]')
    application = entered(tmp_path, text)
    volume, found = said(application, tmp_path)
    np.testing.assert_array_equal(found.segments[0].mask, volume.voxels == 700)


def of_nifti(image: str, **changed: str) -> str:
    """The container.yaml of a program that reads NIfTI and writes labels."""
    segments = '[{label: Bone, file: bone.nii.gz, code: "SCT:272673000:Bone structure"}]'
    return yaml(image, contract="folder", values="[]", findings="[]", images="nifti", **{"segments": segments, **changed})


def test_a_program_that_knows_nifti_alone_becomes_findings(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """It reads the volume and writes labels on its grid, which lies obliquely; neither says whose images they are."""
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
    affine = np.array([[0.0, 0, 0.7, -10], [2 * sine, 0.7 * cosine, 0, -12], [2 * cosine, -0.7 * sine, 0, 5], [0, 0, 0, 1]])
    volume, found = said(entered(tmp_path, of_nifti(images.of_nifti())), tmp_path, affine=affine)
    (segment,) = found.segments
    np.testing.assert_array_equal(segment.mask, volume.voxels == 700)
    assert (segment.label, segment.type.value) == ("Bone", "272673000")


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "shifted",
            "«bone.nii.gz» is no label map of these images: it lies on another grid than the images: a corner lies 3.00 voxels off",
        ),
        ("undeclared", "«bone.nii.gz» marks 2, which container.yaml does not declare"),
        ("cut", "«bone.nii.gz» is no label map of these images: it ends after 11 of 12 slices"),
    ],
)
def test_labels_that_are_none_of_these_images_are_refused(
    images: ModuleImages, module: str, tmp_path: Path, name: str, sentence: str
) -> None:
    """With what is wrong; nothing of them is used."""
    application = entered(tmp_path, of_nifti(images.of_nifti(), image_file=f"{name}.nii.gz"))
    with pytest.raises(ContainerOutputRefused) as refused:
        said(application, tmp_path)
    assert sentence in str(refused.value)


def test_a_device_that_the_host_has_not_ends_the_job_with_the_engines_words(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """podman answers and refuses: it is not away, and the job does not wait for ever."""
    application = entered(tmp_path, yaml(module, bounds="{memory: 200MB, gpu: true}"))
    with pytest.raises(ContainerNotStarted, match="podman did not start the container: «"):
        said(application, tmp_path)
    assert images.podman("ps", "--all", "--quiet") == ""


def test_slices_that_lie_obliquely_are_marked_where_they_are(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """Turned by 20 degrees about the patient's left: the decimal strings of its frames are rounded, and still lie on the slices."""
    cosine, sine = np.cos(np.radians(20)), np.sin(np.radians(20))
    affine = np.array([[0.0, 0, 0.7, -10], [2 * sine, 0.7 * cosine, 0, -12], [2 * cosine, -0.7 * sine, 0, 5], [0, 0, 0, 1]])
    volume, found = said(entered(tmp_path, yaml(module)), tmp_path, affine=affine)
    np.testing.assert_array_equal(found.segments[0].mask, volume.voxels == 700)


def test_doctor_says_which_engine_and_which_image(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """Of the container that a route runs: the engine as root is a warning, its image is there; one whose image is not is bad; of others
    nothing is said."""
    entered(tmp_path, yaml(module))
    gone = from_text((tmp_path / "models" / "ct-bone.container.json").read_bytes(), "here")
    image = module.partition("@")[0] + "@sha256:" + 64 * "1"
    for name in ("ct-gone", "ct-idle"):
        enter(replace(gone, name=name, image=image), tmp_path / "models")
    routes = [{"name": name, "when": {"Modality": "CT"}, "run": [name], "send": ["results"]} for name in ("ct-bone", "ct-gone")]
    sinks = {"results": {"kind": "folder", "path": str(tmp_path / "results")}}
    written = configuration(tmp_path, port=11112, repository=tmp_path / "models", peers={}, sinks=sinks, routes=routes)
    (tmp_path / "hilum.yaml").write_text(json.dumps(written))
    engine, bone, absent = look_at_containers(load_configuration(tmp_path / "hilum.yaml"))
    assert (engine.level, bone.level, absent.level) == ("warning", "good", "bad")
    assert "podman" in engine.detail
    assert engine.detail.endswith("runs the containers of ct-bone, ct-gone, as root: the node runs as root")
    assert bone.detail == f"podman has {module}"
    assert "HLM-4190" in absent.detail


def test_a_package_that_asks_for_more_is_refused_at_import(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """pkg.json asks for 8 GiB, the bounds give 200 MB; and what is no package at all is none."""
    with pytest.raises(UnfitContainer, match="asks for 8192 MiB of memory"):
        read(tmp_path / "large", yaml(images.packaged("8Gi"), contract="map", values="", findings=""))
    with pytest.raises(UnfitContainer, match="it is no MONAI Application Package"):
        read(tmp_path / "none", yaml(module, contract="map"))


def test_an_image_that_is_not_there_is_said(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """Nothing is fetched."""
    image = module.partition("@")[0] + "@sha256:" + 64 * "0"
    with pytest.raises(ImageAbsent, match="podman has no image localhost/mercure-bone@sha256:0000"):
        read(tmp_path / "absent", yaml(image))


_BAD: list[tuple[str, type[ModelError], str]] = [
    (
        "another patient",
        ContainerOutputRefused,
        "of another patient or study: its PatientID is «SOMEBODY-ELSE», that of the images «BONES»",
    ),
    ("another code", ContainerOutputRefused, 'codes "Bone" as «SCT:10200004», container.yaml as SCT:272673000'),
    ("another place", ContainerOutputRefused, "a frame that lies on no image of the series"),
    ("an undeclared segment", ContainerOutputRefused, "a segment «tumour», which container.yaml does not declare"),
    ("nothing", ContainerOutputRefused, "it wrote nothing that could be a result"),
    ("no mask", ContainerOutputRefused, 'it made no segmentation of "Bone", and result.json does not say that it was not found'),
    ("no number", ContainerOutputRefused, 'it does not say "Attenuation Coefficient": result.json has no number at bone.voxels'),
    ("garbage", ContainerOutputRefused, "«more.dcm» is neither DICOM nor a file that container.yaml names"),
    ("damaged", ContainerOutputRefused, "«more.dcm» cannot be read as DICOM"),
    ("a link", ContainerOutputRefused, "«passwd.dcm» is a link, or no file"),
    ("a pipe", ContainerOutputRefused, "«more.dcm» is a link, or no file"),
    ("too much", ContainerStopped, "it wrote more than the 19 MiB that it may"),
    ("memory", ContainerStopped, "killed for needing more than its 190 MiB of memory"),
    ("status", ContainerFailed, "it ended with status 3 and said «no licence for this host»"),
]


@pytest.mark.parametrize(("how", "error", "sentence"), _BAD, ids=[how for how, _, _ in _BAD])
def test_a_bad_module_is_refused_by_a_sentence(
    images: ModuleImages, module: str, tmp_path: Path, how: str, error: type[ModelError], sentence: str
) -> None:
    """Nothing of what it wrote is used; it is gone."""
    application = entered(tmp_path, yaml(module, settings=f"{{limit: 300, misbehave: {how}}}"))
    with pytest.raises(error) as refused:
        said(application, tmp_path)
    assert sentence in str(refused.value)
    assert images.podman("ps", "--all", "--quiet") == ""


def test_one_that_does_not_end_is_killed(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """It sleeps for ten minutes and has four seconds."""
    application = entered(tmp_path, yaml(module, settings="{limit: 300, misbehave: for ever}"))
    with pytest.raises(ContainerStopped, match="it did not end within 4 s"):
        said(application, tmp_path, seconds=4)
    assert images.podman("ps", "--all", "--quiet") == ""


def test_another_description_needs_another_version(images: ModuleImages, module: str, tmp_path: Path) -> None:
    """The same once more changes nothing; another limit under the same version is refused, under the next one it is taken."""
    image = module
    entered(tmp_path, yaml(image))
    enter(read(tmp_path / "again", yaml(image)), tmp_path / "models")
    with pytest.raises(UnfitContainer, match="give this one another `version`"):
        enter(read(tmp_path / "other", yaml(image, settings="{limit: 400}")), tmp_path / "models")
    enter(read(tmp_path / "next", yaml(image, settings="{limit: 400}", version="1.0.1")), tmp_path / "models")
    assert catalog.load("ct-bone", [tmp_path / "models"]).version.startswith("1.0.1+image.")
