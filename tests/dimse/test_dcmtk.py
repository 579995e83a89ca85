"""The listener and the requestor against DCMTK, another implementation of the standard."""

import contextlib
import os
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import ImplicitVRLittleEndian

from node.dimse.requestor.peer import PeerRequestor
from node.settings.peers import May, Peer
from tests.dimse.conftest import Listen, data_set_of, instance
from tests.lab import dcmtk
from tests.lab.loopback import loopback_only
from tests.lab.needs import program
from tests.lab.program import wait_until

pytestmark = [pytest.mark.peers]


def _series(folder: Path, count: int) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.dcm" for number in range(count)]
    for number, path in enumerate(paths):
        instance(pixels=bytes([number]) * 200_000).save_as(path, enforce_file_format=True)
    return paths


def test_echoscu(listen: Listen) -> None:
    """Network case 1: DCMTK's C-ECHO is answered; under a wrong title it is rejected with the reason in DCMTK's words."""
    running = listen()
    assert dcmtk.echoscu(running.port).code == 0
    refused = dcmtk.echoscu(running.port, called="WRONG")
    assert refused.code != 0
    assert "Called AE Title Not Recognized" in refused.text
    assert "Calling AE Title Not Recognized" in dcmtk.echoscu(running.port, calling="STRANGER").text


def test_dcmsend_byte_for_byte(listen: Listen, tmp_path: Path) -> None:
    """What lies in the files lies in the inbox."""
    running = listen()
    paths = _series(tmp_path / "series", 20)
    said = dcmtk.dcmsend(running.port, tmp_path / "series")
    assert said.code == 0, said.text
    assert {data_set_of(path.read_bytes()) for path in running.kept()} == {data_set_of(path.read_bytes()) for path in paths}


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("SC_rgb_jpeg_dcmtk.dcm", "-xy"),
        ("JPEG2000.dcm", "-xw"),
        ("SC_rgb_rle.dcm", "-xr"),
        ("image_dfl.dcm", "-xd"),
        ("MR_small_bigendian.dcm", "-xb"),
    ],
)
def test_storescu_in_many_syntaxes(listen: Listen, name: str, option: str) -> None:
    """storescu proposes the file's syntax and uncompressed ones in contexts of their own; the compressed file is kept compressed."""
    running = listen()
    source = Path(str(get_testdata_file(name)))
    said = dcmtk.storescu(running.port, source, options=[option])
    assert said.code == 0, said.text
    (path,) = running.kept()
    sent, kept = dcmread(source), dcmread(path)
    assert kept.SOPInstanceUID == sent.SOPInstanceUID
    assert kept.PixelData == sent.PixelData or kept.file_meta.TransferSyntaxUID != sent.file_meta.TransferSyntaxUID
    assert kept.pixel_array.tobytes() == sent.pixel_array.tobytes()


def test_dcmdump_reads_what_is_kept(listen: Listen, tmp_path: Path) -> None:
    """DCMTK finds nothing wrong with the file meta information."""
    running = listen()
    dcmtk.dcmsend(running.port, *_series(tmp_path / "series", 1))
    text = dcmtk.dcmdump(running.kept()[0])
    assert "E:" not in text
    assert "W:" not in text
    assert "(0002,0018) AE [HILUM]" in text


def test_an_aborting_storescu_leaves_nothing_half(listen: Listen, tmp_path: Path) -> None:
    """--abort after the last instance: all that was acknowledged is there, and nothing else."""
    running = listen()
    said = dcmtk.storescu(running.port, *_series(tmp_path / "series", 3), options=["--abort"])
    assert "Aborting Association" in said.text
    assert len(running.kept()) == len(running.left()) == 3


