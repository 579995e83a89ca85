"""`hilum demo`: one command, on an empty folder, ends with objects, a measurement and a picture that are what they say they are."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.lab import report, validators
from tests.lab.loopback import outside
from tests.lab.node import hilum

pytestmark = [pytest.mark.slow, pytest.mark.registry, pytest.mark.timeout(900)]


def test_the_demo_ends_with_results_and_a_picture(tmp_path: Path) -> None:
    """The published head in MNI space: 1.9 ± 0.1 L by the report, by dcmqi and by the JSON; every object valid; contours in the picture."""
    with outside():  # it fetches a head and weights from the package registry; its servers bind loopback themselves
        said = hilum("demo", "--out", tmp_path / "demo", "--json", timeout_s=600)
    assert said.code == 0, said.out + said.err
    objects = {item["kind"]: Path(item["path"]) for item in said.json["objects"]}
    assert set(objects) == {"seg", "sr", "sc"}
    faults = [fault for kind, path in objects.items() for fault in validators.faults_of(path, report=kind == "sr")]
    assert faults == []
    (segment,) = validators.segimage2itkimage(objects["seg"])
    ((value, _),) = report.numbers(objects["sr"], "118565006")
    assert 1800 < value < 2000
    assert value == pytest.approx(segment.volume_ml, rel=0.01)
    assert [round(item["value"]) for item in said.json["measurements"]] == [round(value)]
    # the head of the demo ends below the brain stem
    assert [item["at_least"] for item in said.json["measurements"]] == [True]
    assert any("lower border" in sentence for sentence in said.json["cautions"])
    picture = np.asarray(Image.open(tmp_path / "demo" / "overlay.png").convert("RGB")).astype(np.int16)
    assert (picture.max(axis=2) - picture.min(axis=2) > 40).sum() > 500, "the mask's contour has a colour"
