"""The .deb: built and judged by Debian's tools, installed into a Debian, run as its unit says, upgraded, removed and purged."""

import json
import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydicom import dcmread
from ruamel.yaml import YAML

from node.journal.schema import HEAD
from tests.lab.debian import System, next_package, package, system, without_compiled
from tests.lab.empty_debian import empty_debian
from tests.lab.howto import HowTo
from tests.lab.installed import ROOT, crop
from tests.lab.loopback import free_port, loopback_only
from tests.lab.needs import program
from tests.lab.next_hilum import NEXT
from tests.lab.orthanc import Orthanc
from tests.lab.program import Program, wait_until
from tests.lab.took import timed

pytestmark = [pytest.mark.slow, pytest.mark.peers, pytest.mark.registry, pytest.mark.timeout(1200)]

PAGE = HowTo("debian-package.md")
UNIT = "/lib/systemd/system/hilum.service"
STATE = "var/lib/hilum"
_AS_THE_NODE = ("runuser", "-u", "hilum", "--", "hilum")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package."""
    return package(tmp_path_factory.mktemp("deb"))


@pytest.fixture(scope="module")
def installed(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A Debian into which it was installed, and nothing more done; others begin with it."""
    with system(tmp_path_factory.mktemp("installed") / "debian") as debian:
        (debian.exchange / built.name).hardlink_to(built)
        debian.dpkg("-i", f"/mnt/{built.name}")
        yield debian


@pytest.fixture
def debian(built: Path, installed: System, tmp_path: Path) -> Iterator[System]:
    """A Debian of the test's own with the package in it."""
    with system(tmp_path / "debian", installed) as own:
        (own.exchange / built.name).hardlink_to(built)
        yield own


def test_its_version_is_that_of_the_project() -> None:
    """In the changelog, from which Debian's tools take it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    head = (ROOT / "docker" / "debian" / "changelog").read_text().splitlines()[0]
    assert head.startswith(f"hilum ({project}) ")


def _checks_without_errors() -> list[str]:
    """The checks of lintian none of whose tags is an error, or whose errors the overrides name: the spelling of whatever binaries say, and
    what libraries they hold, which take longer than all others, are among them."""
    overridden = set(re.findall(r"^hilum: (\S+)$", (ROOT / "docker" / "debian" / "hilum.lintian-overrides").read_text(), re.MULTILINE))
    severities: dict[str, set[str]] = defaultdict(set)
    for tag in Path("/usr/share/lintian/tags").rglob("*.tag"):
        told = dict(re.findall("^(Tag|Check|Severity): *(.*)$", tag.read_text(encoding="utf-8"), re.MULTILINE))
        severities[told["Check"]].add("overridden" if told["Tag"] in overridden else told["Severity"])
    return sorted(check for check, found in severities.items() if "error" not in found)


def test_lintian_finds_no_error(built: Path) -> None:
    """But what lies in the nature of such a package, which its overrides name with the reason. It is judged without what was compiled of
    its Python files: twelve thousand files are 7,000 then."""
    left_out = ",".join(_checks_without_errors())
    judged = subprocess.run(
        [
            program("lintian", "lintian"),
            "--allow-root",
            "--fail-on",
            "error",
            "--tag-display-limit",
            "5",
            "--dont-check-part",
            left_out,
            # the tests' own is not packed (tests/lab/debian.py)
            "--suppress-tags",
            "uses-no-compression-for-control-tarball,uses-no-compression-for-data-tarball",
            without_compiled(built),
        ],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert judged.returncode == 0, judged.stdout + judged.stderr


def test_what_it_links_to_is_depended_on(installed: System) -> None:
    """Every shared library that lies outside /opt/hilum is of a package in Depends."""
    # a library's file as its package has it: Debian's /lib is a link to /usr/lib, of which dpkg knows nothing
    asked = r"""
        find /opt/hilum -name '*.so*' -type f -exec ldd {} + 2>/dev/null |
        sed -n 's/.*=> \(\/[^ ]*\).*/\1/p' | grep -v ^/opt/hilum/ | sort -u |
        while read -r library; do real=$(readlink -f "$library"); dpkg -S "$real" 2>/dev/null || dpkg -S "${real#/usr}"; done
    """
    owners = {line.partition(":")[0] for line in installed.done("sh", "-c", asked).splitlines()}
    assert "libstdc++6" in owners
    depends = installed.done("dpkg-query", "-W", "-f", "${Depends}", "hilum")
    assert owners <= {re.split("[ (:]", one.strip())[0] for one in re.split("[,|]", depends)}, depends


_IMPORTED = """
import ast, importlib, sys
from pathlib import Path
(site,) = Path("/opt/hilum/lib").glob("python*/site-packages")
imported, absent = set(), set()
for file in [*site.glob("node/**/*.py"), *site.glob("inference/**/*.py")]:
    for statement in ast.walk(ast.parse(file.read_bytes())):
        named = [one.name for one in statement.names] if isinstance(statement, ast.Import) else []
        named += [statement.module] if isinstance(statement, ast.ImportFrom) and not statement.level else []
        imported |= {name for name in named if name.partition(".")[0] not in ("node", "inference")}
