"""`hilum models export`: a model in another format, with the measured difference."""

from pathlib import Path
from typing import Literal

from node.cli.models import RepositoryOption, opened
from node.cli.opened import ConfigOption, JsonOption


def export(
    model: str,
    *,
    to: Literal["onnx", "pt2"],
    version: int | None = None,
    out: Path = Path(),
    tolerance: float | None = None,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Write a model in another format: the file, a config.pbtxt for it, and how far its answers are from the original's.

    TorchScript becomes ONNX or pt2, torch.export (pt2) becomes ONNX. Sides that config.pbtxt leaves open stay open. Nothing is written
    when the largest difference is above the tolerance. To serve it: `hilum models import --file FILE --config-pbtxt CONFIG --name NAME`.

    Parameters
    ----------
    model
        Its name in the repository.
    to
        The format.
    version
        Without it, the version that is served.
    out
        The folder for the files; made where it is not there.
    tolerance
        Largest absolute difference of an output that is accepted (default 0.001).
    """
    from dataclasses import asdict

    from inference.engines.exporting import TOLERANCE, export_model
    from inference.engines.port import ModelRef
    from inference.engines.serving import served
    from node.cli import screen

    path = opened(repository, config).path
    ref = ModelRef(name=model, version=served(path, model).version if version is None else version)
    made = export_model(path, ref, to, tolerance=TOLERANCE if tolerance is None else tolerance)
    out.mkdir(parents=True, exist_ok=True)
    file = out / f"{model}-{ref.version}{Path(made.file).suffix}"
    file.write_bytes(made.content)
    described = file.with_suffix(".pbtxt")
    described.write_text(made.config, encoding="utf-8")
    if as_json:
        screen.as_json({"file": str(file), "config": str(described), "difference": asdict(made.difference)})
        return 0
    far = made.difference
    agreement = "" if far.argmax_agreement is None else f", {far.argmax_agreement:.4%} of the largest channels are the same"
    screen.say(f"{file}: differs by {far.largest:.3g} at most, {far.mean:.3g} on average over {far.inputs} inputs{agreement}")
    return 0