def test_small_pdus_of_a_sender_with_nagle_on(listen: Listen, tmp_path: Path) -> None:
    """DCMTK without TCP_NODELAY and with 4 KiB PDUs: slow in itself, not made slower by delayed acknowledgements (40 ms each): one
    of five times it is as fast as it can be."""
    running = listen()
    _series(tmp_path / "series", 20)
    command = ["/usr/bin/dcmsend", "-aec", "HILUM", "-aet", "PACS", "--max-send-pdu", "4096", "+sd", "127.0.0.1", str(running.port)]
    environment = {name: value for name, value in os.environ.items() if name != "TCP_NODELAY"}
    program("dcmsend", "dcmtk")

    def ended(count: int) -> bool:
        return len(running.said("association.ended")) == count

    for count in range(1, 6):
        done = subprocess.run([*command, str(tmp_path / "series")], env=environment, capture_output=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        wait_until(partial(ended, count), 60, "the association ends", every_s=0.01)
        took_s = running.said("association.ended")[-1]["took_s"]
        assert isinstance(took_s, float)
        if took_s < 20 * 0.2:
            break  # acknowledgements that come late do so every time; a busy machine does not
    else:
        raise AssertionError(f"the last of five took {took_s} s")
    assert len({data_set_of(path.read_bytes()) for path in running.kept()}) == 20


def test_storescp_gets_the_files_bytes(tmp_path: Path) -> None:
    """Sent to DCMTK's receiver, which keeps the data set as it came (bit preserving)."""
    paths = _series(tmp_path / "series", 5)
    with loopback_only(), dcmtk.StoreScp(tmp_path / "received", options=["+B"]) as scp:
        requestor = PeerRequestor(Peer(name="archive", ae_title=scp.aet, host="127.0.0.1", port=scp.port), calling_ae="HILUM")
        requestor.echo()
        assert all(status.accepted for status in requestor.store([str(path) for path in paths]))
        received = {data_set_of(path.read_bytes()) for path in scp.received()}
    assert received == {data_set_of(path.read_bytes()) for path in paths}


def test_storescp_that_takes_only_implicit_gets_it_decoded(tmp_path: Path) -> None:
    """+xi: DCMTK accepts implicit little endian alone; a JPEG 2000 file arrives with the pixels that pydicom decodes."""
    source = Path(str(get_testdata_file("MR_small_jp2klossless.dcm")))
    with loopback_only(), dcmtk.StoreScp(tmp_path / "received", options=["+xi"]) as scp:
        requestor = PeerRequestor(Peer(name="archive", ae_title=scp.aet, host="127.0.0.1", port=scp.port), calling_ae="HILUM")
        (status,) = requestor.store([str(source)])
        assert status.accepted
        (path,) = scp.received()
        received = dcmread(path)
    assert received.file_meta.TransferSyntaxUID == ImplicitVRLittleEndian
    assert received.PixelData == dcmread(source).pixel_array.tobytes()


def test_dcmqrscp_counts(tmp_path: Path) -> None:
    """A second PACS that has the instances says or lists how many."""
    paths = _series(tmp_path / "series", 4)
    dataset = dcmread(paths[0])
    for path in paths[1:]:
        other = dcmread(path)
        other.StudyInstanceUID, other.SeriesInstanceUID = dataset.StudyInstanceUID, dataset.SeriesInstanceUID
        other.save_as(path)
    with loopback_only(), dcmtk.DcmQrScp(tmp_path / "pacs", node_port=11112) as pacs:
        peer = Peer(name="pacs", ae_title=pacs.aet, host="127.0.0.1", port=pacs.port, may=frozenset({May.FIND}))
        requestor = PeerRequestor(peer, calling_ae="HILUM")
        assert requestor.holds([str(path) for path in paths]) == frozenset()
        assert all(status.accepted for status in requestor.store([str(path) for path in paths]))
        study, series = str(dataset.StudyInstanceUID), str(dataset.SeriesInstanceUID)
        assert requestor.count(study, series) == 4
        assert requestor.count(study, None) == 4
        assert requestor.count("1.2.3.4", None) is None
        assert requestor.holds([str(path) for path in paths]) == {str(dcmread(path).SOPInstanceUID) for path in paths}


_PROFILE = """
[[TransferSyntaxes]]
[Explicit]
TransferSyntax1 = LittleEndianExplicit
[Unknown]
TransferSyntax1 = 1.2.3.4.5.6
[[PresentationContexts]]
[Mixed]
PresentationContext1 = 1.2.3.99.4\\Explicit
PresentationContext2 = MRImageStorage\\Unknown
PresentationContext3 = MRImageStorage\\Explicit
PresentationContext4 = 1.2.3.4.5.6.7\\Explicit
[[Profiles]]
[Odd]
PresentationContexts = Mixed
"""


def _garbling(port: int) -> int:
    """The port of a line to `port` on which one UID of a request loses its digits; DCMTK itself sends none that is not one."""
    listening = socket.create_server(("127.0.0.1", 0))

    def carry() -> None:
        with listening, listening.accept()[0] as came, socket.create_connection(("127.0.0.1", port), timeout=60) as onward:
            request = b""
            while len(request) < 6 or len(request) < 6 + int.from_bytes(request[2:6], "big"):
                request += came.recv(65536)
            onward.sendall(request.replace(b"1.2.3.99.4", b"1.2.3.\xff\xfe.4"))
            back = threading.Thread(target=_carry, args=(onward, came))
            back.start()
            _carry(came, onward)
            back.join()

    threading.Thread(target=carry, daemon=True).start()
    return int(listening.getsockname()[1])


def _carry(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65536):
            other.sendall(data)
    with contextlib.suppress(OSError):
        other.shutdown(socket.SHUT_WR)


def test_storescu_goes_on_beside_a_class_whose_uid_is_none(listen: Listen, tmp_path: Path) -> None:
    """Four presentation contexts, one of them garbled and two unknown: DCMTK reads each answer, and sends in the one that is accepted."""
    running = listen()
    (path,) = _series(tmp_path / "series", 1)
    profile = tmp_path / "odd.cfg"
    profile.write_text(_PROFILE)
    said = dcmtk.storescu(_garbling(running.port), path, options=("-d", "-xf", str(profile), "Odd"))
    assert said.code == 0, said.text
    answered = [line.split("(")[1].split(")")[0] for line in said.text.splitlines() if "Context ID:" in line][4:]
    assert answered == ["Abstract Syntax Not Supported", "Transfer Syntaxes Not Supported", "Accepted", "Abstract Syntax Not Supported"]
    assert len(running.kept()) == 1
