"""Every bad configuration of tests/bad_configs is refused with exactly the message that stands beside it."""

from pathlib import Path

import pytest

from node.assembly.configuration import load
from node.domain.errors import ConfigError
from node.settings.source import ConfigRefused

FOLDER = Path(__file__).parents[2] / "bad_configs"
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("name", NAMES)
def test_a_bad_configuration_is_refused_with_exactly_this_message(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network case 10: File, line, column, what it is about, what is wrong and what was meant, and the code: all mistakes of the file, in
    its order."""
    monkeypatch.chdir(FOLDER)
    with pytest.raises(ConfigError) as refused:
        load(Path(f"{name}.yaml"), applications=("mr-brain", "ct-lung"))
    error = refused.value
    told = str(error) if isinstance(error, ConfigRefused) else f"{error} [{error.code}]"
    assert told + "\n" == (FOLDER / f"{name}.txt").read_text(encoding="utf-8")


def test_every_bad_configuration_has_its_message_and_every_message_its_configuration() -> None:
    """Nothing in the folder is left out of the test by a misspelt name."""
    assert len(NAMES) >= 25
    assert sorted(path.stem for path in FOLDER.glob("*.txt")) == NAMES
