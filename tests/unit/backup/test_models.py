"""Models and applications of one's own in a backup: what is taken, where it goes, and what a restore does not write over."""

import json
import os
from pathlib import Path

import pytest

from node.assembly.backups import back_up, configuration_of, restore
from node.assembly.compose import open_journal
from node.assembly.configuration import load
from node.backup.manifest import ModelsThere, OtherFolders, read
from node.settings.config import Config

_OWN = """
from inference.applications.port import Accepts, Application
from inference.findings import Findings
APPLICATION = Application(
    name="ct-own", version="1.0.0", title="Own", accepts=Accepts(modality=("CT",)), models=(), outputs=(), analyse=lambda *_: Findings()
)
"""


def _host(folder: Path, *, applications: tuple[str, ...] = ("own",)) -> Path:
    """A configuration whose route runs an application of one's own."""
    folder.mkdir()
    config = folder / "hilum.yaml"
    settings = {
        "node": {"ae_title": "HILUM", "listen": "127.0.0.1:0"},
        "peers": {"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0"}},
        "store": {"journal": f"sqlite:{folder / 'hilum.db'}", "blobs": f"file:{folder / 'blobs'}"},
        "models": {
            "repository": str(folder / "models"),
            "applications": [str(folder / one) for one in applications],
            "catalogue": {"list": str(folder / "list.yaml")},
        },
        "sinks": {"results": {"kind": "folder", "path": str(folder / "results")}},
        "routes": [{"name": "all", "when": {"Modality": "CT"}, "run": ["ct-own"], "send": ["results"]}],
    }
    config.write_text(json.dumps(settings))
    return config


def _filled(folder: Path) -> Config:
    """A host with a model, its card, an application, and what is neither."""
    path = _host(folder)
    for name, content in {
        "models/lesion/1/model.onnx": "weights",
        "models/lesion/1/card.html": "<p>accepted</p>",
        "models/lesion/hilum.json": "{}",
        "models/ct-own.0123456789abcdef.acceptance.json": "{}",
        "models/.import-x/new/1/model.onnx": "half of an import",
        "list.yaml": "models: {}",
        "list.yaml.sig": "signature",
        "models.fetched/serials.json": "{}",
        "models.fetched/ct-knee/fetched.json": "{}",
        "models.fetched/ct-knee/knee.zip": "fetched, not imported",
        "own/ct_own/__init__.py": _OWN,
        "own/ct_own/__pycache__/x.pyc": "compiled",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content)
    config = load(path)
    open_journal(config).close()
    return config


def _there(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(name="backup")
def _backup(tmp_path: Path) -> Path:
    return back_up(_filled(tmp_path / "old"), tmp_path / "backups").folder


def test_an_empty_host_gets_them_whatever_its_umask(backup: Path, tmp_path: Path) -> None:
    """The route names an application that the host does not have yet; everybody may read what is brought, as what an import writes."""
    path = _host(tmp_path / "new")
    mask = os.umask(0o077)
    try:
        restore(configuration_of(path, backup), backup)
    finally:
        os.umask(mask)
    assert _there(tmp_path / "new" / "models") == {
        "lesion/1/model.onnx": "weights",
        "lesion/1/card.html": "<p>accepted</p>",
        "lesion/hilum.json": "{}",
        "ct-own.0123456789abcdef.acceptance.json": "{}",
    }
    assert _there(tmp_path / "new" / "own") == {"ct_own/__init__.py": _OWN}
    assert _there(tmp_path / "new" / "models.fetched") == {"serials.json": "{}", "ct-knee/fetched.json": "{}"}
    assert [(tmp_path / "new" / name).read_text() for name in ("list.yaml", "list.yaml.sig")] == ["models: {}", "signature"]
    for one in (tmp_path / "new" / "models").rglob("*"):
        assert one.stat().st_mode & 0o777 == (0o755 if one.is_dir() else 0o644), one
    assert [route.run for route in load(path).routes] == [("ct-own",)]


def test_a_list_that_is_there_stays(backup: Path, tmp_path: Path) -> None:
    """It may be newer than the backup's."""
    path = _host(tmp_path / "new")
    (tmp_path / "new" / "list.yaml").write_text("models: {}  # of today")
    restore(configuration_of(path, backup), backup)
    assert (tmp_path / "new" / "list.yaml").read_text() == "models: {}  # of today"


def test_what_is_in_it_is_named(backup: Path) -> None:
    """By version and by folder; no half import, nothing that was compiled."""
    manifest = read(backup)
    assert (manifest.models, manifest.applications) == (("lesion/1",), ("ct_own",))
    assert not [name for name in manifest.files if "import" in name or "pyc" in name]


def test_a_second_backup_links_models_that_did_not_change_and_never_the_store_s(backup: Path, tmp_path: Path) -> None:
    """A card that is written over in place changes no backup."""
    card = tmp_path / "old" / "models" / "lesion" / "1" / "card.html"
    card.write_text("<p>another</p>")
    second = back_up(load(tmp_path / "old" / "hilum.yaml"), tmp_path / "backups").folder
    kept = [folder / "models" / "lesion" / "1" / "model.onnx" for folder in (backup, second)]
    assert kept[0].samefile(kept[1])
    assert [(folder / "models" / "lesion" / "1" / "card.html").read_text() for folder in (backup, second)] == [
        "<p>accepted</p>",
        "<p>another</p>",
    ]


def test_the_same_models_are_left_where_they_are(backup: Path, tmp_path: Path) -> None:
    """The disk of the store was lost, the models' was not."""
    path = _host(tmp_path / "new")
    (tmp_path / "old" / "models").rename(tmp_path / "new" / "models")
    restore(configuration_of(path, backup), backup)
    assert (tmp_path / "new" / "models" / "lesion" / "1" / "model.onnx").read_text() == "weights"


@pytest.mark.parametrize("changed", ["lesion/1/model.onnx", "lesion/2/model.onnx"])
def test_others_are_refused_or_kept_on_the_operator_s_word(backup: Path, tmp_path: Path, changed: str) -> None:
    """Other bytes, or a version that came after the backup: nothing is touched; with --keep-models the store alone is restored."""
    path = _host(tmp_path / "new")
    (tmp_path / "old" / "models").rename(tmp_path / "new" / "models")
    (tmp_path / "old" / "own").rename(tmp_path / "new" / "own")
    other = tmp_path / "new" / "models" / changed
    other.parent.mkdir(exist_ok=True)
    other.write_text("newer")
    config = configuration_of(path, backup)
    with pytest.raises(ModelsThere, match=changed):
        restore(config, backup)
    assert not (tmp_path / "new" / "hilum.db").exists()
    assert restore(config, backup, keep_models=True).models == 0
    assert other.read_text() == "newer"


def test_folders_that_the_configuration_does_not_name_are_asked_for(backup: Path, tmp_path: Path) -> None:
    """The backup has one folder of applications and this host's configuration none."""
    path = _host(tmp_path / "new", applications=())
    with pytest.raises(OtherFolders, match="folder number 1 of applications, the configuration names 0"):
        restore(configuration_of(path, backup), backup)
    assert not (tmp_path / "new" / "hilum.db").exists()