for name in sorted(imported):
    try:
        importlib.import_module(name)
    except ImportError as failed:
        missing = failed if isinstance(failed, ModuleNotFoundError) else failed.__context__
        if missing is None:
            sys.exit(f"{name}: {failed}")
        absent.add(missing.name)
print(*absent)
"""


def test_what_was_taken_out_is_missed_by_nothing(installed: System) -> None:
    """What node and inference import, at their heads or where it is needed, is there, but for libraries of extras that the package has
    not; OpenVINO finds the processor and reads what models here are."""
    absent = set(installed.done("/opt/hilum/bin/python", "-c", _IMPORTED).split())
    of_other_extras = {"SimpleITK", "monai", "nibabel", "onnx", "onnxruntime", "onnxscript", "torch"}
    of_other_extras |= {"opentelemetry.exporter", "opentelemetry.sdk", "requests"}
    assert absent <= of_other_extras | {"triton_python_backend_utils"}, absent  # the last is Triton's own
    assert "torch" in absent
    asked = "from openvino import Core, frontend; print(*Core().available_devices, *frontend.FrontEndManager().get_available_front_ends())"
    assert set(installed.done("/opt/hilum/bin/python", "-c", asked).split()) == {"CPU", "ir", "onnx", "pytorch"}
    kilobytes = int(installed.done("dpkg-query", "-W", "-f", "${Installed-Size}", "hilum"))
    assert kilobytes * 1024 < 700e6


def test_a_user_a_unit_and_a_configuration_are_there(installed: System) -> None:
    """The user has no shell and owns the state alone; the configuration is for it to read; systemd accepts the unit; nothing is enabled."""
    assert re.fullmatch(r"hilum:x:\d+:\d+:[^:]*:/var/lib/hilum:/usr/sbin/nologin\n", installed.done("getent", "passwd", "hilum"))
    modes = installed.done(
        "stat", "-c", "%n %U:%G %a", "/var/lib/hilum", "/var/lib/hilum/models", "/var/log/hilum", "/etc/hilum", "/etc/hilum/hilum.yaml"
    )
    assert modes.splitlines() == [
        "/var/lib/hilum hilum:hilum 750",
        "/var/lib/hilum/models hilum:hilum 750",
        "/var/log/hilum hilum:hilum 750",
        "/etc/hilum root:hilum 750",
        "/etc/hilum/hilum.yaml root:hilum 640",
    ]
    verified = installed.run("systemd-analyze", "verify", UNIT)
    assert (verified.returncode, verified.stdout + verified.stderr) == (0, "")
    assert not list((installed.upper / "etc/systemd/system").glob("*.wants/hilum.service"))
    assert "/etc/hilum/hilum.yaml" in installed.done("dpkg-query", "-W", "-f", "${Conffiles}", "hilum")
    assert installed.done(*_AS_THE_NODE, "config", "check").count("hilum.yaml")
    assert installed.done(*_AS_THE_NODE, "routes", "test")
    assert "Unpack" not in installed.done("man", "--where", "hilum")
    assert installed.done("bash", "-c", ". /usr/share/bash-completion/completions/hilum && complete -p hilum")


def _configure(debian: System, port: int) -> None:
    """What an operator does after installing it: a peer, a route, a sink, a model."""
    settings = {
        "node": {"ae_title": "HILUM", "listen": f"127.0.0.1:{port}"},
        "peers": {"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0", "settle": {"scope": "series", "quiet": "1s"}}},
        "store": {"journal": f"sqlite:/{STATE}/hilum.db", "blobs": f"file:/{STATE}/blobs", "min_free": "1MB", "high_water": 1},
        "models": {"repository": f"/{STATE}/models"},
        "sinks": {"results": {"kind": "folder", "path": f"/{STATE}/results"}},
        "routes": [{"name": "crops", "when": {"Modality": "MR"}, "run": ["hippocampus"], "send": ["results"]}],
    }
    (debian.exchange / "hilum.yaml").write_text(json.dumps(settings))
    debian.done("sh", "-c", "cat /mnt/hilum.yaml > /etc/hilum/hilum.yaml")
    debian.done(*_AS_THE_NODE, "models", "import", "hippocampus", "--no-tune")


def _as_the_unit_says(debian: System) -> None:
    """A node that serves: doctor finds all well, it has no capability, and it cannot write where it lies."""
    looked = json.loads(debian.done(*_AS_THE_NODE, "doctor", "--json"))
    assert [one for one in looked["findings"] if one["level"] == "bad"] == []
    # the supervisor, not what entered the Debian: those two wait for it
    (supervisor,) = debian.done("pgrep", "--oldest", "--uid", "hilum", "--full", "hilum serve").split()
    status = Path(f"/proc/{supervisor}/status").read_text()
    assert "CapEff:\t0000000000000000" in status
    assert "NoNewPrivs:\t1" in status
    assert debian.run("nsenter", "--target", supervisor, "--mount", "--", "sh", "-c", ": > /opt/hilum/written").returncode != 0


def _with_a_study(debian: System) -> None:
    """As if a node had received something."""
    debian.done("runuser", "-u", "hilum", "--", "sh", "-c", "mkdir -p /var/lib/hilum/blobs && echo pixels > /var/lib/hilum/blobs/study")
    debian.done("sh", "-c", "echo '# mine' >> /etc/hilum/hilum.yaml; mkdir /etc/hilum/tls; echo secret > /etc/hilum/tls/node.key")


def _there(debian: System, *places: str) -> list[bool]:
    return [debian.run("test", "-e", place).returncode == 0 for place in places]


def test_what_is_the_operators_stays_until_it_is_purged(built: Path, debian: System) -> None:
    """Through an upgrade the configuration stays as it was edited; through a removal studies and models stay; a purge leaves
    them too where nobody can be asked, and says where."""
    _with_a_study(debian)
    debian.dpkg("-i", f"/mnt/{built.name}")
    assert debian.done("tail", "-1", "/etc/hilum/hilum.yaml") == "# mine\n"
    assert debian.done("stat", "-c", "%U:%G %a", "/etc/hilum/hilum.yaml") == "root:hilum 640\n"
    debian.dpkg("--remove", "hilum")
    assert _there(debian, "/opt/hilum", "/usr/bin/hilum", "/var/lib/hilum/blobs/study", "/etc/hilum/hilum.yaml") == [
        False,
        False,
        True,
        True,
    ]
    said = debian.dpkg("--purge", "hilum")
    assert _there(debian, "/var/lib/hilum/blobs/study", "/etc/hilum/hilum.yaml", "/etc/logrotate.d/hilum") == [True, False, False]
    assert "left in /var/lib/hilum" in said


def test_a_purge_deletes_the_studies_for_those_who_say_so(debian: System) -> None:
    """By debconf, which asks who has a screen, and is told beforehand where nobody has; keys stay with whoever made them."""
    _with_a_study(debian)
    debian.done("sh", "-c", "echo hilum hilum/purge boolean true | debconf-set-selections")
    debian.dpkg("--purge", "hilum")
    assert _there(debian, "/var/lib/hilum", "/var/log/hilum", "/opt/hilum") == [False] * 3
    assert _there(debian, "/etc/hilum/tls/node.key") == [True]


def test_a_log_of_its_own_is_rotated(debian: System) -> None:
    """By the logrotate of Debian, into a file that the node's user owns; the one that systemd holds open is emptied."""
    program("logrotate", "logrotate")
    debian.done("runuser", "-u", "hilum", "--", "sh", "-c", "echo '{}' > /var/log/hilum/events.jsonl")
    debian.done("logrotate", "--force", "/etc/logrotate.d/hilum")
    listed = debian.done("stat", "-c", "%n %U %s", "/var/log/hilum/events.jsonl", "/var/log/hilum/events.jsonl.1")
    assert listed == "/var/log/hilum/events.jsonl hilum 0\n/var/log/hilum/events.jsonl.1 hilum 3\n"


