"""Trained models of nnU-Net v2, imported: labels against those of nnU-Net's own code on the same images, and a segmentation in a PACS.

Most models are nnU-Net's own with the weights that its trainer begins with: their values lie close together everywhere, so that a
difference which no trained network would show changes labels here. One is trained for a few hundred steps on a hippocampus.
"""

import json
import shutil
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from inference.applications.bundle.finish import finished
from inference.applications.bundle.manifest import FILE, application, from_text, masks, prepared
from inference.applications.bundle.nnunet.importing import Trained, import_nnunet
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import Engine, ModelRef, Tensors
from inference.engines.triton.engine import TritonEngine
from inference.imaging.subject import VolumeSet
from inference.imaging.volume import Volume
from inference.imaging.write_series import from_nifti, write_series
from node.dicom.uid import derive_uid
from tests.lab import source, validators
from tests.lab.here import hilum_here
from tests.lab.hospital import Hospital, hospital
from tests.lab.howto import HowTo
from tests.lab.needs import data
from tests.lab.nnunet import Case, make_and_predict
from tests.lab.triton import servers
from tests.unit.applications.bundle.images import blobs, volume
from tests.unit.applications.bundle.nnunet_plans import REGIONS, dataset, plans

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MODEL = "nnUNetTrainer__nnUNetPlans__3d_fullres"
VERSION = Path("made", "1")
ROUTE: Mapping[str, object] = {"name": "made", "from": ["pacs"], "when": {"Modality": "MR"}, "run": ["made"], "send": ["archive"]}


def _surrounded(shape: tuple[int, int, int], seed: int) -> NDArray[np.int16]:
    """An image whose border is 0, with a hole of 0 inside."""
    made: NDArray[np.int16] = np.zeros(shape, np.int16)
    made[2:-3, 4:-2, 3:-5] = blobs((shape[0] - 5, shape[1] - 6, shape[2] - 8), seed) + 900
    made[8:11, 12:16, 12:16] = 0
    return made


IMAGES: Mapping[str, Volume] = {
    # slices of four times the length of the network's voxels: resampled apart; the network's first axis is the rows'
    "apart": volume(_surrounded((12, 40, 44), 3), (4.0, 0.9, 1.1), modality="MR"),
    "fine": volume(blobs((34, 46, 42), 5), (1.5, 0.8, 0.8)),
    "slices": volume(blobs((7, 50, 46), 9), (3.0, 0.8, 0.8), modality="MR"),
    "regions": volume(blobs((26, 36, 34), 11), (1.3, 1.0, 1.0), modality="MR"),
    "as_it_is": volume(blobs((30, 40, 36), 7), (1.0, 1.0, 1.0), modality="MR"),
}
CHANNELS = VolumeSet(
    volumes={
        "T1": volume(_surrounded((16, 38, 40), 13), (1.4, 1.1, 1.0), modality="MR"),
        "T2": volume(_surrounded((16, 38, 40), 17), (1.4, 1.1, 1.0), modality="MR"),
    }
)
CASCADE = volume(_surrounded((96, 96, 96), 23), (1.0, 1.0, 1.0), modality="MR")
SUBJECTS: Mapping[str, Volume | VolumeSet] = {**IMAGES, "channels": CHANNELS, "cascade": CASCADE}
MODELS: Mapping[str, dict[str, Any]] = {
    "apart": {
        "plans": plans(masked=True, transpose=(1, 0, 2), patch=(24, 24, 32)),
        "dataset": dataset(),
        "folds": 2,
        "mirrored": (0, 2),
    },
    "fine": {
        "plans": plans(old=True, scheme="CTNormalization", patch=(16, 24, 24)),
        "dataset": dataset("CT"),
        "folds": 1,
        "mirrored": (1,),
    },
    "slices": {
        "plans": plans(patch=(24, 32), residual=True, scheme="NoNormalization"),
        "dataset": dataset(),
        "folds": 1,
        "mirrored": (0, 1),
    },
    "regions": {
        "plans": plans(scheme="RescaleTo01Normalization"),
        "dataset": dataset() | dict(REGIONS),
        "folds": 1,
        "mirrored": (2,),
    },
    "channels": {
        "plans": plans(normalization_schemes=["ZScoreNormalization"] * 2, use_mask_for_norm=[True, False]),
        "dataset": dataset() | {"channel_names": {"0": "T1", "1": "T2"}},
        "folds": 1,
        "mirrored": None,
    },
    "as_it_is": {"plans": plans(residual=True), "dataset": dataset(), "folds": 2, "mirrored": None},
}
HIPPOCAMPUS = "hippocampus_001.nii.gz"
"""Of the Medical Segmentation Decathlon: a crop of a head with the two parts of its hippocampus as labels."""
PARTS = {1: "hippocampus anterior", 2: "hippocampus posterior"}


