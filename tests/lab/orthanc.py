"""A real PACS: Orthanc on loopback, with DICOMweb for the viewer and a rule that forwards stable studies to the node."""

import json
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.lab.loopback import free_port
from tests.lab.needs import APT, file, program
from tests.lab.program import Program, wait_until

_PLUGINS = Path("/usr/share/orthanc/plugins")
_START_S = 240

_FORWARD = '''
"""What the administrator of a PACS sets up: every study that is stable goes to the node, each instance once."""

import json
import orthanc

NODE = json.loads(orthanc.GetConfiguration())["DicomModalities"]["NODE"]["AET"]
RESULTS_TOO = {results_too}
sent = set()


def on_change(change, level, resource):
    if change != orthanc.ChangeType.STABLE_STUDY:
        return
    new = []
    for instance in json.loads(orthanc.RestApiGet("/studies/%s/instances" % resource)):
        identifier = instance["ID"]
        try:
            came_from = orthanc.RestApiGet("/instances/%s/metadata/RemoteAET" % identifier).decode()
        except orthanc.OrthancException:
            came_from = ""  # uploaded over HTTP
        if identifier not in sent and (RESULTS_TOO or came_from != NODE):
            new.append(identifier)
    if new:
        sent.update(new)
        orthanc.RestApiPost("/modalities/NODE/store", json.dumps({{"Resources": new, "Synchronous": False}}))


orthanc.RegisterOnChangeCallback(on_change)
'''


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One series as the archive lists it."""

    identifier: str
    uid: str
    modality: str
    description: str
    instances: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Study:
    """One study as the archive lists it."""

    identifier: str
    uid: str
    series: tuple[Series, ...]

    def of(self, modality: str) -> tuple[Series, ...]:
        """Its series of one modality."""
        return tuple(series for series in self.series if series.modality == modality)


class Orthanc:
    """The archive as a context manager: started on entry, stopped on exit; `stop` and `start` in between are a restart.

    `forwards` sends every stable study to the node by itself; `results_too` even what the node delivered.
    `overwrites` makes it take an instance that it holds again in place of the old one, as some archives do.
    """

    def __init__(
        self,
        folder: Path,
        *,
        node_port: int,
        node_aet: str = "HILUM",
        aet: str = "PACS",
        forwards: bool = False,
        results_too: bool = False,
        overwrites: bool = False,
        stable_s: int = 1,
        options: dict[str, object] | None = None,
    ) -> None:
        self.folder = folder
        self.aet = aet
        self.dicom_port = free_port()
        self.http_port = free_port()
        self._program: Program | None = None
        folder.mkdir(parents=True, exist_ok=True)
        plugins = [file(_PLUGINS / name, APT) for name in ("libOrthancDicomWeb.so", "libOrthancPython.so", "libOrthancGdcm.so")]
        script = folder / "forward.py"
        script.write_text(_FORWARD.format(results_too=results_too) if forwards else '"""Forwards nothing."""\n')
        settings = {
            "Name": aet,
            "StorageDirectory": str(folder / "storage"),
            "IndexDirectory": str(folder / "storage"),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "DicomAet": aet,
            "DicomCheckCalledAet": True,
            "DicomAlwaysAllowStore": False,
            "DicomAlwaysAllowEcho": False,
            # loopback alone may ask over HTTP, should there be another network
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "SslEnabled": False,
            "StableAge": stable_s,
            "OverwriteInstances": overwrites,
            "ConcurrentJobs": 2,
            "DicomModalities": {
                "NODE": {
                    "AET": node_aet,
                    "Host": "127.0.0.1",
                    "Port": node_port,
                    "AllowEcho": True,
                    "AllowFind": True,
                    "AllowGet": True,
                    "AllowMove": True,
                    "AllowStore": True,
                    "AllowStorageCommitment": True,
                    "Timeout": 120,
                }
            },
            "Plugins": [str(plugin) for plugin in plugins],
            "PythonScript": str(script),
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/", "EnableWado": False, "StudiesMetadata": "Full", "SeriesMetadata": "Full"},
            **(options or {}),
        }
        (folder / "orthanc.json").write_text(json.dumps(settings, indent=1))

    @property
    def url(self) -> str:
        """Where its REST interface is."""
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> None:
        """Start it and wait until it answers; what it stored before is there again."""
        # DCMTK inside leaves Nagle's algorithm on unless told: 19 instances a second instead of 265
        command = [program("Orthanc", "orthanc"), self.folder / "orthanc.json"]
        self._program = Program(command, self.folder / "orthanc.log", environment={"TCP_NODELAY": "1"})
        started = self._program

        def answers() -> bool:
            if not started.running:
                raise AssertionError(f"Orthanc ended by itself: {started.said()}")
            try:
                self.get("/system")
            except (urllib.error.URLError, ConnectionError):
                return False
            return True

        wait_until(answers, _START_S, "Orthanc answers")

    def stop(self) -> None:
        """Stop it; its storage stays."""
        if self._program is not None:
            self._program.stop()
            self._program = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def call(self, method: str, path: str, body: bytes | None = None, timeout_s: float = 120) -> bytes:
        """One request; raises AssertionError with Orthanc's own words when it refuses."""
        request = urllib.request.Request(self.url + path, data=body, method=method)
        try:
            with urllib.request.urlopen(request, timeout=timeout_s) as answer:
                got: bytes = answer.read()
                return got
        except urllib.error.HTTPError as refused:
            raise AssertionError(f"Orthanc: {method} {path}: {refused.code} {refused.read()[:1000]!r}\n{self.log()}") from refused

    def get(self, path: str) -> Any:
        """What `path` holds, as JSON."""
        return json.loads(self.call("GET", path))

    def post(self, path: str, body: object) -> Any:
        """Post JSON, get JSON."""
        return json.loads(self.call("POST", path, json.dumps(body).encode()))

    def log(self) -> str:
        """The end of its log."""
        return self._program.said() if self._program else ""

    def upload(self, source: Path) -> list[str]:
        """Store a file, a folder of files or a zip over HTTP, as an import would; the identifiers of its instances."""
        return [self.post_instance(data) for data in parts_of(source)]

    def post_instance(self, data: bytes) -> str:
        """Store one Part 10 object; its identifier."""
        identifier: str = json.loads(self.call("POST", "/instances", data))["ID"]
        return identifier

    def studies(self) -> list[Study]:
        """Everything that it holds."""
        return [self._study(identifier) for identifier in self.get("/studies")]

    def study(self, uid: str | None = None) -> Study:
        """The study with this Study Instance UID; without it, the only one."""
        found = [study for study in self.studies() if uid in (None, study.uid)]
        if len(found) != 1:
            raise AssertionError(f"{len(found)} studies {uid or ''} in the archive")
        return found[0]

    def _study(self, identifier: str) -> Study:
        tags = self.get(f"/studies/{identifier}")["MainDicomTags"]
        series = [
            Series(
                identifier=one["ID"],
                uid=one["MainDicomTags"]["SeriesInstanceUID"],
                modality=one["MainDicomTags"].get("Modality", ""),
                description=one["MainDicomTags"].get("SeriesDescription", ""),
                instances=tuple(one["Instances"]),
            )
            for one in self.get(f"/studies/{identifier}/series")
        ]
        return Study(identifier=identifier, uid=tags["StudyInstanceUID"], series=tuple(series))

    def file(self, instance: str) -> bytes:
        """The Part 10 bytes of one instance as they were stored."""
        return self.call("GET", f"/instances/{instance}/file")

    def download(self, series: Series, folder: Path) -> list[Path]:
        """The files of a series, one `MODALITY-N.dcm` each; in the order of Orthanc's identifiers, which are stable."""
        folder.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, instance in enumerate(sorted(series.instances)):
            paths.append(folder / f"{series.modality}-{number}-{series.identifier[:8]}.dcm")
            paths[-1].write_bytes(self.file(instance))
        return paths

    def delete(self, *series: Series) -> None:
        """Delete series from the archive."""
        for one in series:
            self.call("DELETE", f"/series/{one.identifier}")

    def send(self, *identifiers: str, modality: str = "NODE") -> None:
        """C-STORE studies, series or instances to the node and wait for every answer; AssertionError if one was refused."""
        self.post(f"/modalities/{modality}/store", {"Resources": list(identifiers), "Synchronous": True, "Timeout": 120})

    def echo(self) -> None:
        """C-ECHO the node; AssertionError if it does not answer."""
        self.call("POST", "/modalities/NODE/echo", b"{}")

    def wait_for(self, holds: Callable[[list[Study]], object], timeout_s: float, what: str) -> list[Study]:
        """Wait until `holds` is true of the archive's studies; gives these."""
        seen: list[Study] = []

        def look() -> object:
            seen[:] = self.studies()
            return holds(seen)

        wait_until(look, timeout_s, what, every_s=0.25)
        return seen


def parts_of(source: Path) -> Iterable[bytes]:
    """The files of a file, a folder or a zip, in the order of their names."""
    if source.is_dir():
        for path in sorted(path for path in source.rglob("*") if path.is_file()):
            yield from parts_of(path)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            for name in sorted(archive.namelist()):
                if not name.endswith("/"):
                    yield archive.read(name)
    else:
        yield source.read_bytes()
