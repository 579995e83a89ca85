"""What is given to the process that runs a bundle's own code, and what is believed of its answers."""

from pathlib import Path
from typing import Any

import pytest

from inference.applications.bundle import author
from inference.applications.bundle.author import Author
from inference.applications.bundle.config import Config
from inference.applications.bundle.errors import CodeRefused, UnfitBundle
from inference.applications.bundle.importing import Wanted, import_bundle
from inference.applications.bundle.layouts import MOST_CONFIG_BYTES
from tests.unit.applications.bundle import made

pytest.importorskip("monai")


class Asked(Exception):
    """The process would have been started."""


def test_python_and_the_configuration_are_what_it_gets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not documents, whatever their size: a bundle that was cloned has its whole history in .git."""
    bundle = made.folder(tmp_path / "a_ct", {"model.pt": b"weights"})
    for name, content in {"docs/film.gif": bytes(MOST_CONFIG_BYTES + 1), ".git/packed": b"1", "scripts/own.py": b"import os"}.items():
        (bundle / name).parent.mkdir()
        (bundle / name).write_bytes(content)

    def made_of(_what: str, files: dict[str, bytes], _place: str) -> Any:
        raise Asked(sorted(files))

    monkeypatch.setattr("inference.applications.bundle.importing.Author", made_of)
    with pytest.raises(Asked, match=r"\['configs/inference.json', 'scripts/own.py'\]"):
        import_bundle(bundle, Wanted(allow_code=True), tmp_path / "models")


def test_what_failed_is_told_without_what_a_terminal_obeys(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sentence is the author's: characters that move a cursor are shown as such, and it has an end."""
    said = {"failed": "network_def: ValueError: \x1b[2Jdone" + "x" * 100_000}
    monkeypatch.setattr(author, "call_in_jail", lambda *_, **__: (said, b""))
    with pytest.raises(UnfitBundle) as failed:
        Author("a_ct", {}, "configs/inference.json").value("network_def")
    assert str(failed.value).startswith("a_ct: its own code failed: network_def: ValueError: \N{REPLACEMENT CHARACTER}[2Jdone")
    assert len(str(failed.value)) < 3000


def test_a_known_network_fetches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """`pretrained` would have MONAI fetch weights from the internet, outside of the jail, which the checkpoint then replaces."""
    from monai.networks.nets import efficientnet

    from inference.applications.bundle.network import build

    def fetched(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were asked for")

    monkeypatch.setattr(efficientnet.model_zoo, "load_url", fetched)
    network = {"_target_": "FlexibleUNet", "in_channels": 3, "out_channels": 2, "backbone": "efficientnet-b0", "spatial_dims": 2}
    build(Config({"network_def": {**network, "pretrained": True}}))


@pytest.mark.parametrize("name", ["SEResNet50", "SEResNet101", "SEResNet152"])
def test_a_known_network_that_classifies_fetches_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of each depth."""
    from monai.networks.nets import senet

    from inference.applications.bundle.network import build

    def fetched(*_: Any, **__: Any) -> None:
        raise AssertionError("weights were asked for")

    for fetches in ("download_url", "load_state_dict_from_url"):
        monkeypatch.setattr(senet, fetches, fetched)
    network = {"_target_": name, "spatial_dims": 2, "in_channels": 3, "num_classes": 2, "layers": [1, 1, 1, 1]}
    build(Config({"network_def": {**network, "pretrained": True}}))


@pytest.mark.parametrize(
    ("said", "scaled"),
    [
        ({"pretrained": True}, True),
        ({"pretrained": "@yes"}, True),
        ({"pretrained": "@no"}, False),
        ({"pretrained": False, "weights": "DEFAULT"}, True),
        ({}, False),
        ({"transform_input": True}, True),
    ],
)
def test_torchvisions_inception_is_told_on_which_scale_it_looks(
    said: dict[str, Any], scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As torchvision has it: on the published weights' where it began with them, or as it is told; a reference is followed."""
    from monai.networks import nets

    from inference.applications.bundle import network

    monkeypatch.setattr(network, "find_spec", lambda _: object())
    monkeypatch.setattr(nets, "TorchVisionFCModel", dict)
    asked = {"_target_": "TorchVisionFCModel", "model_name": "inception_v3", "num_classes": 4, **said}
    built = network.build(Config({"yes": True, "no": False, "network_def": asked}))
    assert built == {"model_name": "inception_v3", "num_classes": 4, "transform_input": scaled, "init_weights": False}


@pytest.mark.parametrize("name", ["vit_b_16", ["inception_v3"], {"a": 1}])
def test_of_torchvision_no_other_network_is_built(name: Any) -> None:
    """By another name, or by what is none."""
    from inference.applications.bundle.network import build

    with pytest.raises(CodeRefused, match="it builds torchvision's"):
        build(Config({"network_def": {"_target_": "TorchVisionFCModel", "model_name": name}}))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"arch_code": 3}, "not iterable"),
        ({"arch_code": [[[1, 0], [1]], [[1]]]}, "inhomogeneous"),
        ({"arch_code": [[[1]], [[9]]]}, "num_classes"),
        ({"num_depths": 1100}, "too large"),
    ],
)
def test_an_architecture_that_is_none_is_refused_where_it_stands(settings: dict[str, Any], said: str) -> None:
    """A number, rows of two lengths, an operation that there is not, more depths than numbers have bits."""
    from inference.applications.bundle.network import build

    space = {"_target_": "TopologyInstance", "channel_mul": 0.05, "num_blocks": 1, "num_depths": 1, **settings}
    with pytest.raises(UnfitBundle, match=f"TopologyInstance cannot be built with the settings of network_def::dints_space: .*{said}"):
        build(Config({"network_def": {"_target_": "DiNTS", "dints_space": space, "in_channels": 1, "num_classes": 2}}))


def test_an_architecture_that_nobody_gives_is_monais_own() -> None:
    """Of all paths, also where tensors have no values; how large it is is then not told beforehand."""
    from inference.applications.bundle.network import build, refuse_larger

    space = {"_target_": "TopologyInstance", "channel_mul": 0.05, "num_blocks": 1, "num_depths": 1, "arch_code": None}
    config = Config({"network_def": space})
    assert build(config).arch_code_a.tolist() == [[1]]
    refuse_larger(config, {})


def test_a_known_network_is_built_as_without_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By hilum's own list, which knows what MONAI takes no more, where code is allowed for something else: the author's builds nothing."""

    def asked(*_: Any, **__: Any) -> None:
        raise Asked

    monkeypatch.setattr(author, "call_in_jail", asked)
    bundle = made.folder(tmp_path / "a_ct", {"model.pt": made.state(made.unet())})
    imported = import_bundle(bundle, Wanted(allow_code=True, to="pt2"), tmp_path / "models")
    assert imported.entry.code == ()
