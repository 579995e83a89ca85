"""`hilum demo --models`: what the demo copies out of a repository is all that the application computes with."""

from collections.abc import Callable
from pathlib import Path

from inference.applications.catalog import load
from inference.engines.repository import Repository
from inference.engines.weights_import import import_models
from node.cli.demo_needs import ensure_models


def test_the_steps_around_a_network_are_copied_too(real: Callable[[str], list[Path]], tmp_path: Path) -> None:
    """ct-lung calls an ensemble in its model's place, of three steps: with the named model alone, a demo ended with HLM-4101."""
    given, copy = tmp_path / "given", tmp_path / "copy"
    import_models(load("ct-lung", (given,)), given, files=real("weights/unet_small_lung_ct/UNet_wdk24.pt"))
    chosen = ensure_models("ct-lung", copy, given)
    assert {path.name for path in copy.iterdir()} == {path.name for path in given.iterdir() if not path.name.startswith(".")}
    (model,) = chosen.models
    call = Repository(copy).call_of(model)
    assert call is not None
    assert call.model is not None
    assert Repository(copy).digest(call.model) == Repository(given).digest(call.model)
