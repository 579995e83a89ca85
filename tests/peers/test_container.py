"""A made module of mercure, a made MONAI Application Package and a program that knows NIfTI alone, behind routes of a node: their results
stand in Orthanc."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from ruamel.yaml import YAML

from inference.imaging.write_series import write_series
from tests.lab import source, validators
from tests.lab.hospital import hospital
from tests.lab.howto import HowTo
from tests.lab.module_images import ModuleImages, module_images
from tests.lab.node import hilum

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

PAGE = HowTo("run-a-container.md")
BLOCK = (10, 14, 12)
"""Voxels of the bone that is in the images, 2 × 1 × 1 mm each."""
_IMAGE = re.compile(r"^image: .*$", re.MULTILINE)


@pytest.fixture(scope="module")
def images() -> Iterator[ModuleImages]:
    """A podman whose storage has the made modules."""
    with module_images() as made:
        yield made


def bone(folder: Path, patient: str) -> Path:
    """A CT of air with a block of 900 HU away from its borders."""
    voxels = np.full((20, 48, 40), -1000, np.int16)
    voxels[5 : 5 + BLOCK[0], 20 : 20 + BLOCK[1], 15 : 15 + BLOCK[2]] = 900
    affine = np.array([[0.0, 0, 1, -20], [0, 1, 0, -24], [2, 0, 0, 0], [0, 0, 0, 1]])
    write_series(voxels, affine, folder, modality="CT", patient_id=patient)
    return folder


def described() -> str:
    """The page's container.yaml."""
    (text,) = [text for text in PAGE.blocks("yaml") if "contract:" in text]
    return text


def imported(folder: Path, text: str, repository: Path, images: ModuleImages, command: str) -> str:
    """Import a description by the page's command; what was said."""
    folder.mkdir()
    (folder / "container.yaml").write_text(text, encoding="utf-8")
    words = [str(folder) if word == "bone" else word for word in command.split()[1:]]
    said = hilum(*words, "--repository", repository, environment=images.environment)
    assert said.code == 0, said.out + said.err
    return said.out


def test_the_page_leads_from_a_module_of_mercure_to_results_in_the_pacs(images: ModuleImages, tmp_path: Path) -> None:
    """The page's description with this image in the place of its own, its import and its route; beside it a MONAI Application Package
    and a program that is given NIfTI and writes labels, which mark the same. The masks are where the bone is, under the page's code; the
    reports have its volume; the objects are the node's own, name the image, and the validators find nothing."""
    command = PAGE.typed(PAGE.commands()[0])
    PAGE.followed()
    mercure = images.mercure()
    said = imported(tmp_path / "bone", _IMAGE.sub(f"image: {mercure}", described()), tmp_path / "models", images, command)
    assert "is a container with container.yaml; podman has its image" in said
    package = YAML(typ="safe").load(described())
    package = {key: package[key] for key in ("title", "accepts", "licence")} | {
        "name": "ct-package",
        "contract": "map",
        "image": images.packaged(),
        "segments": [{"label": "Bone", "code": "SCT:272673000:Bone structure"}],
    }
    with (tmp_path / "package.yaml").open("w") as file:
        YAML(typ="safe").dump(package, file)
    imported(tmp_path / "package", (tmp_path / "package.yaml").read_text(), tmp_path / "models", images, command)
    knows_nifti = {**package, "name": "ct-nifti", "contract": "folder", "image": images.of_nifti(), "images": "nifti"}
    knows_nifti["segments"] = [{**package["segments"][0], "file": "bone.nii.gz"}]
    with (tmp_path / "nifti.yaml").open("w") as file:
        YAML(typ="safe").dump(knows_nifti, file)
    imported(tmp_path / "nifti", (tmp_path / "nifti.yaml").read_text(), tmp_path / "models", images, command)
    (routed,) = [text for text in PAGE.blocks("yaml") if "routes:" in text]
    routes: list[Mapping[str, Any]] = YAML(typ="safe").load(routed)["routes"]
    also = [{**routes[0], "name": f"also {name}", "run": [name]} for name in ("ct-package", "ct-nifti")]
    with hospital(tmp_path, tmp_path / "models", routes=[*routes, *also], environment=images.environment) as both:
        sent = bone(tmp_path / "sent", "CONTAINED")
        both.pacs.upload(sent)
        study = both.results(source.study_uid(sent))
        found = {
            modality: [path for series in study.of(modality) for path in both.pacs.download(series, tmp_path / "back")]
            for modality in ("SEG", "SR")
        }
    assert len(found["SEG"]) == 3
    volume = np.prod(BLOCK) * 2 / 1000
    for path in found["SEG"]:
        dataset = pydicom.dcmread(path)
        (segment,) = dataset.SegmentSequence
        assert (segment.SegmentLabel, segment.SegmentedPropertyTypeCodeSequence[0].CodeValue) == ("Bone", "272673000")
        assert dataset.PatientID == "CONTAINED"
        (mask,) = validators.segimage2itkimage(path)
        assert len(mask.points_mm()) == np.prod(BLOCK)
    images_named = {image.rpartition(":")[2][:12] for image in (mercure, package["image"], knows_nifti["image"])}
    assert {name for name in images_named if any(name in str(pydicom.dcmread(path)) for path in found["SEG"])} == images_named
    reports = [path for path in found["SR"] if "measurements" in pydicom.dcmread(path).SeriesDescription]
    assert len(reports) == 3
    assert all(f"{volume:.2f}"[:4] in str(pydicom.dcmread(path)) for path in reports)
    assert [fault for path in found["SEG"] for fault in validators.faults_of(path)] == []
    assert [fault for path in found["SR"] for fault in validators.faults_of(path, report=True)] == []


def test_a_bad_container_is_told_and_the_node_goes_on(images: ModuleImages, tmp_path: Path) -> None:
    """One writes another patient, one runs for ever: both jobs end with code and sentence, the third application answers, and nothing of
    theirs is in the archive."""
    image, command = images.mercure(), "hilum models import bone"
    text = _IMAGE.sub(f"image: {image}", described())
    imported(tmp_path / "good", text, tmp_path / "models", images, command)
    for name, how in (("ct-other", "another patient"), ("ct-endless", "for ever")):
        bad = text.replace("name: ct-bone", f"name: {name}").replace("{limit: 300}", f"{{limit: 300, misbehave: {how}}}")
        imported(tmp_path / name, bad, tmp_path / "models", images, command)
    routes = [
        {"name": name, "when": {"Modality": "CT"}, "run": [name], "send": ["archive"]} for name in ("ct-bone", "ct-other", "ct-endless")
    ]
    timed = {"ct-endless": {"timeout": "10s"}}
    with hospital(tmp_path, tmp_path / "models", routes=routes, environment=images.environment, applications=timed) as both:
        sent = bone(tmp_path / "sent", "CONTAINED")
        both.pacs.upload(sent)
        study = both.results(source.study_uid(sent))
        assert len(study.of("SEG")) == 1
        told = {job["application"]: (job["state"], job["code"], job["reason"]) for job in both.node.jobs()}
    assert told["ct-bone"][0] == "done"
    assert told["ct-other"][:2] == ("parked", "HLM-4194")
    assert "another patient or study" in told["ct-other"][2]
    assert told["ct-endless"][:2] == ("parked", "HLM-4193")
    assert "did not end within" in told["ct-endless"][2]
