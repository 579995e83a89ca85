"""Runs in the environment of `tests.lab.nnunet`, under nnU-Net's own code: makes trained-model folders, and predicts with them.

Its one argument is a JSON file, a list of cases (`tests.lab.nnunet.Case`). Weights are those that nnU-Net's trainer draws, or what its
training steps make of them, and saves.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.model_sharing.model_export import export_pretrained_model
from nnunetv2.paths import nnUNet_preprocessed
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

CPU = torch.device("cpu")


def make(case: dict[str, Any]) -> Path:
    """The trained-model folder of a case."""
    folder = Path(case["folder"])
    # by the name of a prepared case its trainer knows in which format they are
    said = PlansManager(case["plans"]).get_configuration(case["configuration"])
    prepared = Path(nnUNet_preprocessed) / case["plans"]["dataset_name"] / said.data_identifier
    prepared.mkdir(parents=True, exist_ok=True)
    (prepared / "case.b2nd").touch()
    for fold in range(case["folds"]):
        torch.manual_seed(case["seed"] + fold)
        plans = json.loads(json.dumps(case["plans"])) | {"continue_training": False}
        trainer = nnUNetTrainer(plans, case["configuration"], fold, case["dataset"], device=CPU)
        trainer.initialize()
        if case["steps"]:
            train(trainer, case)
        trainer.inference_allowed_mirroring_axes = case["mirrored"] and tuple(case["mirrored"])
        (folder / f"fold_{fold}").mkdir(parents=True, exist_ok=True)
        file = folder / f"fold_{fold}" / "checkpoint_final.pth"
        trainer.save_checkpoint(str(file))
        # a training logs numbers of numpy, which its checkpoints then hold
        held = torch.load(file, weights_only=False)
        torch.save(held | {"logging": {"mean_fg_dice": [np.float32(0.5), np.float64(0.5)]}}, file)
        # what a whole training leaves besides, and the export asks for
        (folder / f"fold_{fold}" / "validation").mkdir(exist_ok=True)
        for beside in (f"fold_{fold}/progress.png", f"fold_{fold}/validation/summary.json", "dataset_fingerprint.json"):
            (folder / beside).touch()
    (folder / "plans.json").write_text(json.dumps(case["plans"]))
    (folder / "dataset.json").write_text(json.dumps(case["dataset"]))
    return folder


def train(trainer: nnUNetTrainer, case: dict[str, Any]) -> None:
    """Steps on patches of the case's image, prepared as its plans say, with the labels that go with it."""
    said = trainer.configuration_manager
    image, labels = np.load(case["image"]), np.load(case["truth"])
    prepared = said.preprocessor_class(verbose=False).run_case_npy(
        image, labels[None], {"spacing": case["spacing"]}, trainer.plans_manager, said, trainer.dataset_json
    )
    values, wanted = (torch.from_numpy(np.ascontiguousarray(each)) for each in prepared[:2])
    # the loss is taken at the size of every stage but the smallest
    scales = 1 / np.cumprod(said.pool_op_kernel_sizes, axis=0)[:-1]
    targets = trainer.get_validation_transforms(scales.tolist())
    drawn = np.random.default_rng(case["seed"])
    trainer.network.train()
    for _ in range(case["steps"]):
        batch = []
        for _ in range(said.batch_size):
            starts = (int(drawn.integers(0, length - side + 1)) for length, side in zip(values.shape[1:], said.patch_size, strict=True))
            at = (slice(None), *(slice(start, start + side) for start, side in zip(starts, said.patch_size, strict=True)))
            batch.append(targets(image=values[at], segmentation=wanted[at].to(torch.int16)))
        target = [torch.stack(scale) for scale in zip(*(each["segmentation"] for each in batch), strict=True)]
        trainer.train_step({"data": torch.stack([each["image"] for each in batch]), "target": target})


def predict(case: dict[str, Any]) -> None:
    """Labels (Z, Y, X) of the case's image, and how long they took, beside it."""
    predictor = nnUNetPredictor(perform_everything_on_device=False, device=CPU, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(case["folder"], None, "checkpoint_final.pth")
    image = np.load(case["image"])
    began = time.perf_counter()
    # as its readers give labels: with a sign
    marked = np.load(case["marked"])[None].astype(np.int16) if case["marked"] else None
    labels = predictor.predict_single_npy_array(image.astype(np.float32), {"spacing": case["spacing"]}, marked)
    np.save(case["labels"], labels)
    Path(case["labels"]).with_suffix(".seconds").write_text(str(time.perf_counter() - began))


if __name__ == "__main__":
    torch.set_num_threads(1)
    for each in json.loads(Path(sys.argv[1]).read_text()):
        made = make(each)
        predict(each)
        if each["zip"]:
            identity = int(made.parent.name[7:10])
            trainer_name, plans_name, configuration = made.name.split("__")
            export_pretrained_model(
                identity,
                each["zip"],
                configurations=(configuration,),
                trainer=trainer_name,
                plans_identifier=plans_name,
                folds=tuple(range(each["folds"])),
                strict=False,
                save_checkpoints=("checkpoint_final.pth",),
                export_crossval_predictions=False,
            )
