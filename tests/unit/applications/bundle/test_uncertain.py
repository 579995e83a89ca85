"""How unsure a network is of each voxel: entropy by hand, and of an application's own probabilities on its own grid."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from inference import codes
from inference.applications.bundle.finish import Activation, Decision, Return
from inference.applications.bundle.inferer import Whole
from inference.applications.bundle.manifest import BundleManifest, application_of, masks
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.steps import CropForeground, Spacing
from inference.applications.bundle.structures import Structure
from inference.applications.bundle.uncertain import told
from inference.applications.declared import check_outputs
from inference.applications.entropy import ENTROPY, entropy
from inference.applications.errors import InvalidOutput
from inference.applications.manifest import check_manifest
from inference.applications.port import Accepts, ModelRef
from inference.findings import Findings, Uncertainty
from inference.imaging.volume import SliceSource, Volume

MODEL = ModelRef(name="own", version=1)
MANIFEST = BundleManifest(
    name="own",
    version="1.0.0",
    title="Own",
    accepts=Accepts(modality=("CT",)),
    model=MODEL,
    input="INPUT__0",
    output="OUTPUT__0",
    channels=2,
    prepare=(Spacing(pixdim=(0.0, 0.0, 2.0), mode="bilinear"),),
    inferer=Whole(),
    finish=(Activation(softmax=True), Return(nearest=False), Decision()),
    structures=(
        Structure(channel=1, label="lesion", type=codes.LESION, category=codes.MORPHOLOGICALLY_ABNORMAL_STRUCTURE, rgb=(200, 60, 60)),
    ),
)


class Steps:
    """An `Infer` whose second logit is what it sees, and its first one 0; it keeps the shapes."""

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, model: ModelRef, tensors: Any, /) -> dict[str, NDArray[Any]]:
        seen = tensors["INPUT__0"]
        self.shapes.append(seen.shape)
        return {"OUTPUT__0": np.concatenate([np.zeros_like(seen), seen], axis=1)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> None:
        return None


def test_entropy_is_a_share_of_the_largest() -> None:
    """By hand: 1 where all are as likely, 0 where one is certain, half a bit and more between; of channels of their own the least sure."""
    p = np.array([[1 / 3, 1.0, 0.5], [1 / 3, 0.0, 0.5], [1 / 3, 0.0, 0.0]], dtype=np.float32)
    assert entropy(p, 3, exclusive=True) == pytest.approx([1, 0, np.log(2) / np.log(3)], abs=1e-6)
    assert entropy(np.array([[0.5, 0.25, 0.0], [0.0, 0.25, 0.0]], dtype=np.float32), 2, exclusive=True) == pytest.approx(
        [0, 1, 0], abs=1e-6
    )
    assert entropy(np.array([[0.0, 0.5], [0.11, 1.0]], dtype=np.float32), 2, exclusive=False) == pytest.approx([0.49992, 1], abs=1e-4)


def test_it_lies_on_the_series_own_grid_and_is_largest_where_the_decision_turns() -> None:
    """A ramp over columns of 1 mm, seen in columns of 2 mm: where the two channels are as likely, the mask begins and entropy is 1; it
    falls to both sides, as the logarithm of the odds says."""
    ramp = np.linspace(-4, 4, 17, dtype=np.float32)
    source = tuple(SliceSource(sop_instance_uid=f"1.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.2") for z in range(3))
    affine = np.array([[0, 0, 1, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64)
    uids: dict[str, Any] = {"study_instance_uid": "1", "series_instance_uid": "1.2", "frame_of_reference_uid": "1.3"}
    volume = Volume(voxels=np.tile(ramp, (3, 4, 1)), affine=affine, sources=source, modality="CT", **uids)
    network = Steps()
    application = check_manifest(application_of(MANIFEST), "own", "here")
    assert application.unsure is not None
    (unsure,) = application.unsure(volume, network)
    check_outputs(application, Findings(uncertainties=(unsure,)), volume)
    found, marked = unsure.values, masks(MANIFEST, volume, network)
    assert {shape[-1] for shape in network.shapes} == {9}
    assert found.shape == marked.shape == volume.voxels.shape
    line = found[1, 2]
    assert line.argmax() == 8
    assert line[8] == pytest.approx(1, abs=1e-3)
    assert (np.diff(line)[:7] > 0).all()
    assert (np.diff(line)[9:] < 0).all()
    assert np.flatnonzero(np.diff(marked[1, 2].astype(int)))[0] in (7, 8)
    p = 1 / (1 + np.exp(-4.0))
    assert line[16] == pytest.approx(-(p * np.log2(p) + (1 - p) * np.log2(1 - p)), abs=1e-3)


def test_beside_what_the_network_saw_nothing_is_unsure() -> None:
    """It saw the bright half alone, in columns of 2 mm, and was sure of it: interpolated with what it did not see, no line of doubt is
    drawn around it."""
    bright = np.where(np.arange(17) < 8, 0, 9).astype(np.float32)
    source = tuple(SliceSource(sop_instance_uid=f"1.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.2") for z in range(3))
    uids: dict[str, Any] = {"study_instance_uid": "1", "series_instance_uid": "1.2", "frame_of_reference_uid": "1.3"}
    volume = Volume(voxels=np.tile(bright, (3, 4, 1)), affine=np.eye(4)[[2, 1, 0, 3]], sources=source, modality="CT", **uids)
    application, network = application_of(replace(MANIFEST, prepare=(*MANIFEST.prepare, CropForeground()))), Steps()
    assert application.unsure is not None
    (unsure,) = application.unsure(volume, network)
    assert {shape[-1] for shape in network.shapes} == {5}
    assert unsure.values.max() < 0.01


@pytest.mark.parametrize("wrong", [np.full((3, 4, 17), 1.5, np.float32), np.zeros((3, 4, 16), np.float32), np.zeros((3, 4, 17))])
def test_a_map_of_another_range_grid_or_type_is_refused(wrong: NDArray[Any]) -> None:
    """Whatever an application gives besides: a reader sees shares of one, voxel on voxel."""
    source = tuple(SliceSource(sop_instance_uid=f"1.{z}", sop_class_uid="1.2.840.10008.5.1.4.1.1.2") for z in range(3))
    uids: dict[str, Any] = {"study_instance_uid": "1", "series_instance_uid": "1.2", "frame_of_reference_uid": "1.3"}
    volume = Volume(voxels=np.zeros((3, 4, 17), np.float32), affine=np.eye(4), sources=source, modality="CT", **uids)
    found = Uncertainty(label=ENTROPY, values=wrong, quantity=codes.NORMALISED_ENTROPY)
    with pytest.raises(InvalidOutput, match="Entropy"):
        check_outputs(application_of(MANIFEST), Findings(uncertainties=(found,)), volume)


def test_only_of_one_activation_of_windows_or_the_whole_image() -> None:
    """Logits are no probabilities, of one channel alone nothing is decided, and patches of nnU-Net give labels."""
    softmax = Activation(softmax=True)
    assert told((softmax, Decision()), Whole(), 2)
    assert told((Activation(sigmoid=True), Decision(threshold=0.5)), Whole(), 1)
    assert not told((softmax, Decision()), Whole(), 1)
    assert not told((Decision(),), Whole(), 2)
    assert not told((softmax, Decision()), Patches(side=(4, 4, 4), channels=2), 2)
    assert application_of(replace(MANIFEST, finish=(Return(nearest=False), Decision()))).unsure is None
