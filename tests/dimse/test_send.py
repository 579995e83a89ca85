"""`hilum send` to a real listener: what is sent, what is skipped, and what the exit code says."""

import json
import zipfile
from pathlib import Path

import pytest

from node.cli.main import main
from tests.dimse.conftest import Listen, Listening, data_set_of, instance


def _series(folder: Path, count: int = 3) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for path in paths:
        instance().save_as(path, enforce_file_format=True)
    return paths


def _send(running: Listening, *words: object, to: str = "HILUM") -> int:
    return main(["send", *(str(word) for word in words), "--to", f"{to}@127.0.0.1:{running.port}", "--calling", "PACS"])


def test_a_folder_is_sent_with_its_subfolders(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every instance below it arrives byte for byte; the exit code is 0."""
    running = listen()
    paths = [*_series(tmp_path / "a"), *_series(tmp_path / "a" / "deep" / "er")]
    assert _send(running, tmp_path / "a") == 0
    assert {data_set_of(path.read_bytes()) for path in running.kept()} == {data_set_of(path.read_bytes()) for path in paths}
    assert "6 of 6 instances were accepted" in capsys.readouterr().out


def test_zips_are_read_also_one_in_another(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without unpacking to anywhere that stays; a member's path is never used as one."""
    running = listen()
    paths = _series(tmp_path)
    with zipfile.ZipFile(tmp_path / "inner.zip", "w") as inner:
        inner.write(paths[0], "../../../0.dcm")
    with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
        outer.write(tmp_path / "inner.zip", "inner.zip")
        outer.write(paths[1], "deep/1.dcm")
        outer.writestr("README", "hello")
    assert _send(running, tmp_path / "outer.zip", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["accepted"] == 2
    assert [Path(one["path"]).name for one in said["skipped"]] == ["outer.zip!README"]
    assert len(running.kept()) == 2


def test_json_has_a_status_for_each_instance(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What scripts read: path, UID, status in hexadecimal, whether it was accepted."""
    running = listen()
    (path,) = _series(tmp_path, 1)
    assert _send(running, path, "--json") == 0
    (one,) = json.loads(capsys.readouterr().out)["instances"]
    assert (one["path"], one["status"], one["accepted"]) == (str(path), "0000", True)


def test_one_refused_instance_is_a_failure(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1, the file is named with its status; the rest arrived."""
    running = listen()
    paths = _series(tmp_path)
    cut = paths[1].read_bytes()[:-50]
    paths[1].write_bytes(cut)
    assert _send(running, tmp_path) == 1
    out = capsys.readouterr().out
    assert f"{paths[1]}: C000" in out
    assert "2 of 3" in out
    assert len(running.kept()) == 2


def test_what_is_no_dicom_is_skipped_and_counted(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A README beside the images is no failure."""
    running = listen()
    _series(tmp_path, 1)
    (tmp_path / "README").write_text("hello")
    (tmp_path / "broken.zip").write_bytes(b"PK\3\4 no zip")
    assert _send(running, tmp_path) == 0
    assert "2 files were skipped" in capsys.readouterr().out


def test_nothing_to_send_is_a_failure(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 1 and a reason: a script that sent nothing must notice."""
    (tmp_path / "README").write_text("hello")
    assert _send(listen(), tmp_path) == 1
    assert "nothing to send" in capsys.readouterr().err


def test_a_rejected_association_is_a_failure_with_its_reason(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The peer's own words, and what to do."""
    _series(tmp_path, 1)
    assert _send(listen(), tmp_path, to="WRONG") == 1
    err = capsys.readouterr().err
    assert "called AE title not recognised" in err
    assert "what to do" in err


@pytest.mark.parametrize("to", ["HILUM@127.0.0.1", "HILUM@host:99999", "@host:104", "A-TITLE-THAT-IS-LONG@host:104"])
def test_a_destination_that_is_none_is_a_usage_error(tmp_path: Path, to: str) -> None:
    """Exit code 2, before anything is read."""
    (path,) = _series(tmp_path, 1)
    with pytest.raises(SystemExit) as ended:
        main(["send", str(path), "--to", to])
    assert ended.value.code == 2


def test_a_peer_of_the_configuration_can_be_named(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--to node` with --config: address and titles come from there; an unknown name gets a suggestion."""
    running = listen()
    (path,) = _series(tmp_path / "images", 1)
    config = tmp_path / "hilum.yaml"
    config.write_text(
        "node: {ae_title: PACS}\n"
        f'peers: {{other_node: {{ae_title: HILUM, address: "127.0.0.1:{running.port}"}}}}\n'
        "sinks: {results: {kind: folder, path: out}}\n"
        "routes: []\n"
    )
    assert main(["send", str(path), "--to", "other_node", "--config", str(config)]) == 0
    assert len(running.kept()) == 1
    assert main(["send", str(path), "--to", "other_nod", "--config", str(config)]) == 1
    assert 'did you mean "other_node"' in capsys.readouterr().err
