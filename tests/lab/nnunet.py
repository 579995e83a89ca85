"""nnU-Net v2 itself, in an environment of its own: what an import of its models is compared with.

Its packages are fetched once into `.peers/`; torch, numpy and scipy are those of the tests' own environment, so that both compute with the
same libraries and no second torch is fetched.
"""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.lab.cache import alone_in
from tests.lab.loopback import outside
from tests.lab.needs import absent

_PACKAGES = (
    "nnunetv2==2.8.1",
    "dynamic-network-architectures==0.4.4",
    "acvl-utils==0.2.6",
    "batchgenerators==0.25.5",
    "batchgeneratorsv2==0.3.6",
    "blosc2==4.14.1",
    "cloudpickle==3.1.3",
    "connected-components-3d==4.1.1",
    "contourpy==1.3.3",
    "cycler==0.12.1",
    "einops==0.8.2",
    "fonttools==4.68.0",
    "imagecodecs==2026.3.6",
    "joblib==1.6.0",
    "kiwisolver==1.5.1",
    "matplotlib==3.11.2",
    "msgpack==1.2.4",
    "narwhals==2.29.0",
    "ndindex==1.10.1",
    "numexpr==2.14.2",
    "pandas==3.1.1",
    "pyparsing==3.3.3",
    "python-dateutil==2.9.0.post0",
    "scikit-learn==1.9.1",
    "seaborn==0.13.2",
    "six==1.17.0",
    "threadpoolctl==3.8.0",
    "tqdm==4.70.1",
    "yacs==0.1.8",
)
_SCRIPT = Path(__file__).with_name("nnunet_peer.py")
_TIMEOUT_S = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One trained model that is made, and what it is given.

    Attributes
    ----------
    folder
        DATASET/TRAINER__PLANS__CONFIGURATION, which is written.
    image, labels
        .npy files of an image (C, Z, Y, X), which is read, and of its labels (Z, Y, X), which are written.
    spacing
        Of the image, mm along its axes.
    mirrored
        Axes; None for a training without mirroring.
    steps, truth
        How many steps of training, and the .npy file of the image's labels (Z, Y, X) that they are taken with; 0 leaves random weights.
    zip
        Where nnU-Net's own export goes; "" for none.
    marked
        Of a network that refines another's labels: the .npy file of those, which a case before it writes.
    """

    folder: str
    plans: Mapping[str, Any]
    dataset: Mapping[str, Any]
    configuration: str
    folds: int
    image: str
    labels: str
    spacing: Sequence[float]
    mirrored: Sequence[int] | None = None
    seed: int = 0
    steps: int = 0
    truth: str = ""
    zip: str = ""
    marked: str = ""

    def predicted(self) -> NDArray[Any]:
        """nnU-Net's labels (Z, Y, X)."""
        labels: NDArray[Any] = np.load(self.labels)
        return labels


def python() -> Path:
    """The interpreter that can import nnunetv2, fetched when it is not in the cache."""
    with alone_in("nnunet") as folder:
        interpreter = folder / "bin" / "python"
        done = folder / "packages.txt"
        wanted = "\n".join((sys.version, *_PACKAGES))
        if not done.exists() or done.read_text() != wanted:
            venv.create(folder, clear=True, with_pip=True)
            own = Path(sysconfig.get_paths(vars={"base": str(folder), "platbase": str(folder)})["purelib"])
            # the tests' own packages come after those that are fetched
            (own / "zz_tests.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
            install = [str(interpreter), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", *_PACKAGES]
            with outside():
                ended = subprocess.run(install, capture_output=True, text=True, timeout=_TIMEOUT_S)
            if ended.returncode != 0:
                absent("nnunetv2", f"pip install --no-deps {_PACKAGES[0]} …: {ended.stderr[-500:]}")
            done.write_text(wanted)
    return interpreter


def make_and_predict(cases: Sequence[Case], folder: Path) -> None:
    """Make the trained models of all cases, and predict with each, in one process of nnU-Net."""
    interpreter = python()
    given = folder / "cases.json"
    given.write_text(json.dumps([asdict(case) for case in cases]))
    places = {name: str(folder) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    # -P: the other files beside the script are named like libraries
    environment = {**os.environ, **places, "nnUNet_compile": "f", "nnUNet_n_proc_DA": "1", "OMP_NUM_THREADS": "1"}
    ended = subprocess.run(
        [str(interpreter), "-P", "-W", "ignore", str(_SCRIPT), str(given)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        cwd=folder,
    )
    if ended.returncode != 0:
        raise AssertionError(f"nnU-Net failed:\n{ended.stdout[-2000:]}\n{ended.stderr[-4000:]}")
