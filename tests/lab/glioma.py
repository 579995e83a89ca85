"""The shared glioma in four contrasts as DICOM series: as it lies, or in thick slices at an angle, with the head moved between series."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from scipy import ndimage
from scipy.spatial.transform import Rotation

from inference.applications.mr_glioma import APPLICATION
from inference.applications.mr_glioma.network import INPUT, OUTPUT
from inference.applications.mr_glioma.reading import TumourPart
from inference.engines.file_import import ModelFile, Source, import_weights
from inference.engines.port import ModelRef, Tensors
from inference.imaging.volume import Affine
from inference.imaging.write_series import from_nifti, write_series
from node.dicom.uid import derive_uid

FILES = {"T1c": "t1c", "T1": "t1", "T2": "t2", "FLAIR": "fla"}
HEADERS: Mapping[str, Mapping[str, Any]] = {
    "T1c": {"EchoTime": "12", "RepetitionTime": "600", "ContrastBolusAgent": "Gadoterate"},
    "T1": {"EchoTime": "12", "RepetitionTime": "600"},
    "T2": {"EchoTime": "95", "RepetitionTime": "4500"},
    "FLAIR": {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500"},
}
"""What a scanner would say of each."""
THICK_MM, PLANES, SIDE = 5, 34, 208
"""Of the slices at an angle: how thick and how many, and millimetres along each side."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slicing:
    """How a series lies: its axes turned by degrees about x, y and z, and the head's motion since the first, degrees and mm."""

    axes: tuple[float, float, float]
    turned: tuple[float, float, float] = (0, 0, 0)
    moved_mm: tuple[float, float, float] = (0, 0, 0)


BRIGHT = 4
"""Standard deviations above the mean, which noise does not reach by much."""
CHANNELS = {"wt": 0, "tc": 3, "en": 2}
"""Which of the contrasts each part of the drawn tumour is bright on."""
RADII = {TumourPart.WHOLE: 14, TumourPart.CORE: 9, TumourPart.ENHANCING: 5}
"""Of the drawn tumour's parts, mm."""

SLICINGS: Mapping[str, Slicing] = {
    "T1c": Slicing(axes=(8, -3, 2)),
    "T1": Slicing(axes=(12, 4, -3), turned=(2, -1, 3), moved_mm=(3, -2, 4)),
    "T2": Slicing(axes=(-6, 2, 5), turned=(-3, 2, 1), moved_mm=(-4, 3, 2)),
    "FLAIR": Slicing(axes=(5, -6, -4), turned=(1, 3, -2), moved_mm=(2, 5, -3)),
}


def contrasts(files: list[Path]) -> tuple[dict[str, NDArray[Any]], Affine]:
    """The case's contrasts (Z, Y, X) by role, and where they lie."""
    of = {path.name.partition(".")[0]: path for path in files}
    read = {role: from_nifti(of[name]) for role, name in FILES.items()}
    return {role: voxels for role, (voxels, _) in read.items()}, read["T1c"][1]


def labels(files: list[Path]) -> NDArray[Any]:
    """What a run of these networks marked elsewhere, (Z, Y, X): 1 core, 2 oedema, 4 enhancing."""
    (path,) = (path for path in files if path.name == "seg_brats17.nii.gz")
    return from_nifti(path)[0]


def sliced(voxels: NDArray[Any], affine: Affine, slicing: Slicing) -> tuple[NDArray[np.int16], Affine]:
    """Thick slices at an angle through a head that was moved: each the mean of what it is thick."""
    middle = (affine @ (*((side - 1) / 2 for side in voxels.shape), 1))[:3]
    axes = Rotation.from_euler("xyz", slicing.axes, degrees=True).as_matrix()
    head = Rotation.from_euler("xyz", slicing.turned, degrees=True).as_matrix()
    grid = np.eye(4)
    grid[:3, :3] = axes[:, ::-1] * (THICK_MM, 1, 1)
    grid[:3, 3] = middle - grid[:3, :3] @ ((PLANES - 1) / 2, (SIDE - 1) / 2, (SIDE - 1) / 2)
    fine = grid @ np.diag([1 / THICK_MM, 1, 1, 1])
    fine[:3, 3] -= (THICK_MM - 1) / 2 * axes[:, 2]
    # where the head was: back from where it lies now
    before = np.eye(4)
    before[:3, :3] = head.T
    before[:3, 3] = middle - head.T @ (middle + np.array(slicing.moved_mm))
    within = np.linalg.inv(affine) @ before @ fine
    seen = ndimage.affine_transform(
        voxels.astype(np.float32), within[:3, :3], within[:3, 3], output_shape=(PLANES * THICK_MM, SIDE, SIDE), order=1
    )
    thick = seen.reshape(PLANES, THICK_MM, SIDE, SIDE).mean(axis=1)
    return np.rint(np.maximum(thick, 0)).astype(np.int16), grid


