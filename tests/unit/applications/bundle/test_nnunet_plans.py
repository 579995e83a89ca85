"""Plans of nnU-Net: what is computed of them, and the sentence for each name, number or archive that is refused."""

import io
import json
import stat
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.applications.bundle.errors import (
    HostileBundle,
    TooLittleMemory,
    UnclearBundle,
    UnknownInPlans,
    UnreadableBundle,
    ValuesOutside,
)
from inference.applications.bundle.finish import Return, finished
from inference.applications.bundle.given import Given, given
from inference.applications.bundle.nnunet import patches as patching
from inference.applications.bundle.nnunet.importing import Trained, import_nnunet
from inference.applications.bundle.nnunet.layout import trained_in
from inference.applications.bundle.nnunet.patches import Patches
from inference.applications.bundle.nnunet.plans import read_labels, read_plans
from inference.applications.bundle.nnunet.preparing import Resample, RgbTo01
from inference.applications.bundle.steps import source_image
from inference.engines.port import ModelRef
from inference.engines.tiling import spread_starts
from tests.unit.applications.bundle.images import volume
from tests.unit.applications.bundle.nnunet_plans import REGIONS, dataset, plans

Change = Callable[[dict[str, Any]], object]


def _arch(said: dict[str, Any]) -> dict[str, Any]:
    arguments: dict[str, Any] = said["configurations"]["3d_fullres"]["architecture"]["arch_kwargs"]
    return arguments


def _configuration(said: dict[str, Any]) -> dict[str, Any]:
    configuration: dict[str, Any] = said["configurations"]["3d_fullres"]
    return configuration


def test_both_forms_describe_one_network() -> None:
    """Plans of before nnU-Net 2.3 and since say the same in other keys."""
    assert read_plans(plans(old=True), "3d_fullres").architecture == read_plans(plans(), "3d_fullres").architecture


def test_a_configuration_has_what_it_inherits() -> None:
    """`inherits_from` is followed, and what stands in the configuration itself counts."""
    said = plans()
    said["configurations"]["3d_fullres_small"] = {"inherits_from": "3d_fullres", "patch_size": [8, 8, 8]}
    assert read_plans(said, "3d_fullres_small").patch == (8, 8, 8)


