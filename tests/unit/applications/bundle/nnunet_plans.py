"""Plans of small nnU-Nets for the tests, in the form since nnU-Net 2.3 and in the one before, and the dataset.json beside them."""

from collections.abc import Mapping, Sequence
from typing import Any

FEATURES = (4, 8, 12)
KERNELS, STRIDES = [[3, 3, 3]] * 3, [[1, 1, 1], [2, 2, 2], [1, 2, 2]]
CT_VALUES = {"mean": 60.0, "std": 120.0, "percentile_00_5": -150.0, "percentile_99_5": 350.0, "median": 50.0, "min": -900.0, "max": 900.0}


def dataset(channel: str = "MRI", **labels: int) -> dict[str, Any]:
    """dataset.json of one channel."""
    return {
        "channel_names": {"0": channel},
        "labels": {"background": 0, **(labels or {"spleen": 1, "left kidney": 2})},
        "numTraining": 2,
        "file_ending": ".nii.gz",
        "licence": "CC0",
        "reference": "Nobody at all",
    }


REGIONS: Mapping[str, Any] = {
    "labels": {"background": 0, "edema": [1, 2, 3], "neoplasm": [2, 3], "necrosis": 3},
    "regions_class_order": [1, 2, 3],
}
"""Labels of dataset.json that are sets of values, one inside the other."""


def plans(
    *,
    old: bool = False,
    scheme: str = "ZScoreNormalization",
    masked: bool = False,
    spacing: Sequence[float] = (1.0, 1.0, 1.0),
    patch: Sequence[int] = (16, 24, 24),
    transpose: Sequence[int] = (0, 1, 2),
    residual: bool = False,
    coarser: Sequence[float] = (),
    **changes: Any,
) -> dict[str, Any]:
    """plans.json with the configuration 3d_fullres, of as many axes as `patch` has; `changes` are of that. With the spacing `coarser` there
    are also 3d_lowres and 3d_cascade_fullres, which refines it, as nnU-Net writes them."""
    axes = len(patch)
    resampling = {
        f"resampling_fn_{of}{part}": value
        for of, order in (("data", 3), ("seg", 1), ("probabilities", 1))
        for part, value in (
            ("", "resample_data_or_seg_to_shape"),
            ("_kwargs", {"is_seg": of == "seg", "order": order, "order_z": 0, "force_separate_z": None}),
        )
    }
    configuration = {
        "data_identifier": "made_3d_fullres",
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": list(patch),
        "median_image_size_in_voxels": [30, 40, 40],
        "spacing": list(spacing)[-axes:],
        "normalization_schemes": [scheme],
        "use_mask_for_norm": [masked],
        **resampling,
        **(_before() if old else {"architecture": _architecture(axes, residual=residual)}),
        "batch_dice": False,
        **changes,
    }
    return {
        "dataset_name": "Dataset321_Made",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing),
        "original_median_shape_after_transp": [30, 40, 40],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": list(transpose),
        "transpose_backward": [list(transpose).index(axis) for axis in range(3)],
        "configurations": {"3d_fullres": configuration, **(_cascade(configuration, coarser) if coarser else {})},
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": CT_VALUES, "1": CT_VALUES},
    }


def _cascade(fullres: Mapping[str, Any], spacing: Sequence[float]) -> Mapping[str, Any]:
    lowres = {**fullres, "data_identifier": "made_3d_lowres", "spacing": list(spacing), "next_stage": "3d_cascade_fullres"}
    return {"3d_lowres": lowres, "3d_cascade_fullres": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"}}


def _architecture(axes: int, *, residual: bool) -> Mapping[str, Any]:
    name, counts = ("ResidualEncoderUNet", "n_blocks_per_stage") if residual else ("PlainConvUNet", "n_conv_per_stage")
    return {
        "network_class_name": f"dynamic_network_architectures.architectures.unet.{name}",
        "arch_kwargs": {
            "n_stages": 3,
            "features_per_stage": list(FEATURES),
            "conv_op": f"torch.nn.modules.conv.Conv{axes}d",
            "kernel_sizes": [sides[-axes:] for sides in KERNELS],
            "strides": [sides[-axes:] for sides in STRIDES],
            counts: [1, 2, 2],
            "n_conv_per_stage_decoder": [2, 2],
            "conv_bias": True,
            "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{axes}d",
            "norm_op_kwargs": {"eps": 1e-05, "affine": True},
            "dropout_op": None,
            "dropout_op_kwargs": None,
            "nonlin": "torch.nn.LeakyReLU",
            "nonlin_kwargs": {"inplace": True},
        },
        "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
    }


def _before() -> Mapping[str, Any]:
    return {
        "UNet_class_name": "PlainConvUNet",
        "UNet_base_num_features": 4,
        "unet_max_num_features": 12,
        "n_conv_per_stage_encoder": [1, 2, 2],
        "n_conv_per_stage_decoder": [2, 2],
        "num_pool_per_axis": [1, 2, 2],
        "pool_op_kernel_sizes": STRIDES,
        "conv_kernel_sizes": KERNELS,
    }
