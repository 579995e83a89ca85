"""What comes with hippocampus: weights that are what their card says, under the licence of their data."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications import catalog
from inference.applications.hippocampus import APPLICATION
from inference.applications.hippocampus.application import SIDELESS
from inference.applications.serving import as_served
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.golden import check_golden
from inference.engines.port import Call, ModelRef, Tensors
from inference.engines.repository import Repository
from inference.engines.serving import served
from inference.engines.weights_import import import_models
from inference.imaging.assemble import assemble
from inference.imaging.write_series import from_nifti, write_series
from training.evaluation.record import PAGE, read
from training.infer import EngineInfer

MODEL = ModelRef(name="hippocampus_parts", version=1)
SHIPPED = Path(str(APPLICATION.sources[0].shipped)).parents[2]
MOST_BYTES = 5_000_000


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `hilum models import hippocampus` makes."""
    folder = tmp_path_factory.mktemp("models")
    import_models(APPLICATION, folder)
    return folder


@pytest.fixture(scope="module")
def engine(repository: Path) -> Iterator[EmbeddedEngine]:
    with closing(EmbeddedEngine(repository)) as opened:
        yield opened


def test_it_is_small_and_says_whose_it_is(repository: Path) -> None:
    """The licence's own text, who made the data, what was changed, the figures of the held-out patients; all of it goes into a wheel."""
    assert sum(file.stat().st_size for file in SHIPPED.rglob("*") if file.is_file()) < MOST_BYTES
    assert (SHIPPED / "LICENSE").read_text().startswith("Attribution-ShareAlike 4.0 International")
    notice = (SHIPPED / "README.md").read_text()
    for said in ("creativecommons.org/licenses/by-sa/4.0", "Medical Segmentation Decathlon", "Changes"):
        assert said in notice
    card = (repository / MODEL.name / "README.md").read_text()
    for said in ("CC-BY-SA-4.0", "Research – not for diagnosis", "| Dice hippocampus |", str(APPLICATION.sources[0].sha256)):
        assert said in card


def test_its_evaluation_comes_with_it(repository: Path) -> None:
    """The page that the console shows is that of the evaluation that lies beside it, and both are of these very weights."""
    folder = repository / MODEL.name / "1"
    evaluation = read(folder)
    assert evaluation["sha256"] == Repository(repository).digest(MODEL)
    assert hashlib.sha256((folder / PAGE).read_bytes()).hexdigest() == evaluation["card_sha256"]
    assert evaluation["cases"]["test"] == len(evaluation["each"]) == 52
    assert (evaluation["data"]["licence"], evaluation["figures"]["Dice hippocampus"]["count"]) == ("CC-BY-SA-4.0", 52)


@pytest.mark.slow
def test_the_weights_answer_as_on_the_day_they_were_made(repository: Path, engine: EmbeddedEngine) -> None:
    """Digest and golden run; what is imported is what was evaluated, byte for byte, and it is served."""
    entry = Repository(repository).verify(MODEL)
    assert entry is not None
    assert entry.golden is not None
    assert entry.sha256 == entry.source_sha256 == Repository(SHIPPED).digest(MODEL)
    check_golden(engine, Repository(repository), MODEL, entry.golden)
    assert served(repository, MODEL.name).version == 1


def test_a_held_out_crop_is_segmented_as_a_person_did(
    repository: Path, engine: EmbeddedEngine, tmp_path: Path, real: Callable[[str], list[Path]]
) -> None:
    """Its masks, on the grid of its series, against the labels that were published with it."""
    image, labelled = (real(f"train/hippocampus_msd04/{kind}/hippocampus_001.nii.gz")[0] for kind in ("images", "labels"))
    voxels, affine = from_nifti(image)
    volume = assemble(write_series(voxels, affine, tmp_path, modality="MR"))
    found = as_served(catalog.load("hippocampus"), repository).analyse(volume, EngineInfer(engine))
    # by hand: NIfTI's first two axes run to the right and to the front, those of the volume (Z, Y, X) to the back and the left
    labels = np.asarray(nibabel.load(labelled).dataobj).transpose(2, 1, 0)[:, ::-1, ::-1]
    masks = {segment.label: segment.mask for segment in found.segments}
    whole = np.logical_or.reduce(list(masks.values()))
    assert 2 * (whole & (labels > 0)).sum() / (whole.sum() + (labels > 0).sum()) > 0.8
    volumes = {measurement.segment: measurement.value for measurement in found.measurements}
    # of the two parts, and of both together
    assert volumes == pytest.approx({**{label: mask.sum() / 1000 for label, mask in masks.items()}, None: whole.sum() / 1000})


class Halves:
    """A model that finds one part in the lower and the other in the upper half."""

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, NDArray[Any]]:
        image = tensors["INPUT__0"][0, 0]
        scores = np.zeros((3, *image.shape), dtype=np.float32)
        scores[1, : len(image) // 2], scores[2, len(image) // 2 :] = 1, 1
        return {"OUTPUT__0": scores[None]}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None


@pytest.mark.parametrize(("said", "side"), [("L", codes.LEFT), ("R", codes.RIGHT), ("", None), ("B", None)])
def test_the_side_is_that_of_the_headers_or_nobody_knows_it(said: str, side: codes.Code | None, tmp_path: Path) -> None:
    """From Laterality in every image; a crop without it gets a remark, and no side from where it lies."""
    voxels = np.random.default_rng(0).integers(100, 900, (35, 51, 35)).astype(np.int16)
    affine = np.diag([1.0, 1.0, 1.0, 1.0])[[2, 1, 0, 3]]
    files = write_series(voxels, affine, tmp_path, modality="MR", extra={"Laterality": said, "BodyPartExamined": "BRAIN"})
    volume = assemble(files)

    found = APPLICATION.analyse(volume, Halves())
    assert [one.laterality for one in found.segments] == [side, side]
    assert found.remarks == (() if side else (SIDELESS,))
    (total,) = (one for one in found.measurements if one.total is not None)
    assert total.value == pytest.approx(sum(one.value for one in found.measurements if one.segment is not None))