REFUSED: dict[str, tuple[Change, type[Exception], str]] = {
    "network": (
        lambda said: _configuration(said)["architecture"].update(network_class_name="os.system"),
        UnknownInPlans,
        "os.system",
    ),
    "activation": (lambda said: _arch(said).update(nonlin="subprocess.Popen"), UnknownInPlans, "subprocess.Popen"),
    "norm": (lambda said: _arch(said).update(norm_op="torch.hub.load"), UnknownInPlans, "torch.hub.load"),
    "setting": (lambda said: _arch(said).update(squeeze_excitation=True), UnknownInPlans, "squeeze_excitation"),
    "features": (lambda said: _arch(said).update(features_per_stage=[10**9] * 3), HostileBundle, "1000000000"),
    "stages": (lambda said: _arch(said).update(n_stages=10**6), HostileBundle, "1000000"),
    "preprocessor": (lambda said: _configuration(said).update(preprocessor_name="MyPreprocessor"), UnknownInPlans, "MyPreprocessor"),
    "resampling": (
        lambda said: _configuration(said).update(resampling_fn_probabilities="resample_torch_fornnunet"),
        UnknownInPlans,
        "resample_torch_fornnunet",
    ),
    "normalisation": (lambda said: _configuration(said).update(normalization_schemes=["MyNorm"]), UnknownInPlans, "MyNorm"),
    "reader": (lambda said: said.update(image_reader_writer="NaturalImage2DIO"), UnknownInPlans, "NaturalImage2DIO"),
    "labels": (lambda said: said.update(label_manager="MyLabels"), UnknownInPlans, "MyLabels"),
    "labels between slices": (
        lambda said: _configuration(said).update(previous_stage="3d_lowres", resampling_fn_seg_kwargs={"is_seg": True, "order_z": 1}),
        UnknownInPlans,
        "order_z is 1",
    ),
    "labels as images": (
        lambda said: _configuration(said).update(previous_stage="3d_lowres", resampling_fn_seg_kwargs={"is_seg": False}),
        UnknownInPlans,
        "is_seg",
    ),
    "patch": (lambda said: _configuration(said).update(patch_size=[2048] * 3), HostileBundle, "2048"),
    "spacing": (lambda said: _configuration(said).update(spacing=[1.0, 0.0, 1.0]), UnreadableBundle, "spacing"),
    "transposition": (lambda said: said.update(transpose_forward=[0, 0, 1]), UnreadableBundle, "transpose_forward"),
    "itself": (lambda said: _configuration(said).update(inherits_from="3d_fullres"), UnreadableBundle, "inherits"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_computed_is_refused_by_its_name(what: str) -> None:
    """Another name, or a number beyond all images, ends the import with a sentence that has it in; nothing is imported that plans name."""
    change, error, named = REFUSED[what]
    said = plans()
    change(said)
    with pytest.raises(error, match=named.replace(".", r"\.")):
        read_plans(said, "3d_fullres")


def test_labels_of_other_kinds_are_refused() -> None:
    """Channels and labels with a gap in their numbers, and regions without an order."""
    with pytest.raises(UnreadableBundle, match="0, 2"):
        read_labels(dataset() | {"channel_names": {"0": "T1", "2": "T2"}})
    with pytest.raises(UnreadableBundle, match="regions_class_order"):
        read_labels(dataset() | {"labels": {"background": 0, "whole tumor": [1, 2], "core": 2}})
    with pytest.raises(UnreadableBundle, match="gap"):
        read_labels(dataset(spleen=1, liver=3))


def test_channels_need_a_normalisation_each() -> None:
    """Plans for one channel do not fit a dataset.json of two."""
    with pytest.raises(UnreadableBundle, match="1 entries, use_mask_for_norm 1, for 2 channels"):
        read_plans(plans(), "3d_fullres", 2)


def test_the_modality_is_that_of_the_channel() -> None:
    """CT and contrasts of MR are known; a channel named after its normalisation says nothing."""
    assert [read_labels(dataset(name)).modality for name in ("CT", "MRI", "T1w", "FLAIR", "zscore")] == ["CT", "MR", "MR", "MR", None]


def _zip(path: Path, members: dict[str, bytes], link: str = "") -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (stat.S_IFLNK if name == link else stat.S_IFREG) << 16
            archive.writestr(info, content)
    return path


def _members() -> dict[str, bytes]:
    at = "Dataset321_Made/nnUNetTrainer__nnUNetPlans__3d_fullres/"
    said = {"plans.json": json.dumps(plans()).encode(), "dataset.json": json.dumps(dataset()).encode()}
    return {f"{at}{name}": content for name, content in (said | {"fold_0/checkpoint_final.pth": b"none"}).items()}


def test_a_zip_whose_names_lead_out_is_refused(tmp_path: Path) -> None:
    """`..`, absolute names and links end the import; what they name is neither read nor written."""
    for name, link in (("../plans.json", ""), ("/etc/passwd", ""), ("linked", "linked")):
        zipped = _zip(tmp_path / "made.zip", _members() | {name: b"/etc/passwd"}, link)
        with pytest.raises(UnreadableBundle, match=r"leads out|is a link"):
            import_nnunet(zipped, Trained(orientation="RAS"), tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_a_bomb_is_read_no_further_than_plans_may_be(tmp_path: Path) -> None:
    """Sixty-four megabytes of zeros, packed into kilobytes, are not unpacked as plans.json."""
    members = _members()
    name = next(name for name in members if name.endswith("plans.json"))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in members.items():
            archive.writestr(each, b"\0" * (64 << 20) if each == name else content)
    (tmp_path / "made.zip").write_bytes(packed.getvalue())
    with pytest.raises(UnreadableBundle, match="more than"):
        import_nnunet(tmp_path / "made.zip", Trained(orientation="RAS"), tmp_path / "models")


def test_several_models_are_not_chosen_from(tmp_path: Path) -> None:
    """Two configurations in one zip: the message lists them, and the option that chooses."""
    members = _members() | {name.replace("3d_fullres", "3d_lowres"): content for name, content in _members().items()}
    zipped = _zip(tmp_path / "made.zip", members)
    assert given(zipped) is Given.NNUNET
    with pytest.raises(UnclearBundle, match="--configuration, of 3d_fullres, 3d_lowres"):
        import_nnunet(zipped, Trained(orientation="RAS"), tmp_path / "models")


def test_a_trained_model_is_known_by_its_files() -> None:
    """plans.json, dataset.json and a fold's checkpoint make one; each alone does not."""
    files = ["plans.json", "dataset.json", "fold_0/checkpoint_final.pth"]
    assert trained_in(files) == ("",)
    assert trained_in([f"a/b/{name}" for name in files]) == ("a/b",)
    assert all(trained_in([name for name in files if name != absent]) == () for absent in files)


def test_windows_lie_evenly() -> None:
    """110 voxels in windows of 64 that overlap by half: three, at 0, 23 and 46 (the example in nnU-Net's own source)."""
    assert spread_starts(110, 64, 0.5) == [0, 23, 46]
    assert spread_starts(64, 64, 0.5) == [0]


def test_a_coarse_axis_is_not_blurred() -> None:
    """Slices more than three times as far apart as their voxels keep their values along that axis: the nearest slice's."""
    image = np.zeros((4, 6, 6), np.float32)
    image[1] = 8.0
    made = Resample(spacing_mm=(2.0, 1.0, 1.0)).apply(source_image(volume(image, (4.0, 1.0, 1.0))))
    assert made.values[:, 3, 3].tolist() == [0, 0, 8, 8, 0, 0, 0, 0]


def test_regions_are_painted_over_each_other() -> None:
    """Channel by channel in dataset.json's order: what the last paints is of every region that has its label, whatever their own logits."""
    labels = read_labels(dataset() | dict(REGIONS))
    assert labels.names == {1: "edema", 2: "neoplasm", 3: "necrosis"}
    logits = np.full((3, 1, 1, 5), -1.0, np.float32)
    logits[0, ..., 1:4], logits[1, ..., 2], logits[2, ..., 3], logits[2, ..., 4] = 1, 1, 1, 1
    image = source_image(volume(np.zeros((1, 1, 5), np.int16), (1.0, 1.0, 1.0)))
    masks = finished(logits, (Return(nearest=False), labels.decided), image)
    assert masks[:, 0, 0].astype(int).tolist() == [[0, 1, 1, 1, 1], [0, 0, 1, 1, 1], [0, 0, 0, 1, 1]]


def test_values_of_eight_bits() -> None:
    """0 to 255 become 0 to 1; a series with other values is refused, as nnU-Net refuses it."""
    image = np.array([[[0, 51, 255]]], np.int16)
    assert RgbTo01().apply(source_image(volume(image, (1.0, 1.0, 1.0)))).values.ravel().tolist() == pytest.approx([0, 0.2, 1])
    with pytest.raises(ValuesOutside, match="-1 to 255"):
        RgbTo01().apply(source_image(volume(np.array([[[-1, 51, 255]]], np.int16), (1.0, 1.0, 1.0))))


@pytest.mark.parametrize(("folds", "mb", "said"), [(1, 90, "voxels take"), (5, 180, "voxels from 5 folds take")])
def test_memory_is_asked_for_before_anything_is_computed(folds: int, mb: int, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the host cannot hold is said with both numbers; the network is not called. 120 channels of 64³ voxels are 63 MB in half
    precision, and 31 MB more for each fold whose patches are 32 voxels deep."""
    monkeypatch.setattr(patching, "usable_memory", lambda: mb << 20)
    with pytest.raises(TooLittleMemory, match=f"120 channels of 64 × 64 × 64 {said}"):
        Patches(side=(32, 8, 8), channels=120, folds=folds)(
            None,  # type: ignore[arg-type]
            ModelRef(name="made"),
            np.zeros((64, 64, 64), np.float32),
            "INPUT__0",
            "OUTPUT__0",
            None,
        )