def series_of(
    role: str, voxels: NDArray[Any], affine: Affine, folder: Path, *, patient: str = "P-GLIOMA", study: str = "a glioma"
) -> list[Path]:
    """One contrast as a scanner would send it, in the frame of reference of its study."""
    study_uid = derive_uid("study", study)
    said = {
        "FrameOfReferenceUID": derive_uid("frame", study),
        "SeriesNumber": list(FILES).index(role) + 1,
        "BodyPartExamined": "BRAIN",
        "ProtocolName": role,
        "PatientAge": "045Y",
        **HEADERS[role],
    }
    return write_series(
        np.maximum(voxels, 0),
        affine,
        folder / role,
        modality="MR",
        study_uid=study_uid,
        series_uid=derive_uid("series", study, role),
        patient_id=patient,
        patient_name="Doe^Jane",
        series_description=role,
        extra=said,
    )


def by_brightness(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """Networks that go by what is far brighter than the brain: whole tumour on FLAIR, core on T2, and on T1c what takes up the medium."""
    tiles = tensors[INPUT]
    channel = CHANNELS[model.name.split("_")[1]]
    inside = tiles[:, channel, 4:15] > BRIGHT
    return {OUTPUT: np.stack([np.where(inside, -4, 4), np.where(inside, 4, -4)], axis=1).astype(np.float32)}


def drawn(*, tumour: bool = True) -> tuple[dict[str, NDArray[np.int16]], dict[TumourPart, NDArray[np.bool_]]]:
    """A brain with nothing around it at 1 mm, (Z, Y, X), with a ball of oedema, one of core in it, and one that is lit up in that."""
    z, y, x = np.mgrid[:130, :150, :120]
    brain = ((z - 64) / 58) ** 2 + ((y - 75) / 68) ** 2 + ((x - 59) / 54) ** 2 < 1
    random = np.random.default_rng(4)
    balls = {part: (z - 70) ** 2 + (y - 90) ** 2 + (x - 80) ** 2 < radius**2 for part, radius in RADII.items()}
    made = {}
    for role, part in (("T1c", TumourPart.ENHANCING), ("T1", None), ("T2", TumourPart.CORE), ("FLAIR", TumourPart.WHOLE)):
        values = random.integers(90, 111, brain.shape)
        if tumour and part is not None:
            values[balls[part]] = 900
        made[role] = np.where(brain, values, 0).astype(np.int16)
    return made, balls


def stand_ins(repository: Path) -> None:
    """A repository of models that are called as the networks of mr-glioma, and go by brightness."""
    for model in APPLICATION.models:
        of_glioma = model.name.startswith("brats17")
        content = _by_brightness_in_onnx(model.name) if of_glioma else _all_of_it_in_onnx()
        config = next(source.config for source in APPLICATION.sources if source.model == model)
        config = config.replace('backend: "pytorch"', 'backend: "onnxruntime"')
        said = ModelFile(name=model.name, version=1, licence="made", attribution="made", config=config, golden_shape=_GOLDEN[of_glioma])
        source = Source(file="model.onnx", weights=content, published_sha256=hashlib.sha256(content).hexdigest(), where="made")
        import_weights(source, said, repository)


_GOLDEN = {True: (1, 4, 19, 8, 8), False: (1, 1, 8, 8, 8)}


def _by_brightness_in_onnx(name: str) -> bytes:
    channel = CHANNELS[name.split("_")[1]]
    bounds = {"starts": [channel, 4], "ends": [channel + 1, 15], "axes": [1, 2]}
    constants = [numpy_helper.from_array(np.array(values, dtype=np.int64), at) for at, values in bounds.items()]
    nodes = [
        helper.make_node("Slice", [INPUT, *bounds], ["seen"]),
        helper.make_node("Sub", ["seen", "bright"], ["inside"]),
        helper.make_node("Neg", ["inside"], ["outside"]),
        helper.make_node("Concat", ["outside", "inside"], [OUTPUT], axis=1),
    ]
    constants.append(numpy_helper.from_array(np.array(BRIGHT, dtype=np.float32), "bright"))
    shapes = ((INPUT, ("n", 4, 19, "r", "c")), (OUTPUT, ("n", 2, 11, "r", "c")))
    return _model(nodes, shapes, constants)


def _all_of_it_in_onnx() -> bytes:
    nodes = [helper.make_node("Concat", ["INPUT__0", "INPUT__0"], ["OUTPUT__0"], axis=1)]
    return _model(nodes, (("INPUT__0", (1, 1, "z", "y", "x")), ("OUTPUT__0", (1, 2, "z", "y", "x"))), [])


def _model(nodes: list[Any], shapes: tuple[tuple[str, tuple[Any, ...]], ...], constants: list[Any]) -> bytes:
    given, answered = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes)
    graph = helper.make_graph(nodes, "made", [given], [answered], constants)
    content: bytes = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    return content
