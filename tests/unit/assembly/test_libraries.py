"""Libraries that are here in part are named, whatever is left of them, and whole ones and extras that nobody asked for are not."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.assembly.libraries import half_installed

Put = Callable[..., Path]


@pytest.fixture
def put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Put]:
    """Write a distribution as pip does: its files, its metadata and the list of them; hilum's own stands before the real one."""

    def distribution(name: str, *requires: str, files: tuple[str, ...] = ()) -> Path:
        there = tmp_path / f"{name.replace('-', '_')}-1.2.dist-info"
        there.mkdir()
        (there / "METADATA").write_text(f"Name: {name}\nVersion: 1.2\n" + "".join(f"Requires-Dist: {one}\n" for one in requires))
        (there / "RECORD").write_text("".join(f"{file},,\n" for file in (f"{there.name}/METADATA", *files)))
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
    ],
)
def test_files_that_are_missing_are_counted(put: Put, tmp_path: Path, gone: tuple[str, ...], said: list[str]) -> None:
    """Code alone: who makes an image small takes tests and data away. A library of a library is looked at as well."""
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
    nor one that was installed again since."""
    put("hilum", "lib_a", "lib_c; extra == 'more'", "lib_d; extra == 'more'", "lib_e; extra == 'more'")
    put("lib_d").rename(tmp_path / "~ib_d-1.2.dist-info")
    put("lib_e").rename(tmp_path / "~ib_e-1.1.dist-info")
    put("lib_e")
    assert sentences() == ["lib_a is not installed, or in part", "lib_d is not installed, or in part"]
