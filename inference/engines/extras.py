"""Libraries that come with an extra of hilum, which extra brings which, and the sentence where one is not installed."""

from importlib.util import find_spec
from typing import Final

from inference.engines.errors import LibraryNotInstalled

EXTRAS: Final = {
    "openvino": "embedded",
    "nibabel": "demo",
    "onnxruntime": "onnxruntime",
    "torch": "torch",
    "monai": "torch",
    "onnx": "torch",
    "einops": "torch",
    "onnxscript": "torch",
    "SimpleITK": "register",
    "tritonclient": "triton",
    "grpc": "triton",
    "optuna": "search",
    "xgboost": "prognosis",
    "nvflare": "federated",
    "opacus": "federated",
}
"""By the name that is imported, the extra in pyproject.toml that brings it."""


def demand(what: str, *libraries: str) -> None:
    """Refuse where a library is not installed; none is imported.

    Parameters
    ----------
    what
        What needs it, as the beginning of a sentence.

    Raises
    ------
    LibraryNotInstalled
    """
    for library in libraries:
        if find_spec(library) is None:
            raise not_installed(what, library)


def not_installed(what: str, library: str) -> LibraryNotInstalled:
    """The sentence that names the library and the extra that brings it."""
    return LibraryNotInstalled(f"{what} needs {library}, which is not installed: hilum's extra `{EXTRAS[library]}` brings it")
