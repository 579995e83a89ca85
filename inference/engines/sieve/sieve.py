"""Which reading is for which file of a model."""

from pathlib import PurePath

from inference.engines.errors import HostileModel


def sift(file: str | PurePath, content: bytes, what: object = "") -> None:
    """Refuse a model's file that holds more than a computation; nothing of it is loaded, run or unpacked to the disk.

    Parameters
    ----------
    file
        Its name says what it is: model.pt (TorchScript), model.pt2 (torch.export) or model.onnx.
    what
        What sentences call it; without it, `file`.

    Raises
    ------
    HostileModel
        It holds what no model needs; the message names the member, the line, the operator.
    UnreadableModel
        It is no file of its kind.
    """
    said = str(what) or str(file)
    match PurePath(file).suffix.lower():
        case ".pt" | ".ts" | ".pth":
            from inference.engines.sieve.scripted import sift_script

            sift_script(content, said)
        case ".pt2":
            from inference.engines.sieve.exported import sift_program

            sift_program(content, said)
        case ".onnx":
            from inference.engines.sieve.graphs import sift_onnx

            sift_onnx(content, said)
        case other:
            raise HostileModel(f"{said} ends in {other!r}; models are .onnx, .pt2 (torch.export) or .pt (TorchScript)")
