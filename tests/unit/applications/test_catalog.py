"""Applications are folders: found without importing them, refused with a reason when they are broken."""

import subprocess
import sys
from pathlib import Path

import pytest

from inference.applications import catalog
from inference.applications.errors import BrokenApplication, UnknownApplication
from inference.engines.pinned import PINNED

GOOD = """
from inference import codes
from inference.applications.port import Accepts, Application, Infer, MeasurementOutput
from inference.findings import Findings
from inference.imaging.volume import Volume
from .numbers import TITLE


def analyse(volume: Volume, infer: Infer) -> Findings:
    return Findings()


APPLICATION = Application(
    name="ct-mine",
    version="1.0.0",
    title=TITLE,
    accepts=Accepts(modality=("CT",)),
    models=(),
    outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),),
    analyse=analyse,
)
"""


def write(parent: Path, folder: str, code: str) -> Path:
    """An application folder with a module of its own beside it."""
    made = parent / folder
    made.mkdir(parents=True)
    (made / "__init__.py").write_text(code)
    (made / "numbers.py").write_text('TITLE = "Mine"\n')
    return parent


def test_the_built_in_applications_load() -> None:
    """Their manifests pass the same check as everybody's."""
    assert {"ct-lung", "mr-brain"} <= set(catalog.names())
    for name in catalog.names():
        assert catalog.load(name).name == name


def test_names_come_without_importing_anything_heavy() -> None:
    """`hilum --help` and `config check` ask for the names."""
    program = (
        "import sys; from inference.applications import catalog; catalog.names(); "
        "print([m for m in ('numpy', 'torch', 'scipy', 'onnxruntime', 'inference.applications.mr_brain') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_loading_does_not_import_what_computes() -> None:
    """Routing looks at manifests: torch and its like come with the first analysis."""
    program = (
        "import sys; from inference.applications import catalog; [catalog.load(n) for n in catalog.names()]; "
        "print([m for m in ('torch', 'scipy', 'onnxruntime', 'monai') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_a_folder_of_ones_own(tmp_path: Path) -> None:
    """One folder, no other file changes; relative imports inside it work; two folders of one name in two places do not meet."""
    first, second = write(tmp_path / "a", "ct_mine", GOOD), write(tmp_path / "b", "ct_mine", GOOD.replace("1.0.0", "2.0.0"))
    assert "ct-mine" in catalog.names([first])
    assert catalog.load("ct-mine", [first]).version == "1.0.0"
    assert catalog.load("ct-mine", [second]).version == "2.0.0"
    with pytest.raises(BrokenApplication, match="is there 2 times"):
        catalog.load("ct-mine", [first, second])


def test_an_unknown_name_suggests_the_nearest(tmp_path: Path) -> None:
    """Or lists what there is."""
    with pytest.raises(UnknownApplication, match='did you mean "ct-lung"'):
        catalog.load("ct-lungs")
    with pytest.raises(UnknownApplication, match=r"there are: .*mr-brain"):
        catalog.load("xyz")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("def analyse", "def analyse("), "SyntaxError"),
        (("from .numbers", "from .absent"), "ModuleNotFoundError"),
        (("APPLICATION =", "OTHER ="), "APPLICATION"),
        (("accepts=Accepts", "accept=Accepts"), "unexpected keyword argument 'accept'"),
        (('name="ct-mine"', 'name="ct-yours"'), 'its manifest calls it "ct-yours"'),
        (('version="1.0.0"', 'version="1"'), 'version "1" is not MAJOR.MINOR.PATCH'),
        (('modality=("CT",)', 'modality="CT"'), "not a tuple of modalities"),
        (("outputs=(MeasurementOutput(name=codes.VOLUME, unit=codes.CUBIC_CENTIMETRE),)", "outputs=()"), "outputs is empty"),
        (("title=TITLE", 'title="a\\\\b"'), "without a backslash"),
        (("title=TITLE", "title=7"), "TypeError"),
    ],
)
def test_a_broken_application_says_what_is_wrong(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """The folder is named, and the others still load."""
    folder = write(tmp_path, "ct_mine", GOOD.replace(*change))
    with pytest.raises(BrokenApplication) as broken:
        catalog.load("ct-mine", [folder])
    assert said in str(broken.value)
    assert str(folder / "ct_mine") in str(broken.value)
    assert catalog.load("mr-brain", [folder]).name == "mr-brain"


def test_a_broken_application_can_be_mended_without_a_restart(tmp_path: Path) -> None:
    """A failed import leaves nothing behind that the next one would find."""
    folder = write(tmp_path, "ct_mine", GOOD.replace("from .numbers", "from .absent"))
    with pytest.raises(BrokenApplication):
        catalog.load("ct-mine", [folder])
    (folder / "ct_mine" / "absent.py").write_text('TITLE = "Mine, mended"\n')
    assert catalog.load("ct-mine", [folder]).title == "Mine, mended"


def test_pinned_weights_are_those_that_built_in_applications_name() -> None:
    """Files that are loaded as they were published, to be served or converted; what hilum makes of others on this machine is ONNX."""
    sources = [source for name in catalog.names() for source in catalog.load(name).sources]
    as_published = {source.sha256 for source in sources if source.sha256 and not source.convert and not source.file.endswith(".onnx")}
    assert as_published == PINNED