@pytest.fixture(scope="module")
def cases(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Case]:
    """Every model with nnU-Net's labels; two of them as nnU-Net's export to a zip, too. And both networks of a cascade: all in one
    process, which takes longer to import nnU-Net than for a case."""
    folder = tmp_path_factory.mktemp("nnunet")
    made = {}
    for number, (name, model) in enumerate(MODELS.items()):
        subject = SUBJECTS[name]
        each = list(subject.volumes.values()) if isinstance(subject, VolumeSet) else [subject]
        np.save(folder / f"{name}.npy", np.stack([image.voxels for image in each]))
        made[name] = Case(
            folder=str(folder / f"Dataset32{number}_Made" / MODEL),
            configuration="3d_fullres",
            image=str(folder / f"{name}.npy"),
            labels=str(folder / f"{name}_labels.npy"),
            spacing=[float(length) for length in np.linalg.norm(each[0].affine[:3, :3], axis=0)],
            zip=str(folder / f"{name}.zip") if name in ("as_it_is", "fine") else "",
            seed=number,
            **model,
        )
    made |= _cascade(folder)
    make_and_predict(list(made.values()), folder)
    return made


def _cascade(folder: Path) -> dict[str, Case]:
    """A network that sees 96³ voxels at two fifths of their sides, and one at a half that refines its labels, both in several patches."""
    np.save(folder / "cascade.npy", CASCADE.voxels[None])
    names = ("3d_lowres", "3d_cascade_fullres")
    return {
        name: Case(
            folder=str(folder / "Dataset329_Made" / f"nnUNetTrainer__nnUNetPlans__{name}"),
            plans=plans(masked=True, patch=(24, 32, 32), spacing=(2.2, 2.0, 2.0), coarser=(3.2, 2.6, 2.6)),
            dataset=dataset(),
            configuration=name,
            folds=1,
            image=str(folder / "cascade.npy"),
            labels=str(folder / f"{name}.npy"),
            spacing=[1.0, 1.0, 1.0],
            mirrored=(2,),
            seed=number,
            marked=str(folder / f"{names[0]}.npy") if number else "",
        )
        for number, name in enumerate(names)
    }