def test_the_page_leads_from_an_empty_debian_to_results_in_orthanc(built: Path, tmp_path: Path) -> None:
    """Its commands as they are written, by apt into a Debian of essential packages and what the package depends on; what `systemctl` would
    start is run as the unit says; the study is sent from there."""
    depends = subprocess.run(["dpkg-deb", "--field", built, "Depends"], capture_output=True, text=True, check=True).stdout
    needed = [re.split("[ (|]", one.strip())[0] for one in depends.split(",")]
    install, edit, *prepare = PAGE.commands("Install, upgrade and remove the Debian package")
    assert PAGE.typed(edit).split()[0] == "editor"
    port = free_port()
    with system(tmp_path / "debian", empty_debian(tmp_path / "root", *needed)) as debian, loopback_only():
        (debian.exchange / built.name).hardlink_to(built)
        with timed() as took:
            debian.done("env", "--chdir=/mnt", "DEBIAN_FRONTEND=noninteractive", *PAGE.typed(install).split())
        kilobytes = int(debian.done("dpkg-query", "-W", "-f", "${Installed-Size}", "hilum"))
        print(f"\n{install}: {took}, {kilobytes * 1024 / 1e6:.0f} MB")
        with Orthanc(tmp_path / "pacs", node_port=port) as pacs, timed() as took:
            _edit(debian, pacs, port)
            for command in prepare:
                debian.done(*PAGE.typed(command).split())
            PAGE.followed("Install, upgrade and remove the Debian package")
            checked = subprocess.run(debian.started(UNIT, "ExecStartPre"), capture_output=True, text=True, check=False, timeout=300)
            assert checked.returncode == 0, checked.stdout + checked.stderr
            node = Program(debian.started(UNIT, "ExecStart"), tmp_path / "events", stdout=tmp_path / "out")
            try:
                wait_until(lambda: "node.ready" in (tmp_path / "out").read_text() or not node.running, 240, "node.ready")
                assert node.running, node.said()
                crop(debian.exchange / "study")
                debian.done("hilum", "send", "/mnt/study", "--to", f"HILUM@127.0.0.1:{port}")
                pacs.wait_for(
                    lambda studies: {"SEG", "SR", "OT"} <= {series.modality for one in studies for series in one.series}, 240, "results"
                )
            finally:
                code = node.stop(180)
        print(f"from the editor to results in Orthanc: {took}")
        assert code == 0, node.said()


