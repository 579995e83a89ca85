"""torch.export files as programs: read as data. torch itself would fall back to running the pickles that a .pt2 file may hold."""

import io
import os
import pickle
import zipfile
from typing import Any

UNREADABLE = (RuntimeError, ValueError, KeyError, AssertionError, zipfile.BadZipFile, pickle.UnpicklingError)
"""What torch raises for a file that is no program, or one that holds more than weights."""


def load_program(content: bytes) -> Any:
    """The exported program of a .pt2 file; what torch raises for a file that is none is the caller's to name (`UNREADABLE`)."""
    import torch

    # torch.export.load tries weights_only, and where that fails, which is where code hides, tries without; this forbids the second try
    # in the whole process: nothing in hilum reads a pickle that is more than weights
    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    return torch.export.load(io.BytesIO(content))