@pytest.fixture(scope="module")
def repository(cases: Mapping[str, Case], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The repository that a model was imported into, once for all tests."""
    made: dict[str, Path] = {}

    def holding(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            import_nnunet(Path(cases[name].folder), Trained(name="made", orientation="LPS"), folder)
            made[name] = folder
        return made[name]

    return holding


def _import(path: str, repository: Path, *words: str) -> None:
    """The import as an operator does it; the images that the tests make lie LPS."""
    said = hilum_here("models", "import", path, "--orientation", "LPS", "--name", "made", "--repository", repository, "--no-tune", *words)
    assert said.code == 0, said.out + said.err


class _Calls:
    """An engine as an application calls it."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        return self._engine.infer(model, tensors)

    def at_once(self, model: ModelRef) -> int:
        return 2

    def call_of(self, model: ModelRef) -> None:
        return None


def _agrees(name: str, case: Case, models: Path, engine: Engine) -> None:
    """999 in 1000 of the voxels that either marks have the same label."""
    manifest = from_text((models / VERSION / FILE).read_bytes(), FILE)
    labels = masks(manifest, SUBJECTS[name], _Calls(engine))
    theirs = case.predicted()
    assert len(np.unique(theirs)) > 1
    if labels.ndim > theirs.ndim:
        # a mask for each region: the voxels whose label is one of its values
        regions = [values for name, values in case.dataset["labels"].items() if name != "background"]
        theirs = np.stack([np.isin(theirs, values) for values in regions])
        same, marked = (labels == theirs).all(axis=0), (labels | theirs).any(axis=0)
    else:
        same, marked = labels == theirs, (labels > 0) | (theirs > 0)
    assert marked.sum() >= 500
    assert same[marked].mean() >= 0.999


@pytest.mark.parametrize("name", MODELS)
def test_labels_are_those_of_nnunet(name: str, cases: Mapping[str, Case], repository: Callable[[str], Path]) -> None:
    """Plans of both forms, plain and residual networks, of volumes and of slices, every normalisation of whole volumes, cropped and turned,
    resampled with the coarse axis apart or all at once, one fold and several, mirrored or not, labels and regions, one channel and two."""
    models = repository(name)
    with closing(EmbeddedEngine(models)) as engine:
        _agrees(name, cases[name], models, engine)


@pytest.mark.parametrize("name", ["apart", "regions"])
def test_labels_are_those_of_nnunet_on_triton(name: str, cases: Mapping[str, Case], repository: Callable[[str], Path]) -> None:
    """The same file, served: two folds in one call, and regions."""
    models = repository(name)
    with servers() as start, closing(TritonEngine(start(models).url, models, shared_memory="on")) as engine:
        _agrees(name, cases[name], models, engine)


@pytest.fixture(scope="module")
def cascade(cases: Mapping[str, Case]) -> Case:
    """The case of the network that refines, of which the first marks something to refine."""
    marked = cases["3d_lowres"].predicted()
    assert all((marked == number).sum() >= 500 for number in (1, 2)), "the second has something to refine"
    return cases["3d_cascade_fullres"]


@pytest.fixture(scope="module")
def refining(cascade: Case, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository that both networks were imported into, by one command of the folder that holds them."""
    folder = tmp_path_factory.mktemp("refining")
    _import(str(Path(cascade.folder).parent), folder, "--configuration", "3d_cascade_fullres")
    return folder


def test_a_cascade_is_that_of_nnunet(cascade: Case, refining: Path) -> None:
    """One application runs both networks: its labels are those that nnU-Net's second one gives of what its first one marks. Given none of
    that, the second one alone marks something else."""
    assert application(refining / VERSION / FILE).models == (ModelRef(name="made"), ModelRef(name="made_3d_lowres"))
    manifest = from_text((refining / VERSION / FILE).read_bytes(), FILE)
    with closing(EmbeddedEngine(refining)) as engine:
        _agrees("cascade", cascade, refining, engine)
        nothing = prepared(manifest, CASCADE, np.zeros(CASCADE.voxels.shape, np.uint16))
        assert nothing.values[1:].max() == 0
        logits = manifest.inferer(_Calls(engine), manifest.model, nothing.values, manifest.input, manifest.output, None)
    alone = finished(logits, manifest.finish, nothing)
    theirs = cascade.predicted()
    assert (alone == theirs)[(alone > 0) | (theirs > 0)].mean() < 0.99


def test_a_cascade_is_that_of_nnunet_on_triton(cascade: Case, refining: Path) -> None:
    """Both networks, served."""
    with servers() as start, closing(TritonEngine(start(refining).url, refining, shared_memory="on")) as engine:
        _agrees("cascade", cascade, refining, engine)


def test_a_cascade_needs_both_networks(cascade: Case, tmp_path: Path) -> None:
    """The folder of the second network alone is refused with what to give in its place, and nothing is written."""
    said = hilum_here("models", "import", cascade.folder, "--orientation", "LPS", "--name", "made", "--repository", tmp_path / "models")
    assert said.code == 1
    assert "3d_cascade_fullres refines what 3d_lowres marks" in said.err + said.out
    assert not (tmp_path / "models").exists()


def test_its_own_zip_is_the_same_model(cases: Mapping[str, Case], repository: Callable[[str], Path], tmp_path: Path) -> None:
    """What nnUNetv2_export_model_to_zip writes of several folds becomes the bytes that their folder becomes."""
    folder = repository("as_it_is") / VERSION
    import_nnunet(Path(cases["as_it_is"].zip), Trained(name="made", orientation="LPS"), tmp_path / "models")
    zipped = tmp_path / "models" / VERSION
    assert application(zipped / FILE).name == "made"
    assert (zipped / "model.onnx").read_bytes() == (folder / "model.onnx").read_bytes()
    assert (zipped / FILE).read_bytes() == (folder / FILE).read_bytes()


def test_the_page_is_followed(cases: Mapping[str, Case], tmp_path: Path) -> None:
    """docs/howto/import-nnunet.md: its commands as written, of a folder and of nnU-Net's own zip, make two applications. The folder's plans
    name the dataset as the page does: the application has its name of that."""
    case, page = cases["fine"], HowTo("import-nnunet.md")
    there = {f"Dataset004_Spleen/{MODEL}": str(tmp_path / "Dataset004_Spleen" / MODEL), "spleen.zip": str(tmp_path / "spleen.zip")}
    shutil.copytree(case.folder, there[f"Dataset004_Spleen/{MODEL}"])
    said_by = tmp_path / "Dataset004_Spleen" / MODEL / "plans.json"
    said_by.write_text(json.dumps(json.loads(said_by.read_text()) | {"dataset_name": "Dataset004_Spleen"}))
    shutil.copy(case.zip, there["spleen.zip"])
    config = tmp_path / "hilum.yaml"
    config.write_text(f"models: {{repository: {tmp_path / 'models'}}}\n")
    for command in page.commands():
        program, *words = page.typed(command).split()
        said = hilum_here(*(there.get(word, word) for word in words), "--config", config)
        assert (program, said.code) == ("hilum", 0), said.out + said.err
    page.followed()
    one, other = (tmp_path / "models" / name / "1" for name in ("nnunet_spleen", "ct_spleen"))
    assert [application(made / FILE).name for made in (one, other)] == ["nnunet-spleen", "ct-spleen"]
    assert (one / "model.onnx").read_bytes() == (other / "model.onnx").read_bytes()


def test_a_trained_model_marks_in_the_pacs_what_nnunet_marks(tmp_path: Path) -> None:
    """A network that nnU-Net trained on a hippocampus: the series goes in over DIMSE, and the segmentation in the PACS has nnU-Net's label
    at 999 in 1000 of the voxels that either marks, each part where nnU-Net has it, coded as the operator said. Validators find nothing."""
    (image, affine), (truth, _) = (from_nifti(data("train", "hippocampus_msd04", of, HIPPOCAMPUS)) for of in ("images", "labels"))
    np.save(tmp_path / "image.npy", image[None])
    np.save(tmp_path / "truth.npy", truth.astype(np.int16))
    case = Case(
        folder=str(tmp_path / "Dataset320_Made" / MODEL),
        plans=plans(patch=(24, 32, 24)),
        dataset=dataset() | {"labels": {"background": 0, **{name: number for number, name in PARTS.items()}}},
        configuration="3d_fullres",
        folds=1,
        image=str(tmp_path / "image.npy"),
        labels=str(tmp_path / "labels.npy"),
        spacing=[1.0, 1.0, 1.0],
        mirrored=(2,),
        seed=1,
        steps=220,
        truth=str(tmp_path / "truth.npy"),
    )
    make_and_predict([case], tmp_path)
    theirs = case.predicted()
    assert all((theirs == number).sum() >= 500 for number in PARTS), "it is trained"
    _import(case.folder, tmp_path / "models", *(word for number in PARTS for word in ("--code", f"{number}=SCT:5366008:Hippocampus")))
    sent = tmp_path / "sent"
    write_series(image, affine, sent, modality="MR", patient_id="NNUNET")
    with hospital(tmp_path, tmp_path / "models", routes=[ROUTE]) as both:
        both.pacs.upload(sent)
        seg = _segmentation(both, source.study_uid(sent), tmp_path)
    coded = {int(one.SegmentNumber): one.SegmentedPropertyTypeCodeSequence[0].CodeValue for one in pydicom.dcmread(seg).SegmentSequence}
    assert coded == dict.fromkeys(PARTS, "5366008")
    crop = source.read(sent)
    ours = np.zeros(crop.voxels.shape, dtype=np.uint8)
    for part in validators.segimage2itkimage(seg):
        ours[tuple(crop.index_of(part.points_mm()).T)] = part.number
    marked = (ours > 0) | (theirs > 0)
    assert (ours == theirs)[marked].mean() >= 0.999
    assert validators.faults_of(seg) == []


def test_the_channels_are_series_of_a_study_by_their_roles(
    cases: Mapping[str, Case], repository: Callable[[str], Path], tmp_path: Path
) -> None:
    """T1 and T2 are two series that come in the other order; the route gives them their roles, and the labels are nnU-Net's."""
    route = {**ROUTE, "roles": {name: {"SeriesDescription": name} for name in CHANNELS.volumes}}
    study_uid = derive_uid("nnunet", "channels")
    with hospital(tmp_path, repository("channels"), routes=[route]) as both:
        for name, image in reversed(list(CHANNELS.volumes.items())):
            write_series(
                image.voxels,
                image.affine,
                tmp_path / name,
                modality="MR",
                patient_id="NNUNET",
                study_uid=study_uid,
                series_uid=derive_uid("nnunet", name),
                series_description=name,
                extra={"FrameOfReferenceUID": derive_uid("nnunet", "frame")},
            )
            both.pacs.upload(tmp_path / name)
        seg = _segmentation(both, study_uid, tmp_path)
    names = {int(segment.SegmentNumber): segment.SegmentLabel for segment in pydicom.dcmread(seg).SegmentSequence}
    counted = {names[part.number]: int(part.mask.sum()) for part in validators.segimage2itkimage(seg)}
    theirs = cases["channels"].predicted()
    for number, label in ((1, "spleen"), (2, "left kidney")):
        assert counted.get(label, 0) == pytest.approx(int((theirs == number).sum()), rel=0.001, abs=5)


def _segmentation(both: Hospital, study_uid: str, folder: Path) -> Path:
    """The one segmentation that came back into the PACS."""
    study = both.results(study_uid)
    (seg,) = [path for series in study.of("SEG") for path in both.pacs.download(series, folder / "back")]
    return seg