def _further(root: Path) -> None:
    """Make an unpacked package the next one: its journal goes one revision further, and the configuration as it comes has a line more."""
    (journal,) = (root / "opt/hilum/lib").glob("python*/site-packages/node/journal")
    schema = journal / "schema.py"
    schema.write_text(schema.read_text().replace(f'HEAD = "{HEAD}"', f'HEAD = "{NEXT}"'))
    revision = f'revision, down_revision = "{NEXT}", "{HEAD}"\n\n\ndef upgrade():\n    pass\n'
    (journal / "migrations" / "versions" / f"{NEXT}_next.py").write_text(revision)
    for compiled in (journal / "__pycache__").glob("schema.*.pyc"):
        compiled.unlink()  # nobody compares it with its source
    with (root / "etc/hilum/hilum.yaml").open("a") as configuration:
        configuration.write("# of the next version\n")


def _run_once(debian: System, port: int, place: Path, study: str, jobs: int, looks: Callable[[System], None] | None = None) -> None:
    """Begin the node as its unit says, send it a study, wait for its results and for the state of so many jobs, look, and end it."""
    place.mkdir()
    node = Program(debian.started(UNIT, "ExecStart"), place / "events", stdout=place / "out")
    try:
        wait_until(lambda: "node.ready" in (place / "out").read_text() or not node.running, 240, "node.ready")
        assert node.running, node.said()
        crop(debian.exchange / study)
        debian.done("hilum", "send", f"/mnt/{study}", "--to", f"HILUM@127.0.0.1:{port}", "--calling", "SCANNER")
        # its log is read, and then it is asked: a question takes as long as an interpreter to start
        wait_until(lambda: "delivery.delivered" in (place / "events").read_text(), 240, "the results are delivered")
        wait_until(lambda: _states(debian) == ["done"] * jobs, 240, "the jobs are done", every_s=2)
        if looks is not None:
            looks(debian)
    finally:
        code = node.stop(180)
    assert code == 0, node.said()


def _states(debian: System) -> list[str]:
    return [job["state"] for job in json.loads(debian.done(*_AS_THE_NODE, "jobs", "list", "--json"))]


