"""container.yaml: every bad one of tests/bad_containers is refused with exactly the message beside it; the page's own is good."""

import re
import shutil
from pathlib import Path

import pytest

from node.settings.container_yaml import ContainerRefused, load, schema

FOLDER = Path(__file__).parents[2] / "bad_containers"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
PAGE = Path(__file__).parents[3] / "docs" / "howto" / "run-a-container.md"


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_description_is_refused_with_exactly_this_message(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, line, column, what it is about, what is wrong and what was meant, and the code: all mistakes, in their order."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "module").mkdir()
    shutil.copy(FOLDER / f"{name}.yaml", "module/container.yaml")
    with pytest.raises(ContainerRefused) as refused:
        load(Path("module"))
    assert f"{refused.value}\n" == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_bad_description_has_its_message_and_every_message_its_description() -> None:
    """Nothing in the folder is left out of the test by a misspelt name."""
    assert len(NAMES) >= 10
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == NAMES


def test_the_pages_own_description_is_good(tmp_path: Path) -> None:
    """What docs/howto/run-a-container.md has people write is read as it stands there."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (text,) = [block for block in blocks if "contract:" in block]
    (tmp_path / "container.yaml").write_text(text, encoding="utf-8")
    said = load(tmp_path)
    assert (said.name, said.contract, said.bounds.memory, said.bounds.output) == ("ct-bone", "mercure", 4 << 30, 500_000_000)
    assert dict(said.settings) == {"limit": 300}


def test_the_pages_lines_of_nifti_are_good(tmp_path: Path) -> None:
    """With what every description has before them: two numbers of one file, and a file of its own."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    (text,) = [block for block in blocks if block.startswith("images: nifti")]
    before = "name: ct-organs\ntitle: Organs\ncontract: folder\naccepts: {modality: CT}\nlicence: {weights: MIT}\nimage: sha256:"
    (tmp_path / "container.yaml").write_text(f"{before}{64 * '0'}\n{text}", encoding="utf-8")
    said = load(tmp_path)
    assert said.images == "nifti"
    assert [(one.label, one.value, one.file) for one in said.segments] == [
        ("Liver", 1, None),
        ("Spleen", 2, None),
        ("Aorta", None, "aorta.nii.gz"),
    ]


def test_the_pages_lines_of_roles_and_maps_are_good(tmp_path: Path) -> None:
    """With what every description has before them: the second role is optional and has slices of its own; the map has its unit."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    roles, maps = (next(block for block in blocks if key in block) for key in ("roles:\n  - {name: T1}", "maps:\n"))
    before = f"name: mr-adc\ntitle: ADC\ncontract: map\nlicence: {{weights: MIT}}\nimage: sha256:{64 * '0'}\n"
    (tmp_path / "container.yaml").write_text(before + roles + maps, encoding="utf-8")
    said = load(tmp_path)
    assert [(one.name, one.optional) for one in said.roles] == [("T1", False), ("FLAIR", True)]
    assert (said.roles[0].accepts, said.roles[1].accepts.max_spacing_mm) == (None, 5)
    assert [(one.label, one.code.value, one.unit.value) for one in said.maps] == [("ADC", "113041", "um2/s")]


def test_the_schema_has_every_key_with_what_it_does() -> None:
    """Editors complete from it, and nothing beside the keys is taken."""
    told = schema()
    assert told["required"] == ["name", "title", "image", "contract", "accepts", "licence"]
    assert all(each["description"] for each in told["properties"].values())
    assert told["additionalProperties"] is False
