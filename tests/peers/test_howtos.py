"""How-tos executed as written over a node that serves: their commands and their pieces of configuration, with Orthanc and OpenSSL.

What stands for the reader's own (addresses, ports, paths, a job) is filled in here. Pages whose commands need no node that runs are
tests/unit/docs/test_executed.py's.
"""

import json
import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from ruamel.yaml import YAML

from inference.imaging.write_series import write_series
from node.dicom.uid import derive_uid
from tests.lab.dcmtk import storescu
from tests.lab.howto import HowTo
from tests.lab.loopback import free_port
from tests.lab.needs import program
from tests.lab.node import QUIET, CommandResult, Node, hilum
from tests.lab.orthanc import Orthanc
from tests.lab.program import wait_until
from tests.node.test_reload import settings, told
from tests.results.images import radiograph

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.timeout(600)]
_PATIENCE_S = 120
_YAML = YAML(typ="safe")


def typed(node: Node, command: str, means: Mapping[str, str] | None = None) -> CommandResult:
    """Run a command of a page; `means` are what stands for the reader's own words."""
    words = [(means or {}).get(word, word) for word in shlex.split(command)]
    assert words[0] == "hilum", command
    said = node.hilum(*words[1:])
    assert said.code == 0, (command, said.out, said.err)
    assert "Traceback" not in said.err
    return said


