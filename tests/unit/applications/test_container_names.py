"""Names of containers: no application gets a second one of its name beside it, for of two none is loaded."""

from pathlib import Path

import pytest

from inference.applications import catalog
from inference.applications.container.described import ContainerManifest, ContainerValue, Contract
from inference.applications.container.errors import UnfitContainer
from inference.applications.container.manifest import enter
from inference.applications.port import Accepts
from inference.codes import CUBIC_CENTIMETRE, VOLUME


def container(name: str) -> ContainerManifest:
    """One that says a volume."""
    return ContainerManifest(
        name=name,
        version="1.0.0",
        title="A container",
        image="sha256:" + 64 * "0",
        contract=Contract.FOLDER,
        accepts=Accepts(modality=("CT",)),
        given_at="/input",
        made_at="/output",
        values=(ContainerValue(key="volume", name=VOLUME, unit=CUBIC_CENTIMETRE),),
    )


def test_a_container_of_a_built_in_applications_name_is_refused_at_import(tmp_path: Path) -> None:
    """Routes that run the built-in one go on; nothing is written."""
    with pytest.raises(UnfitContainer, match=r'an application "ct-lung" is there already .*give the container another `name`'):
        enter(container("ct-lung"), tmp_path, catalog.places("ct-lung", [tmp_path]))
    assert list(tmp_path.glob("*.json")) == []
    assert catalog.load("ct-lung", [tmp_path]).name == "ct-lung"


def test_a_container_of_the_name_of_an_applications_folder_is_refused_at_import(tmp_path: Path) -> None:
    """A folder that the configuration names counts as well, wherever it lies."""
    (tmp_path / "mine" / "ct_mine").mkdir(parents=True)
    (tmp_path / "mine" / "ct_mine" / "__init__.py").write_text("")
    with pytest.raises(UnfitContainer, match=r"ct-mine.*ct_mine"):
        enter(container("ct-mine"), tmp_path / "models", catalog.places("ct-mine", [tmp_path / "mine"]))


def test_a_container_may_be_entered_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no other of its own name, whichever way its repository is named."""
    enter(container("ct-theirs"), tmp_path)
    monkeypatch.chdir(tmp_path)
    enter(container("ct-theirs"), Path(), catalog.places("ct-theirs", [tmp_path]))
    assert catalog.load("ct-theirs", [tmp_path]).name == "ct-theirs"
