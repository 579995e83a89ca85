"""How a trained model of nnU-Net v2 lies in a folder or in the zip of nnUNetv2_export_model_to_zip; names are looked at, nothing is read.

TRAINER__PLANS__CONFIGURATION/plans.json, dataset.json, fold_0/checkpoint_final.pth, …
"""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath

PLANS, DATASET = "plans.json", "dataset.json"
CHECKPOINT = "checkpoint_final.pth"
FOLD = re.compile(r"fold_([0-9]{1,3}|all)")


def trained_in(names: Iterable[str]) -> tuple[str, ...]:
    """The trained-model folders among the files of a folder or a zip: their paths within it, "" for itself."""
    there = set(names)
    found = {
        parts[:-2]
        for name in there
        if len(parts := PurePosixPath(name).parts) >= 2 and FOLD.fullmatch(parts[-2]) and parts[-1].startswith("checkpoint_")
    }
    folders = sorted("/".join(parts) for parts in found)
    return tuple(one for one in folders if all(f"{one}/{each}".lstrip("/") in there for each in (PLANS, DATASET)))
