"""What applications are about, in Chinese: with it the descriptions of their series, and the statements of the node, begin."""

from collections.abc import Mapping

NOUNS: Mapping[str, str] = {
    "bright-lesion": "脑内高信号灶",
    "cardiac-phase": "心动周期时相",
    "chest-xray": "胸片肺炎",
    "ct-head-bleed": "颅内出血",
    "ct-lung": "肺体积",
    "ct-register": "CT前后对比",
    "fundus-vessels": "眼底血管",
    "hippocampus": "海马体积",
    "left-ventricle": "左心室功能",
    "lung-nodule": "肺结节",
    "mr-brain": "颅内容积",
    "mr-brain-structures": "脑深部结构",
    "mr-ct-register": "MR与CT配准",
    "mr-deform": "MR前后形变配准",
    "mr-denoise": "头部MR降噪",
    "mr-glioma": "胶质瘤",
    "mr-register": "MR前后对比",
    "mr-super-resolution": "头部MR薄层重建",
}
"""What the applications that come with hilum are about, by their names."""
