"""`python -m bench.eight_bits DATA`: the shipped hippocampus network in 8 bits, by nncf, served and judged as it would be offered.

DATA is the Decathlon's Task04, as `hilum train hippocampus` reads it. nncf comes with no extra of hilum (`pip install nncf==3.4.0`). The
quantised network is calibrated on the 26 validation crops, written as ONNX, entered into a model repository, and computed by the embedded
engine as any other: confined, by OpenVINO, beside the shipped one in f32. Both are scored on the 52 held-out crops by the application.
"""

import argparse
import contextlib
import hashlib
import io
import logging
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from bench.rows import say
from inference.applications.hippocampus.application import APPLICATION
from inference.engines.embedded.engine import EmbeddedEngine
from inference.engines.port import ModelRef
from inference.engines.repository import CONFIG, Repository
from inference.engines.writing import NewVersion, add_version
from training.compressing.offered import judged, told
from training.compressing.pace import pace
from training.data.cases import Case
from training.infer import EngineInfer
from training.recipes.hippocampus import RECIPE
from training.tasks.segmentation import findings

SEED = 0
SHIPPED = Path(APPLICATION.analyse.__code__.co_filename).parent / "shipped"
MODEL = ModelRef(name=RECIPE.model.name, version=1)


def quantised(content: bytes, cases: list[Case], preset: str) -> bytes:
    """An ONNX file with weights and activations in 8 bits, calibrated on cases; of nncf's preset."""
    import nncf
    import onnx

    images = [RECIPE.example(case.load()).image[None] for case in cases]
    nncf.set_log_level(logging.ERROR)
    network = nncf.quantize(
        onnx.load(io.BytesIO(content)),
        nncf.Dataset(images, lambda image: {"INPUT__0": image}),
        preset=nncf.QuantizationPreset(preset),
        subset_size=len(images),
    )
    bytes_: bytes = network.SerializeToString()
    return bytes_


def entered(content: bytes, folder: Path) -> Path:
    """A model repository with this content in the place of the shipped file; without its golden run, which another model does not give."""
    here = Repository(SHIPPED)
    entry = here.entry(MODEL)
    assert entry is not None, "it is shipped with one"
    digest = hashlib.sha256(content).hexdigest()
    new = NewVersion(
        model=MODEL,
        weights=content,
        entry=replace(entry, sha256=digest, source_sha256=digest, golden=None),
        config=(SHIPPED / MODEL.name / CONFIG).read_text(encoding="utf-8"),
        card="8 bits\n",
        beside={},
    )
    add_version(folder, new, replace=True)
    return folder


def scored(repository: Path, cases: tuple[Case, ...]) -> dict[str, Any]:
    """What a comparison needs of an evaluation: the watched figure of each case, as it is served."""
    with contextlib.closing(EmbeddedEngine(repository, threads=1)) as engine:
        values = [RECIPE.score(found, case)[RECIPE.watched] for case, found in findings(RECIPE, cases, repository, EngineInfer(engine))]
    each = [
        {"case": case.name, "patient": case.patient, "figures": {RECIPE.watched: value}} for case, value in zip(cases, values, strict=True)
    ]
    figures = {RECIPE.watched: {"unit": "", "better": "more", "mean": float(np.mean(values))}}
    return {"watched": RECIPE.watched, "sha256": Repository(repository).digest(MODEL), "figures": figures, "each": each}


def main() -> None:
    """Quantise, serve, judge, and print the table of each preset."""
    parser = argparse.ArgumentParser(prog="python -m bench.eight_bits")
    parser.add_argument("data", type=Path)
    given = parser.parse_args()
    sides = RECIPE.sides(given.data, SEED)
    content = Repository(SHIPPED).read(MODEL)[1]
    whole = scored(SHIPPED, sides.test)
    with tempfile.TemporaryDirectory(prefix="hilum-bench-") as folder:
        for preset in ("performance", "mixed"):
            repository = entered(quantised(content, list(sides.validation), preset), Path(folder) / preset)
            speed = pace(SHIPPED, repository, MODEL, (1, 1, *RECIPE.window))
            say(told(judged(whole, scored(repository, sides.test), speed, f"8 bits, preset {preset}")))


if __name__ == "__main__":
    main()
