"""A bundle that detects, as the Model Zoo's does and smaller, and a network of heads whose maps are cheap."""

import copy
from typing import Any

import numpy as np

from inference.engines.port import Call, ModelRef, Tensors
from tests.unit.applications.bundle import made

WINDOW = [32, 32, 16]

_OF_MONAI = "monai.apps.detection.networks.retinanet_network.resnet_fpn_feature_extractor"

_PARTS: dict[str, Any] = {
    "roi": WINDOW,
    "resampled": True,
    "anchor_generator": {
        "_target_": "monai.apps.detection.utils.anchor_utils.AnchorGeneratorWithAnchorShape",
        "feature_map_scales": [1, 2, 4],
        "base_anchor_shapes": [[6, 8, 4], [8, 6, 5]],
    },
    "backbone": "$monai.networks.nets.resnet.resnet10(spatial_dims=3,n_input_channels=1,conv1_t_stride=[2,2,1],conv1_t_size=[3,3,3])",
    "feature_extractor": f"${_OF_MONAI}(@backbone,3,False,[1,2],None)",
    "network_def": {
        "_target_": "RetinaNet",
        "spatial_dims": 3,
        "num_classes": 2,
        "num_anchors": 2,
        "feature_extractor": "@feature_extractor",
        "size_divisible": [16, 16, 8],
        "use_list_output": False,
    },
    "detector": {
        "_target_": "RetinaNetDetector",
        "network": "@network",
        "anchor_generator": "@anchor_generator",
        "debug": False,
        "spatial_dims": 3,
        "num_classes": 2,
        "size_divisible": [16, 16, 8],
    },
    "detector_ops": [
        "$@detector.set_target_keys(box_key='box', label_key='label')",
        "$@detector.set_box_selector_parameters(score_thresh=0.1,topk_candidates_per_level=500,nms_thresh=0.22,detections_per_img=100)",
        "$@detector.set_sliding_window_inferer(roi_size=@roi,overlap=0.25,sw_batch_size=2,mode='constant',device='cpu')",
    ],
    "inferer": {"_target_": "scripts.detection_inferer.RetinaNetInferer", "detector": "@detector", "force_sliding_window": False},
    "postprocessing": {
        "_target_": "Compose",
        "transforms": [
            {
                "_target_": "ClipBoxToImaged",
                "box_keys": "box",
                "label_keys": "label",
                "box_ref_image_keys": "@image_key",
                "remove_empty": True,
            },
            {"_target_": "AffineBoxToWorldCoordinated", "box_keys": "box", "box_ref_image_keys": "@image_key", "affine_lps_to_ras": True},
            {"_target_": "ConvertBoxModed", "box_keys": "box", "src_mode": "xyzxyz", "dst_mode": "cccwhd"},
            {"_target_": "DeleteItemsd", "keys": ["@image_key"]},
        ],
    },
    "evaluator": {"_target_": "scripts.evaluator.DetectionEvaluator", "_requires_": "@detector_ops", "network": "@network"},
}


def metadata(**outputs: Any) -> dict[str, Any]:
    """metadata.json of a network that gives boxes of two classes."""
    described = made.metadata(name="Bright balls")
    described["network_data_format"]["inputs"]["image"]["spatial_shape"] = ["16*n", "16*n", "8*n"]
    tensor = {"type": "object", "format": "dict", "num_channels": 1, "spatial_shape": ["n", "n", "n"]}
    described["network_data_format"]["outputs"] = {"pred": tensor | outputs}
    return described


def inference() -> dict[str, Any]:
    """Its configuration, with a spacing for files that were not brought to it."""
    config = made.inference(**copy.deepcopy(_PARTS))
    config["preprocessing"]["transforms"][3]["_disabled_"] = "@resampled"
    return config


def heads(seed: int = 0) -> Any:
    """A network with what MONAI's detector asks of one: two anchors, two classes, three levels, each a convolution of the image."""
    import torch
    from torch import Tensor, nn

    class Heads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(seed)
            self.spatial_dims, self.num_classes, self.num_anchors, self.size_divisible = 3, 2, 2, (16, 16, 8)
            self.cls_key, self.box_reg_key = "classification", "box_regression"
            steps = [(4, 4, 2), (8, 8, 4), (16, 16, 8)]
            self.kinds = nn.ModuleList(nn.Conv3d(1, 4, step, stride=step) for step in steps)
            self.boxes = nn.ModuleList(nn.Conv3d(1, 12, step, stride=step) for step in steps)

        def forward(self, image: Tensor) -> list[Tensor]:
            kinds = [6 * layer(image) - 1 for layer in self.kinds]
            return [*kinds, *(layer(image) for layer in self.boxes)]

    return Heads().eval()


class HeadsInfer:
    """The port `Infer` over such a network."""

    def __init__(self, network: Any) -> None:
        self._network = network

    def __call__(self, model: ModelRef, tensors: Tensors, /) -> dict[str, np.ndarray]:
        import torch

        with torch.inference_mode():
            given = self._network(torch.from_numpy(tensors["INPUT__0"]))
        return {f"OUTPUT__{number}": each.numpy() for number, each in enumerate(given)}

    def at_once(self, model: ModelRef) -> int:
        return 1

    def call_of(self, model: ModelRef) -> Call | None:
        return None
