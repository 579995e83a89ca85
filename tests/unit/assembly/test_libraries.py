"""Libraries that are here in part are named, whatever is left of them, and whole ones and extras that nobody asked for are not."""

from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import Distribution, PackageNotFoundError
from pathlib import Path

import pytest

from node.assembly.libraries import half_installed
from node.cli.ending import unforeseen

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Write a distribution as pip does: its files, its metadata and the list of them; hilum's own stands before the real one."""

    def distribution(name: str, *requires: str, files: tuple[str, ...] = ()) -> Path:
        there = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        there.mkdir()
        (there / "METADATA").write_text(f"Name: {name}\nVersion: 1.2\n" + "".join(f"Requires-Dist: {one}\n" for one in requires))
        (there / "RECORD").write_text("".join(f"{file},,\n" for file in (f"{there.name}/METADATA", *files)))
        (there / "INSTALLER").write_text("pip\n")
        (there / "WHEEL").write_text("Wheel-Version: 1.0\n")
        for file in files:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
        return there

    monkeypatch.syspath_prepend(tmp_path)
    half_installed.cache_clear()
    yield distribution
    half_installed.cache_clear()


def sentences() -> list[str]:
    """What is said of each, and always what to do."""
    found = half_installed()
    assert all("--force-reinstall" in one.remedy and one.code == "HLM-2126" for one in found)
    return [str(one) for one in found]


FILES = ("lib_a/__init__.py", "lib_a/more.py", "lib_a/fast.so", "lib_a/tests/test_it.py", "lib_a/data.bin", "../../bin/lib-a")


@pytest.mark.parametrize(
    ("gone", "said"),
    [
        ((), []),
        (("lib_a/tests/test_it.py", "lib_a/data.bin", "../../bin/lib-a"), []),
        (("lib_a/more.py", "lib_a/fast.so"), ["lib-a 1.2 is installed in part: 2 of its 3 files are missing"]),
        (("lib_a-1.2.dist-info/RECORD",), ["lib-a 1.2 is installed in part: the list of its files is missing"]),
        (("lib_a-1.2.dist-info/RECORD", "lib_a-1.2.dist-info/INSTALLER"), []),
        (
            ("lib_a-1.2.dist-info/RECORD", "lib_a-1.2.dist-info/INSTALLER", "lib_a-1.2.dist-info/WHEEL"),
            ["lib-a 1.2 is installed in part: the list of its files is missing"],
        ),
        (("lib_a-1.2.dist-info/METADATA",), ["Lib.A is installed in part: its metadata are missing"]),
    ],
)
@pytest.mark.parametrize("leaves_out", [False, True])
def test_files_that_are_missing_are_counted(
    put: Put, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gone: tuple[str, ...], said: list[str], leaves_out: bool
) -> None:
    """Code alone: who makes an image small takes tests and data away. A library of a library is looked at as well. A list that the
    installer never wrote (Debian's) is not missed. The same where the interpreter leaves out what is not there, as from 3.12 on."""
    if leaves_out:
        listed_files = vars(Distribution)["files"].fget
        there = property(lambda found: [one for one in listed_files(found) or () if one.locate().exists()])
        monkeypatch.setattr(Distribution, "files", there)
    put("hilum", "lib_b>=1")
    put("lib-b", "Lib.A (>=1.0)")
    put("lib-a", files=tuple(file for file in FILES if not file.startswith("..")))
    with (tmp_path / "lib_a-1.2.dist-info/RECORD").open("a") as listed:
        listed.write("../../bin/lib-a,,\n")
    for file in gone:
        (tmp_path / file).unlink(missing_ok=True)
    assert sentences() == said