def image(folder: Path, name: str) -> tuple[Path, str]:
    """A radiograph of its own study, and that study."""
    uids = {key: derive_uid(key, name) for key in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")}
    radiograph(folder / name, 1, 1, **uids)
    return folder / name, uids["StudyInstanceUID"]


def saved(node: Node, says: Mapping[str, Any]) -> None:
    """Write the file, as an editor does."""
    node.config.write_text(json.dumps(says, indent=1))


def test_a_pacs_is_connected_and_the_configuration_changed(tmp_path: Path) -> None:
    """connect-a-pacs.md: Orthanc is named as peer and sink, and forwards to the node: one study, one set of results beside it, and no loop.
    change-the-configuration.md: a peer that learns its window is edited in under way; results for a sink that was struck out are parked,
    and go where they are sent."""
    connect, change = HowTo("connect-a-pacs.md"), HowTo("change-the-configuration.md")
    port = free_port()
    (modality,) = connect.blocks("json")
    forward = json.loads(f"{{{modality}}}")["DicomModalities"]["hilum"]
    assert (forward["AET"], forward["Port"]) == ("HILUM", 11112)
    there: dict[str, object] = {"DicomModalities": {"hilum": {**forward, "Host": "127.0.0.1", "Port": port}}}
    orthanc = Orthanc(tmp_path / "orthanc", node_port=port, options=there)
    says: dict[str, Any] = settings(tmp_path, "all")
    says["node"] = {**connect.inline("node"), "listen": f"127.0.0.1:{port}"}
    assert "`may: [store, echo]`" in connect.text
    pacs = {"ae_title": "PACS", "address": f"127.0.0.1:{orthanc.dicom_port}", "may": ["store", "echo"], "settle": {"quiet": QUIET}}
    says["peers"] = {"pacs": pacs}
    says["sinks"] = connect.inline("sinks") | says["sinks"]
    says["routes"][0]["send"] = ["archive"]
    with orthanc, Node(says, tmp_path) as node:
        assert {one["subject"]: one["level"] for one in node.doctor()["findings"] if one["subject"] in ("peer pacs", "sink archive")} == {
            "peer pacs": "good",
            "sink archive": "good",
        }
        first, study = image(tmp_path, "first")
        orthanc.upload(first)
        orthanc.send(orthanc.study(study).identifier, modality="hilum")
        orthanc.wait_for(_has_results(study), _PATIENCE_S, "the results stand beside the study")
        orthanc.send(orthanc.study(study).identifier, modality="hilum")
        assert [one["study_uid"] for one in node.studies()] == [study]
        (peers,) = connect.commands()
        assert "pacs" in typed(node, connect.typed(peers)).out

        *_, learned = connect.blocks("yaml")
        says["peers"] |= _YAML.load(learned)["peers"]
        saved(node, says)
        check, reload, listed, resend = change.commands()
        assert "is good" in typed(node, change.typed(check)).out
        assert "`peers:` changed, in force from now on" in typed(node, change.typed(reload)).out
        assert "the new CT" in typed(node, "hilum config history").out
        assert "ct1" in typed(node, connect.typed(peers)).out

        orthanc.stop()
        second, other = image(tmp_path, "second")
        assert hilum("send", second, "--to", f"HILUM@127.0.0.1:{port}", "--calling", "PACS").code == 0
        wait_until(lambda: told(node, "delivery.retry", sink="archive"), _PATIENCE_S, "the results wait for the archive")
        saved(node, says | {"sinks": {"results": says["sinks"]["results"]}, "routes": [{**says["routes"][0], "send": ["results"]}]})
        typed(node, change.typed(reload))
        wait_until(lambda: told(node, "delivery.parked", code="HLM-6180"), _PATIENCE_S, "they are parked")
        assert "HLM-6180" in typed(node, change.typed(listed)).out
        orthanc.start()
        saved(node, says)
        typed(node, change.typed(reload))
        (job,) = (one["id"] for one in node.jobs() if one["study_uid"] == other)
        typed(node, change.typed(resend), means={"JOB": str(job)})
        orthanc.wait_for(lambda studies: any(one.uid == other for one in studies), _PATIENCE_S, "they go to the archive that is back")
        connect.followed()
        change.followed()
        # long after its quiet window
        assert [one["study_uid"] for one in node.jobs()].count(study) == 1, "results that come back open nothing"


def _has_results(study: str) -> Callable[[list[Any]], bool]:
    return lambda studies: any(one.uid == study and one.of("SR") for one in studies)


def test_a_store_is_encrypted(tmp_path: Path) -> None:
    """encrypt-at-rest.md: OpenSSL makes the key, what is stored has the page's form and betrays nobody; doctor names what is not encrypted;
    a file can be looked at."""
    page = HowTo("encrypt-at-rest.md")
    make_key, unseal = page.commands()
    etc = tmp_path / "etc"
    etc.mkdir()
    assert program("openssl", "openssl")
    subprocess.run(["sh", "-c", page.typed(make_key).replace("/etc/hilum", str(etc))], check=True, capture_output=True)
    assert (etc / "at-rest.key").stat().st_mode & 0o777 == 0o600
    (block,) = page.blocks("yaml")
    encryption = _YAML.load(block.replace("/etc/hilum", str(etc)))["store"]["encryption"]
    says: dict[str, Any] = settings(tmp_path, "all")
    says["store"] |= {"encryption": encryption | {"memory": "64MiB"}}
    (first,) = re.findall(r"^\| 8 \| `([0-9A-F ]+)` \|$", page.text, re.MULTILINE)
    with Node(says, tmp_path) as node:
        sent, _ = image(tmp_path, "first")
        assert hilum("send", sent, "--to", f"HILUM@127.0.0.1:{node.port}", "--calling", "SCANNER").code == 0
        node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], _PATIENCE_S, "it is analysed")
        kept = [path for path in (tmp_path / "blobs").rglob("*.dcm") if path.is_file()]
        assert kept
        assert {path.read_bytes()[:8] for path in kept} == {bytes.fromhex(first)}
        (found,) = (one for one in node.doctor()["findings"] if one["subject"] == "encryption")
        assert "the journal is not" in found["detail"]
        aside = tmp_path / "blobs" / "aside"
        aside.mkdir(exist_ok=True)
        (aside / kept[0].name).write_bytes(kept[0].read_bytes())
        means = {"var/blobs/aside": str(aside), "/run/user/1000/look": str(tmp_path / "look")}
        typed(node, page.typed(unseal), means=means)
        page.followed()
        assert (tmp_path / "look" / kept[0].name).read_bytes()[128:132] == b"DICM"


