"""app.yaml: every bad one of tests/bad_apps is refused with exactly the message beside it; the page's own is good, and fits the schema."""

import re
import shutil
from pathlib import Path

import pytest

from node.domain.errors import ConfigError
from node.settings.app_yaml import AppRefused, load, schema

FOLDER = Path(__file__).parents[2] / "bad_apps"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "describe-a-model.md"


def described(text: str, folder: Path, *files: str) -> Path:
    """A folder with an app.yaml and files beside it."""
    folder.mkdir()
    (folder / "app.yaml").write_text(text, encoding="utf-8")
    for name in files:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_description_is_refused_with_exactly_this_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, line, column, what it is about, what is wrong and what was meant, and the code: all mistakes, in their order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    shutil.copy(FOLDER / f"{name}.yaml", "model/app.yaml")
    for file in ("net.onnx", "weights.safetensors"):
        Path("model", file).touch()
    with pytest.raises(ConfigError) as refused:
        load(Path("model"))
    error = refused.value
    told = str(error) if isinstance(error, AppRefused) else f"{error} [{error.code}]"
    assert told + "\n" == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_bad_description_has_its_message_and_every_message_its_description() -> None:
    """Nothing in the folder is left out of the test by a misspelt name."""
    assert len(NAMES) >= 25
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == NAMES


def test_the_pages_own_description_is_good_and_short(tmp_path: Path) -> None:
    """What docs/howto/describe-a-model.md has people write is read as it stands there, in thirty lines at most."""
    (text,) = [
        block for block in re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE) if "model:" in block
    ]
    assert len(text.splitlines()) <= 30
    said = load(described(text, tmp_path / "bone", "bone.onnx"))
    assert (said.name, said.accepts.modality, said.accepts.max_spacing_mm) == ("ct-bone", ("CT",), 5.0)
    (bone,) = said.structures
    assert (bone.type.value, bone.rgb) == ("272673000", (0xF1, 0xD6, 0x91))


def test_the_schema_has_every_key_with_what_it_does() -> None:
    """Editors complete from it: each key at whatever depth has a description, and nothing beside the keys is taken."""

    def walk(form: dict[str, object]) -> int:
        properties = form.get("properties", {})
        assert isinstance(properties, dict)
        assert not properties or form["additionalProperties"] is False
        for each in properties.values():
            assert each["description"]
        inner = [*properties.values(), *([form["items"]] if isinstance(form.get("items"), dict) else [])]
        return len(properties) + sum(walk(each) for each in inner)

    assert walk(schema()) >= 45
