"""`hilum send` to a real listener: what is sent, what is skipped, and what the exit code says."""

import json
import struct
import zipfile
from pathlib import Path

import pytest
from pydicom.datadict import tag_for_keyword
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

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


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian])
def test_an_instance_goes_by_what_its_data_set_calls_it(
    listen: Listen, tmp_path: Path, syntax: UID, capsys: pytest.CaptureFixture[str]
) -> None:
    """A program gave it new UIDs, and left the older one in the file meta information: the peer compares the command with the data set,
    and takes it. One whose data set does not name itself goes by its file meta information."""
    running = listen()
    renamed, nameless = instance(), instance()
    renamed.file_meta.TransferSyntaxUID = nameless.file_meta.TransferSyntaxUID = syntax
    own, older = str(renamed.SOPInstanceUID), "1.2.3.4.5.7"
    nameless.file_meta.MediaStorageSOPInstanceUID = UID(older)
    del nameless.SOPInstanceUID
    for number, dataset in enumerate((renamed, nameless)):
        dataset.save_as(tmp_path / f"{number}.dcm", implicit_vr=syntax.is_implicit_VR, little_endian=True, enforce_file_format=True)
    # the first of the two is that of the file meta information
    written = (tmp_path / "0.dcm").read_bytes()
    (tmp_path / "0.dcm").write_bytes(written.replace(own.encode(), f"{own[:-2]}11".encode(), 1))
    assert _send(running, tmp_path, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["sop_instance_uid"] for one in said["instances"]] == [own, older]
    assert len(running.kept()) == 2


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


def _bomb(path: Path, megabytes: int, *, members: int = 1) -> Path:
    """A zip of zeros behind a right head: a thousandth of what it unpacks to."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            with archive.open(f"{number}.dcm", "w", force_zip64=True) as member:
                for _ in range(megabytes):
                    member.write(bytes(1_000_000))
    return path


@pytest.mark.slow
def test_a_zip_that_unpacks_to_far_more_than_its_size_is_refused(
    listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one member, in many, and in a zip within a zip: nothing is sent, the sentence names the zip, and little comes onto the disk. Who
    means it says how much."""
    running = listen()
    right = _series(tmp_path / "right", 1)
    nested = tmp_path / "nested.zip"
    with zipfile.ZipFile(nested, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(_bomb(tmp_path / "inner.zip", 120), "inner.zip")
    for bomb in (_bomb(tmp_path / "one.zip", 120), _bomb(tmp_path / "many.zip", 8, members=15), nested):
        assert bomb.stat().st_size < 1_000_000
        assert _send(running, *right, bomb) == 1
        said = capsys.readouterr().err
        assert f"{bomb.name}" in said
        assert "unpacks to more than 100 MB" in said
        assert "HLM-2112" in said
    assert running.kept() == []
    assert _send(running, *right, tmp_path / "one.zip", "--largest", "1GB") == 0
    assert "1 of 1 instances were accepted" in capsys.readouterr().out
    assert _send(running, *right, "--largest", "much") == 2


def test_what_a_zip_says_of_its_sizes_decides_nothing(listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A member of 120 MB that claims ten bytes: it is read as damaged, or refused; never taken in."""
    running = listen()
    path = _bomb(tmp_path / "lies.zip", 120)
    content = path.read_bytes()
    central = content.rindex(b"PK\x01\x02")
    path.write_bytes(content[: central + 24] + struct.pack("<I", 10) + content[central + 28 :])
    assert _send(running, path) == 1
    said = capsys.readouterr().err
    assert "lies.zip" in said
    assert running.kept() == []


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
    folder = tmp_path / "files"  # the store of the node lies beside it
    _series(folder, 1)
    (folder / "README").write_text("hello")
    (folder / "empty").write_bytes(b"")
    assert _send(running, folder) == 0
    assert "2 files were skipped" in capsys.readouterr().out


@pytest.mark.parametrize("damage", ["its end is missing", "a byte of a member", "it lies in another"])
def test_a_zip_that_cannot_be_read_is_named_and_is_a_failure(
    listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    """What was in it was meant to go. The others are sent."""
    running = listen()
    (right, lost) = _series(tmp_path / "files", 2)
    path = tmp_path / "broken.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(lost, "lost.dcm")
    content = bytearray(path.read_bytes())
    if damage == "its end is missing":
        path.write_bytes(content[:-30])
    else:
        content[60] ^= 0xFF
        path.write_bytes(content)
    if damage == "it lies in another":
        with zipfile.ZipFile(tmp_path / "outer.zip", "w") as outer:
            outer.write(path, "broken.zip")
        path = tmp_path / "outer.zip"
    assert _send(running, right, path) == 1
    said = capsys.readouterr().out
    assert "1 of 1 instances were accepted" in said
    assert "broken.zip: not sent: a zip that cannot be read" in said
    assert "skipped" not in said


@pytest.mark.parametrize("element", ["MediaStorageSOPClassUID", "MediaStorageSOPInstanceUID", "TransferSyntaxUID"])
def test_a_file_that_does_not_say_what_it_is_is_named_and_the_others_go(
    listen: Listen, tmp_path: Path, capsys: pytest.CaptureFixture[str], element: str
) -> None:
    """Where the data set does not say it either: an empty element used to end the association before anything was sent."""
    running = listen()
    files = _series(tmp_path)
    _blanked(files[1], element)
    if own := element.removeprefix("MediaStorage").removeprefix("TransferSyntaxUID"):
        _blanked(files[1], own)
    assert _send(running, tmp_path) == 1
    said = capsys.readouterr().out
    assert f"{files[1]}: not sent: {element} of its file meta information: no UID" in said
    assert "2 of 2 instances were accepted" in said
    assert len(running.kept()) == 2
    assert _send(running, files[1]) == 1
    assert f"nothing to send: {files[1]}: {element}" in capsys.readouterr().err


def _blanked(file: Path, element: str) -> None:
    """Empty one element: its length becomes 0, and so much goes from the length of the group 0002 if it is of that one."""
    data = bytearray(file.read_bytes())
    group, number = divmod(tag_for_keyword(element) or 0, 0x10000)
    head = struct.pack("<HH2s", group, number, b"UI")
    at = data.index(head) + len(head)
    (length,) = struct.unpack_from("<H", data, at)
    struct.pack_into("<H", data, at, 0)
    del data[at + 2 : at + 2 + length]
    if group == 0x0002:
        struct.pack_into("<L", data, 140, struct.unpack_from("<L", data, 140)[0] - length)
    file.write_bytes(bytes(data))


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


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("HILUM@127.0.0.1", 'HOST:PORT belongs behind the @, and "127.0.0.1" is not both'),
        ("127.0.0.1:104", "the AE title that the receiver was given stands before an @"),
        ("HILUM@host:99999", '"99999" is no port: a number from 1 to 65535'),
        ("@host:104", "the AE title before the @ is missing"),
        ("A-TITLE-THAT-IS-LONG@host:104", '"A-TITLE-THAT-IS-LONG" is no AE title: 1 to 16 characters, no backslash'),
        ("HILUM@::1:104", '"::1" is no host; an IPv6 address stands in brackets: [::1]'),
    ],
)
def test_a_destination_that_is_none_is_explained(tmp_path: Path, to: str, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 2, before anything is read; the sentence says the form, and which part of it is amiss."""
    (path,) = _series(tmp_path, 1)
    assert main(["send", str(path), "--to", to]) == 2
    said = capsys.readouterr().err
    assert "is not AET@HOST:PORT (as ORTHANC@10.0.0.5:4242)" in said
    assert why in said


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
