"""Images of the made modules (tests/lab/modules), imported into a podman whose storage is a folder of the test's own.

No image registry is asked: a root is packed of the interpreter that runs the tests, the libraries that it is linked with, and pydicom.
"""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pydicom
import pytest

from tests.lab.cache import alone_in
from tests.lab.needs import program

_MODULES = Path(__file__).parent / "modules"
_PYTHON = Path(sys.executable).resolve()
_LEFT_OUT = ("test", "tests", "site-packages", "dist-packages", "__pycache__", "idlelib", "tkinter", "ensurepip", "config-*", "*.a")
_PLACE = "/srv/module"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleImages:
    """A podman of one folder; `environment` is what a hilum that uses it finds besides its own."""

    folder: Path
    environment: dict[str, str]

    def podman(self, *words: object, given: bytes = b"") -> str:
        """Run podman to its end, and give what it said."""
        command = [str(program("podman", "podman")), *map(str, words)]
        said = subprocess.run(command, input=given, capture_output=True, check=False, timeout=300, env={**os.environ, **self.environment})
        assert said.returncode == 0, said.stderr.decode()
        return said.stdout.decode()

    def mercure(self) -> str:
        """The module of mercure, by its digest: an entry point that hands its folders over, as mercure's own template has it."""
        script = f'exec {_PYTHON} -m module.mercure_bone "$MERCURE_IN_DIR" "$MERCURE_OUT_DIR"'
        return self._image("mercure-bone", ["/bin/sh", "-c", script], {})

    def of_nifti(self) -> str:
        """The program that knows NIfTI alone, by its digest."""
        return self._image("nifti-bone", [str(_PYTHON), "-m", "module.nifti_bone"], {})

    def of_roles(self) -> str:
        """The module of mercure that is given two series, by its digest."""
        return self._image("mercure-both", [str(_PYTHON), "-m", "module.both_bright"], {})

    def of_nifti_roles(self) -> str:
        """The program of NIfTI that is given two volumes, by its digest."""
        return self._image("nifti-both", [str(_PYTHON), "-m", "module.nifti_both"], {})

    def package_of_roles(self) -> str:
        """The MONAI Application Package that is given two series, by its digest."""
        return self.packaged(module="both_bright")

    def packaged(self, memory: str = "128Mi", module: str = "map_bone") -> str:
        """The MONAI Application Package, by its digest: no entry point, its command stands in app.json."""
        app = {
            "apiVersion": "1.0.0",
            "command": json.dumps([str(_PYTHON), "-m", f"module.{module}"]),
            "environment": {"HOLOSCAN_APPLICATION": "/opt/holoscan/app"},
            "input": {"path": "input/", "formats": []},
            "output": {"path": "output/", "formats": []},
            "version": "1.0.0",
            "workingDirectory": "/var/holoscan",
        }
        package = {"apiVersion": "1.0.0", "applicationRoot": "/opt/holoscan/app", "resources": {"cpu": 1, "gpu": 0, "memory": memory}}
        files = {"etc/monai/app.json": json.dumps(app), "etc/monai/pkg.json": json.dumps(package)}
        return self._image(f"{module.replace('_', '-')}-{memory.lower()}", [], files)

    def _image(self, name: str, entry: Sequence[str], files: dict[str, str]) -> str:
        with tempfile.TemporaryDirectory() as place:
            added, root = Path(place), _root()
            (added / "etc").mkdir()
            for path, text in files.items():
                (added / path).parent.mkdir(parents=True, exist_ok=True)
                (added / path).write_text(text)
            shutil.copytree(_MODULES, added / _PLACE.lstrip("/"), ignore=shutil.ignore_patterns("__pycache__"))
            whole = subprocess.run(
                ["tar", "-c", "-C", str(root), *sorted(os.listdir(root)), "-C", place, *sorted(os.listdir(place))],
                capture_output=True,
                check=True,
                timeout=300,
            )
        changes = [
            "--change=ENV PYTHONDONTWRITEBYTECODE=1",
            f"--change=ENV PYTHONPATH=/opt/packages:{Path(_PLACE).parent}",
            "--change=WORKDIR /",
        ]
        if entry:
            changes.append(f"--change=ENTRYPOINT {json.dumps(list(entry))}")
        self.podman("import", *changes, "-", f"localhost/{name}", given=whole.stdout)
        digest = self.podman("image", "inspect", "--format", "{{.Digest}}", f"localhost/{name}").strip()
        return f"localhost/{name}@{digest}"


def _root() -> Path:
    """The root file system of both; made once for each interpreter."""
    with alone_in("module-root") as folder:
        made = folder / f"root-{sys.version_info[0]}.{sys.version_info[1]}.{sys.version_info[2]}-{pydicom.__version__}"
        if not made.exists():
            part = Path(tempfile.mkdtemp(dir=folder))
            library = Path(sysconfig.get_path("stdlib"))
            shell = Path("/bin/sh").resolve()
            shutil.copytree(library, part / library.relative_to("/"), ignore=shutil.ignore_patterns(*_LEFT_OUT))
            binaries = [_PYTHON, shell, *(library / "lib-dynload").glob("*.so")]
            for file in {_PYTHON, shell, *(linked for binary in binaries for linked in _linked(binary))}:
                target = part / file.relative_to("/")
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, target)
            (part / "bin").mkdir(exist_ok=True)
            shutil.copy2(shell, part / "bin" / "sh")
            for source in Path(pydicom.__file__).parents[1].glob("pydicom*"):
                shutil.copytree(source, part / "opt/packages" / source.name, ignore=shutil.ignore_patterns("__pycache__", "test_files"))
            for empty in ("tmp", "proc", "dev", "sys", "var"):
                (part / empty).mkdir(exist_ok=True)
            (part / "tmp").chmod(0o1777)
            part.chmod(0o755)
            part.rename(made)
        return made


def _linked(binary: Path) -> list[Path]:
    said = subprocess.run(["ldd", str(binary)], capture_output=True, text=True, check=False, timeout=60)
    return [Path(word) for word in said.stdout.split() if word.startswith("/")]


@contextmanager
def module_images() -> Iterator[ModuleImages]:
    """A podman for a while; its storage goes at the end."""
    if os.geteuid() != 0:
        pytest.skip("podman without root needs ranges of user numbers, which this host may not have")
    folder = Path(tempfile.mkdtemp(prefix="hilum-modules-"))
    runtime = program("runc", "runc")
    # a `system reset` takes away the folder of what podman keeps while a machine is up, also from under another podman that shares it
    (folder / "containers.conf").write_text(
        f'[engine]\nruntime = "{runtime.name}"\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\ntmp_dir = "{folder}/tmp"\n',
        encoding="utf-8",
    )
    (folder / "storage.conf").write_text(
        f'[storage]\ndriver = "overlay"\ngraphroot = "{folder}/storage"\nrunroot = "{folder}/run"\n', encoding="utf-8"
    )
    environment = {"CONTAINERS_CONF": str(folder / "containers.conf"), "CONTAINERS_STORAGE_CONF": str(folder / "storage.conf")}
    images = ModuleImages(folder=folder, environment=environment)
    try:
        yield images
    finally:
        images.podman("rm", "--all", "--force")
        images.podman("system", "reset", "--force")
        shutil.rmtree(folder, ignore_errors=True)