def test_what_pip_does_not_know_any_more_is_absent_or_half_there(put: Put, tmp_path: Path) -> None:
    """A library that is always needed; one whose old version pip had set aside when it was ended. Not an extra that was never installed,
    nor one that was installed again since, nor what hilum never asks for."""
    put("hilum", "lib_a", "lib_c; extra == 'more'", "lib_d; extra == 'more'", "lib_e; extra == 'more'")
    put("lib_d").rename(tmp_path / "~ib_d-1.2.dist-info")
    put("lib_e").rename(tmp_path / "~ib_e-1.1.dist-info")
    put("lib_e")
    put("unrelated").rename(tmp_path / "~nrelated-1.2.dist-info")
    assert sentences() == ["lib_a is not installed, or in part", "lib_d is not installed, or in part"]


def test_hilum_itself_is_looked_at(put: Put, tmp_path: Path) -> None:
    """As a pip leaves it that was ended while it wrote hilum."""
    put("hilum", files=("node/__init__.py", "node/listener.py"))
    (tmp_path / "node/listener.py").unlink()
    assert sentences() == ["hilum 1.2 is installed in part: 1 of its 2 files are missing"]


@pytest.mark.parametrize("cut", [b"", b"Name: hilum\nVersion: 1.2\nRequires-Dist: ", b"Name: hilum\nVersion: 1.2\nAuthor: \xc3"])
def test_metadata_that_are_cut_off_raise_nothing(put: Put, cut: bytes) -> None:
    """What asks is a supervisor, which has to go on."""
    (put("hilum", "lib_a") / "METADATA").write_bytes(cut)
    sentences()


def test_a_supervisor_that_asks_while_hilum_is_replaced_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """pip has taken the old one away: that is said, and nothing is raised, nor within the handler of what was met meanwhile."""
    monkeypatch.setattr("sys.path", [])
    half_installed.cache_clear()
    try:
        assert sentences() == ["hilum is not installed, or in part"]
        assert unforeseen(PackageNotFoundError("hilum"), ("jobs", "list")).code == "HLM-2126"
        assert unforeseen(ValueError("odd"), ("jobs", "list")).code == "HLM-2120"
    finally:
        half_installed.cache_clear()


def met(name: str) -> str:
    """What a verb says of a module that could not be imported."""
    return str(unforeseen(ModuleNotFoundError(f"No module named {name!r}", name=name), ("models", "import")))


def test_a_verb_names_the_half_that_it_stumbled_over_and_no_other(put: Put, tmp_path: Path) -> None:
    """An extra that is not installed is asked for, also where something else is here in part; a library that bears another name than its
    modules is known by its files, also after pip had set it aside."""
    put("hilum", "lib_a", "pic; extra == 'more'")
    put("lib_a", files=("lib_a/__init__.py", "lib_a/more.py"))
    (tmp_path / "lib_a/more.py").unlink()
    put("pic", files=("PICTURE/__init__.py",)).rename(tmp_path / "~ic-1.2.dist-info")
    assert met("lib_a.more") == "lib_a 1.2 is installed in part: 1 of its 2 files are missing"
    assert met("PICTURE") == "pic is not installed, or in part"
    assert "hilum's extra `torch`" in met("torch")
    assert "stumbled over" in met("oops")


def test_a_library_without_a_trace_is_the_likeliest_to_be_missed(put: Put) -> None:
    """Nothing is left that says how its modules are called; an extra's are known."""
    put("hilum", "lib_a")
    assert met("PICTURE") == "lib_a is not installed, or in part"
    assert "hilum's extra `torch`" in met("torch")


def test_an_import_that_fails_within_a_half_is_its_own(put: Put, tmp_path: Path) -> None:
    """Of a compiled file that is missing numpy, as others, says words of its own, and no module's name."""
    put("hilum", "lib_a")
    put("lib_a", files=("lib_a/__init__.py", "lib_a/fast.so"))
    (tmp_path / "lib_a/fast.so").unlink()
    (tmp_path / "lib_a/__init__.py").write_text("raise ImportError('Error importing lib_a: see our pages')")
    with pytest.raises(ImportError) as failed:
        import_module("lib_a")
    assert str(unforeseen(failed.value, ("send",))) == "lib_a 1.2 is installed in part: 1 of its 2 files are missing"
