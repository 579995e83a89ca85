"""Bundles that the tests make: a network whose answer can be worked out by hand, in the three layouts of the Model Zoo.

The network takes an image scaled to 0 … 1, smooths it over 3 × 3 × 3 voxels, and gives two channels: logits of background and of
whatever is brighter than one half after smoothing.
"""

import copy
import io
import json
import zipfile
from pathlib import Path
from typing import Any

METADATA: dict[str, Any] = {
    "version": "0.1.3",
    "monai_version": "1.4.0",
    "name": "Bright spleen",
    "task": "Bright things",
    "description": "Marks what is bright after smoothing.",
    "authors": "Nobody",
    "copyright": "Nobody at all",
    "intended_use": "Tests",
    "network_data_format": {
        "inputs": {
            "image": {
                "type": "image",
                "format": "hounsfield",
                "modality": "CT",
                "num_channels": 1,
                "spatial_shape": [16, 16, 16],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {"0": "image"},
            }
        },
        "outputs": {
            "pred": {
                "type": "image",
                "format": "segmentation",
                "num_channels": 2,
                "spatial_shape": [16, 16, 16],
                "dtype": "float32",
                "value_range": [0, 1],
                "is_patch_data": True,
                "channel_def": {"0": "background", "1": "spleen"},
            }
        },
    },
}

NETWORK: dict[str, Any] = {
    "_target_": "UNet",
    "spatial_dims": 3,
    "in_channels": 1,
    "out_channels": 2,
    "channels": [4, 8],
    "strides": [2],
    "num_res_units": 0,
    "norm": "batch",
}

INFERENCE: dict[str, Any] = {
    "imports": ["$import glob"],
    "bundle_root": ".",
    "output_dir": "$@bundle_root + '/eval'",
    "datalist": "$list(sorted(glob.glob(@bundle_root + '/*.nii.gz')))",
    "device": "$torch.device('cuda:0' if torch.cuda.is_available() else 'cpu')",
    "image_key": "image",
    "roi": [16, 16, 16],
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "@image_key"},
            {"_target_": "EnsureChannelFirstd", "keys": "@image_key"},
            {"_target_": "Orientationd", "keys": "@image_key", "axcodes": "RAS"},
            {"_target_": "Spacingd", "keys": "@image_key", "pixdim": [1.5, 1.5, 2.0], "mode": "bilinear"},
            {
                "_target_": "ScaleIntensityRanged",
                "keys": "@image_key",
                "a_min": -100,
                "a_max": 300,
                "b_min": 0.0,
                "b_max": 1.0,
                "clip": True,
            },
            {"_target_": "EnsureTyped", "keys": "@image_key"},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": "@roi", "sw_batch_size": 2, "overlap": 0.5, "device": "@device"},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "Activationsd", "keys": "pred", "softmax": True},
            {
                "_target_": "Invertd",
                "keys": "pred",
                "transform": "@preprocessing",
                "orig_keys": "@image_key",
                "nearest_interp": False,
                "to_tensor": True,
            },
            {"_target_": "AsDiscreted", "keys": "pred", "argmax": True},
            {"_target_": "SaveImaged", "keys": "pred", "output_dir": "@output_dir"},
        ],
    },
    "evaluator": {"_target_": "SupervisedEvaluator", "network": "@network"},
    "run": ["$@evaluator.run()"],
}


def metadata(**changes: Any) -> dict[str, Any]:
    """metadata.json with other values; `outputs` and `inputs` change the one tensor there."""
    made = copy.deepcopy(METADATA)
    for side, key in (("inputs", "image"), ("outputs", "pred")):
        made["network_data_format"][side][key] |= changes.pop(side, {})
    return made | changes


def inference(**changes: Any) -> dict[str, Any]:
    """The inference configuration with other blocks."""
    return copy.deepcopy(INFERENCE) | changes


def unet(seed: int = 0) -> Any:
    """MONAI's own network as the configuration says, with weights by chance."""
    import torch
    from monai.networks.nets import UNet

    torch.manual_seed(seed)
    return UNet(spatial_dims=3, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,), num_res_units=0, norm="batch").eval()


def bright(limit: float = 0.5) -> Any:
    """The network whose answer is known: smooth, then logits around `limit`."""
    import torch
    from torch import Tensor, nn

    class Bright(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.smooth = nn.Conv3d(1, 1, 3, padding=1, padding_mode="replicate", bias=False)
            nn.init.constant_(self.smooth.weight, 1 / 27)
            self.limit = limit

        def forward(self, image: Tensor) -> Tensor:
            above = (self.smooth(image) - self.limit) * 40.0
            return torch.cat([-above, above], dim=1)

    return Bright().eval()


def state(network: Any) -> bytes:
    """A checkpoint: the state dict alone."""
    import torch

    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    return buffer.getvalue()


def script(network: Any, extras: dict[str, bytes] | None = None) -> bytes:
    """TorchScript, with files inside."""
    import torch

    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(network), buffer, _extra_files=extras or {})
    return buffer.getvalue()


def folder(root: Path, weights: dict[str, bytes], *, meta: Any = None, config: Any = None, config_name: str = "inference.json") -> Path:
    """The folder layout."""
    (root / "configs").mkdir(parents=True)
    (root / "models").mkdir()
    (root / "configs/metadata.json").write_text(json.dumps(meta or METADATA))
    (root / "configs" / config_name).write_text(json.dumps(config or INFERENCE))  # JSON is YAML
    for name, content in weights.items():
        (root / "models" / name).write_bytes(content)
    return root


def archive(path: Path, weights: dict[str, bytes], *, meta: Any = None, config: Any = None) -> Path:
    """The zip layout: one folder of the bundle's name inside."""
    with zipfile.ZipFile(path, "w") as made:
        made.writestr(f"{path.stem}/configs/metadata.json", json.dumps(meta or METADATA))
        made.writestr(f"{path.stem}/configs/inference.json", json.dumps(config or INFERENCE))
        for name, content in weights.items():
            made.writestr(f"{path.stem}/models/{name}", content)
    return path


def torchscript(path: Path, network: Any, *, meta: Any = None, config: Any = None) -> Path:
    """The TorchScript layout, written by MONAI's own `save_net_with_metadata`."""
    import torch
    from monai.data.torchscript_utils import save_net_with_metadata

    extras = {"inference.json": json.dumps(config or INFERENCE).encode()}
    save_net_with_metadata(torch.jit.script(network), str(path), meta_values=meta or METADATA, more_extra_files=extras)
    return path