def test_a_node_is_secured_and_runs_an_application_of_its_owners(tmp_path: Path) -> None:
    """secure-the-node.md: the authority and the certificates are made, the node listens with TLS alone, and of the commands that ask
    whether it holds the first alone is answered; the events say why. write-an-application.md: the application of its first block analyses
    what the PACS sends so."""
    secure, own = HowTo("secure-the-node.md"), HowTo("write-an-application.md")
    (certificates, *_), checks = secure.shell("Certificates"), secure.shell("Does it hold?")[0]
    subprocess.run(["bash", "-ec", secure.typed(certificates)], cwd=tmp_path, check=True, capture_output=True)
    port = free_port()
    block, *_ = secure.blocks("yaml")
    said = _YAML.load(block.replace("tls/", f"{tmp_path}/tls/").replace("0.0.0.0:2762", f"127.0.0.1:{port}"))
    said["peers"]["pacs"] |= {"address": f"127.0.0.1:{free_port()}", "settle": {"quiet": QUIET}}
    (folder,) = re.findall(r"^`(my-applications/ct_bright)/__init__.py`:$", own.text, re.MULTILINE)
    (tmp_path / folder).mkdir(parents=True)
    (tmp_path / folder / "__init__.py").write_text(own.blocks("python")[0], encoding="utf-8")
    says: dict[str, Any] = settings(tmp_path, "all")
    says["node"] = {**says["node"], **said["node"]}
    says["peers"] = said["peers"]
    says["models"] = {"repository": str(tmp_path / "models"), "applications": [str((tmp_path / folder).parent)]}
    says["routes"] = [{"name": "bright", "when": {"Modality": "CT"}, "run": ["ct-bright"], "send": ["results"]}]
    with Node(says, tmp_path) as node:
        assert (node.port, node.tls_port) == (0, port)
        ended = [_ended(line.replace("2762", str(port)), tmp_path) for line in secure.typed(checks).splitlines()]
        secure.followed()
        assert [one == 0 for one in ended] == [True, False, False, False, False]
        wait_until(lambda: len(told(node, "association.tls_refused")) == 3, _PATIENCE_S, "the refusals are told")
        (rejected,), refused = told(node, "association.rejected"), told(node, "association.tls_refused")
        assert rejected["reason"] == 'calling AE title "OTHER" is no peer'
        assert [one["reason"].partition(":")[0] for one in refused] == [
            "no certificate was shown",
            "what came is no TLS",
            "TLS 1.2 or 1.3 is needed",
        ]
        assert {one["level"] for one in node.doctor()["findings"] if one["subject"].startswith(("certificate", "tls"))} <= {"good"}
        files = write_series(_bright(), np.diag([2.0, 2, 2, 1]), tmp_path / "ct", modality="CT")
        for command in own.commands():
            said = typed(node, own.typed(command), means={"/path/to/a/ct": str(tmp_path / "ct")})
            assert "is good" in said.out or "bright → ct-bright" in said.out, said
        own.followed()
        tls = [f"{tmp_path}/tls/{name}" for name in ("pacs.key", "pacs.pem", "hospital-ca.pem")]
        sent = storescu(port, *files, options=("+tls", *tls[:2], "+cf", tls[2]))
        assert sent.code == 0, sent.text
        (job,) = node.wait_for_jobs(lambda jobs: [one["state"] for one in jobs] == ["done"], _PATIENCE_S, "it is analysed")
        assert job["application"] == "ct-bright"
    segmented = [one for path in (tmp_path / "results").rglob("*.dcm") if (one := dcmread(path)).Modality == "SEG"]
    assert [[str(segment.SegmentLabel) for segment in one.SegmentSequence] for one in segmented] == [["bone"]]


def _bright() -> np.ndarray:
    """A block of 10 × 10 × 10 voxels of bone in air (HU)."""
    voxels = np.full((20, 32, 32), -1000, np.int16)
    voxels[5:15, 10:20, 10:20] = 700
    return voxels


def _ended(command: str, cwd: Path) -> int:
    """How a command of a page ends, run by DCMTK's own programs."""
    name, _, rest = command.partition(" ")
    package = {"echoscu": "dcmtk"}.get(name, name)
    return subprocess.run(f"{program(name, package)} {rest}", shell=True, cwd=cwd, capture_output=True, timeout=60, check=False).returncode
