"""app.json and pkg.json of images, whatever stands there: a package that an engine can be given, or a sentence."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference.applications.container.errors import UnfitContainer
from inference.applications.container.package import Packaged, package_of

APP: dict[str, Any] = {
    "command": '["python3", "-m", "app"]',
    "environment": {"HOLOSCAN_APPLICATION": "/opt/holoscan/app"},
    "input": {"path": "input/"},
    "output": {"path": "output/"},
    "workingDirectory": "/var/holoscan",
}
PACKAGE: dict[str, Any] = {"resources": {"cpu": 1, "gpu": 0, "memory": "8Gi"}}
PLACES = ("/etc/monai/app.json", "/etc/monai/pkg.json")


def read(app: object, package: object) -> Packaged:
    """What an image says that has these two files, and no entry point."""
    return package_of(json.dumps(app).encode(), json.dumps(package).encode(), image="localhost/map", places=PLACES, has_entry=False)


def test_what_a_good_package_says() -> None:
    """Folders below its working directory, its words, its variables with those of both runners, and what it asks for."""
    said = read(APP, PACKAGE)
    assert (said.given_at, said.made_at) == ("/var/holoscan/input", "/var/holoscan/output")
    assert said.command == ("python3", "-m", "app")
    assert (said.memory, said.gpu) == (8 << 30, False)
    assert said.variables["HOLOSCAN_APPLICATION"] == "/opt/holoscan/app"
    assert said.variables["MONAI_OUTPUTPATH"] == said.variables["HOLOSCAN_OUTPUT_PATH"] == "/var/holoscan/output"


_ODD: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"command": None}, {}, "app.json of localhost/map has nothing as its command: words of a program"),
    ({"command": []}, {}, "as its command"),
    ({"command": "[1, 2]"}, {}, "as its command"),
    ({"command": "["}, {}, "app.json of localhost/map is no JSON"),
    ({"command": ["a", "\ud800"]}, {}, "as its command"),
    ({"command": ["a\0b"]}, {}, "as its command"),
    ({"command": 40_000 * "x"}, {}, "it has more than 32 KiB"),
    ({"input": None}, {}, "has nothing as its input, path"),
    ({"input": {"path": 5}}, {}, "as its input, path: the path of a folder"),
    ({"input": {"path": "/etc/ssl"}}, {}, "not one of the system's"),
    ({"input": {"path": "//input"}}, {}, "not one of the system's"),
    ({"input": {"path": "/in:rw"}}, {}, "not one of the system's"),
    ({"input": {"path": "/a/../etc"}}, {}, "not one of the system's"),
    ({"input": {"path": "/in\nput"}}, {}, "not one of the system's"),
    ({"output": {"path": "input/made"}}, {}, "one folder within the other: /var/holoscan/input for images"),
    ({"output": {"path": "input"}}, {}, "one folder within the other"),
    ({"workingDirectory": 5}, {}, "«5» as its input, path"),
    ({"workingDirectory": "here"}, {}, "not one of the system's"),
    ({"environment": []}, {}, "as its environment"),
    ({"environment": {"A": None}}, {}, "as its environment"),
    ({"environment": {"A=B": "c"}}, {}, "as its environment: no variable"),
    ({"environment": {"": "c"}}, {}, "as its environment: no variable"),
    ({"environment": {"A": "a\0"}}, {}, "as its environment: no variable"),
    ({}, {"memory": "1e400"}, "pkg.json of localhost/map has «1e400» as its resources, memory: an amount such as 8Gi"),
    ({}, {"memory": "nan"}, "as its resources, memory"),
    ({}, {"memory": -1}, "as its resources, memory"),
    ({}, {"memory": True}, "as its resources, memory"),
    ({}, {"memory": "8GB"}, "as its resources, memory"),
    ({}, {"memory": []}, "as its resources, memory"),
    ({}, {"gpu": "one"}, "«one» as its resources, gpu: a number"),
    ({}, {"gpu": float("nan")}, "as its resources, gpu"),
    ({}, {"gpu": [1]}, "as its resources, gpu"),
]


@pytest.mark.parametrize(("app", "resources", "sentence"), _ODD, ids=[f"{app} {resources}"[:40] for app, resources, _ in _ODD])
def test_an_odd_value_is_refused_by_the_name_of_its_field(app: dict[str, Any], resources: dict[str, Any], sentence: str) -> None:
    """In one field of a package that is good otherwise."""
    with pytest.raises(UnfitContainer) as refused:
        read({**APP, **app}, {"resources": {**PACKAGE["resources"], **resources}})
    assert sentence in str(refused.value)


_ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()) | st.sampled_from(["/", "..", "1e400", "[", "8Gi"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = [
    *(("app", *rest) for rest in (("command",), ("input",), ("input", "path"), ("output", "path"))),
    *(("app", *rest) for rest in (("environment",), ("environment", "A"), ("workingDirectory",))),
    *(("package", *rest) for rest in (("resources",), ("resources", "memory"), ("resources", "gpu"))),
]


@pytest.mark.parametrize("field", _FIELDS, ids=".".join)
@given(value=_ANYTHING)
def test_whatever_stands_in_a_field_is_taken_or_refused(field: tuple[str, ...], value: object) -> None:
    """What is taken, an engine's command line can hold."""
    files = at = json.loads(json.dumps({"app": APP, "package": PACKAGE}))
    for key in field[:-1]:
        at = at[key]
    at[field[-1]] = value
    try:
        said = read(files["app"], files["package"])
    except UnfitContainer:
        return
    words = [said.given_at, said.made_at, *said.command, *(f"{key}={one}" for key, one in said.variables.items())]
    assert all(b"\0" not in word.encode() for word in words)
    assert said.command
    assert said.memory is None or 0 <= said.memory < 1 << 100


@given(app=st.binary(max_size=200), package=st.binary(max_size=200))
def test_whatever_the_files_are_they_are_read_or_refused(app: bytes, package: bytes) -> None:
    """Bytes of any kind in the place of both."""
    with pytest.raises(UnfitContainer):
        package_of(app, package, image="localhost/map", places=PLACES, has_entry=True)


def test_a_file_that_is_deep_is_refused() -> None:
    """Lists within lists, more than Python goes into."""
    with pytest.raises(UnfitContainer, match="RecursionError"):
        package_of(200_000 * b"[", b"{}", image="localhost/map", places=PLACES, has_entry=True)
