"""Libraries that report their use to their makers are told not to, before they are imported; every import of them goes through here.

A node stands among patients' data: nothing in it calls anybody whom the configuration does not name.
"""

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from typing import Any


def onnxruntime() -> Any:
    """The module, without the telemetry that it starts on import."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    return importlib.import_module("onnxruntime")


def openvino() -> Any:
    """The module, without the package that reports its import: a module that is None counts as not installed, and openvino goes on."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return importlib.import_module("openvino")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Drop what converters warn of and log meanwhile: operators that their tables lack, whether a model has them or not."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