def test_the_page_upgrades_and_removes_a_node_with_its_history(built: Path, debian: System, tmp_path: Path) -> None:
    """As its user, on a root that cannot be written, a study goes through: mask, report and page come out, and are the user's. Then its two
    chapters as they are written, at a terminal that answers as the page says, to a made next version with a schema of its own: what was
    analysed before is listed after, and the next one analyses; the edited configuration stays, the new one lies beside it. What
    `apt remove` leaves, a package that is installed again goes on with; what `apt purge` leaves is what the page says."""
    backup, install, doctor = PAGE.commands("Upgrade")
    remove, purge, answer = PAGE.commands("Remove")
    (version,) = re.findall(r"hilum_([\d.]+)_amd64.deb", install)
    next_package(built, tmp_path, version, _further).rename(debian.exchange / f"hilum_{version}_amd64.deb")
    port = free_port()

    def typed(command: str, question: str, answer: str) -> str:
        """What it printed at a terminal, whose user has this answer."""
        return debian.at_terminal("env", "--chdir=/mnt", *command.split(), question=question, answer=answer)

    with loopback_only():
        _configure(debian, port)
        debian.done("sh", "-c", "mkdir /etc/hilum/tls; echo secret > /etc/hilum/tls/node.key")
        edited = debian.done("cat", "/etc/hilum/hilum.yaml")
        _run_once(debian, port, tmp_path / "before", "one", 1, _as_the_unit_says)
        assert {dcmread(path).Modality for path in (debian.upper / STATE / "results").rglob("*.dcm")} == {"SEG", "SR", "OT"}
        uid = int(debian.done("id", "-u", "hilum"))
        assert {path.stat().st_uid for path in (debian.upper / STATE).rglob("*")} == {uid}
        debian.done("install", "-d", "-o", "hilum", "/mnt/backup")
        debian.done(*PAGE.typed(backup).split())
        typed(PAGE.typed(install), r"hilum\.yaml .*default=N", "N")
        assert debian.done("hilum", "--version").strip() == version
        assert debian.done("cat", "/etc/hilum/hilum.yaml") == edited
        assert debian.done("tail", "-1", "/etc/hilum/hilum.yaml.dpkg-dist") == "# of the next version\n"
        _run_once(debian, port, tmp_path / "after", "two", 2)
        debian.done(*PAGE.typed(doctor).split())
        PAGE.followed("Upgrade")
        assert _states(debian) == ["done", "done"]
        python = "import sqlite3; print(*sqlite3.connect('/var/lib/hilum/hilum.db').execute('select * from alembic_version').fetchone())"
        assert debian.done("runuser", "-u", "hilum", "--", "/opt/hilum/bin/python", "-c", python).strip() == NEXT
        typed(PAGE.typed(remove), r"continue\? \[Y/n\]", "y")
        kept = ("/var/lib/hilum/hilum.db", "/var/lib/hilum/models", "/etc/hilum/hilum.yaml", "/etc/hilum/tls/node.key")
        gone = ("/opt/hilum", "/usr/bin/hilum", UNIT)
        assert _there(debian, *kept, *gone) == [True] * len(kept) + [False] * len(gone)
        debian.done("env", "--chdir=/mnt", "DEBIAN_FRONTEND=noninteractive", *install.split())
        assert _states(debian) == ["done", "done"]
        debian.done("sh", "-c", PAGE.typed(answer))
        typed(PAGE.typed(purge), r"continue\? \[Y/n\]", "y")
        PAGE.followed("Remove")
        assert _there(debian, *kept[:3], *gone, "/var/log/hilum", "/etc/logrotate.d/hilum") == [False] * (5 + len(gone))
        assert _there(debian, kept[3], "/mnt/backup/hilum") == [True, True]


def _edit(debian: System, pacs: Orthanc, port: int) -> None:
    """What the editor is for: the configuration as it came, with this node's port, the PACS, and a route to what needs no torch."""
    yaml = YAML(typ="safe")
    settings = yaml.load(debian.done("cat", "/etc/hilum/hilum.yaml"))
    settings["node"]["listen"] = f"127.0.0.1:{port}"
    settings["peers"]["send"]["settle"] = {"scope": "study", "quiet": "1s"}
    settings["peers"]["pacs"] = {"ae_title": pacs.aet, "address": f"127.0.0.1:{pacs.dicom_port}", "may": ["store", "echo", "find"]}
    settings["sinks"] = {"archive": {"kind": "dimse", "peer": "pacs"}}
    settings["store"]["min_free"] = "64MiB"
    settings["routes"] = [{"name": "crops", "when": {"Modality": "MR"}, "run": ["hippocampus"], "send": ["archive"]}]
    with (debian.exchange / "hilum.yaml").open("w", encoding="utf-8") as written:
        yaml.dump(settings, written)
    debian.done("sh", "-c", "cat /mnt/hilum.yaml > /etc/hilum/hilum.yaml")
