"""docs/howto/run-on-triton.md as written, over a server of this machine: the configuration of its blocks, and what doctor says then."""

import re
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.lab.howto import HowTo
from tests.lab.node import Node, configuration, models
from tests.lab.triton import Started

pytestmark = [pytest.mark.slow, pytest.mark.registry]
PAGE = HowTo("run-on-triton.md")
_EXPECTED = re.compile(r"^ *✓  (engine gpu)   (.*)$", re.MULTILINE)


def test_the_page_is_followed(triton: Started, tmp_path: Path) -> None:
    """The engine is asked as the page says, and answers in the page's words, but for its version, its address, and how many calls it
    computes at once."""
    repository = models(("mr-brain",))
    server = triton(repository)
    says: dict[str, Any] = YAML(typ="safe").load(PAGE.blocks("yaml")[0])
    assert says["applications"] == {"mr-brain": {"engine": "gpu"}}
    written = says["engines"]["gpu"]["url"]
    says["engines"]["gpu"]["url"] = server.url
    node = Node(
        configuration(
            tmp_path,
            port=0,
            repository=repository,
            peers={"scanner": {"ae_title": "SCANNER", "address": "127.0.0.1:0"}},
            sinks={"results": {"kind": "folder", "path": str(tmp_path / "results")}},
            routes=[{"name": "all MR", "when": {"Modality": "MR"}, "run": ["mr-brain"], "send": ["results"]}],
            **says,
        ),
        tmp_path,
    )
    with node:
        found = [one for one in node.doctor()["findings"] if one["subject"] == "engine gpu"]
    assert {one["level"] for one in found} == {"good"}
    said = [
        re.sub(r"\d+ calls? at once", "1 call at once", re.sub(r"Triton [0-9.]+", "Triton 2.51.0", one["detail"])).replace(
            server.url, written
        )
        for one in found
    ]
    expected = [detail for _, detail in _EXPECTED.findall(PAGE.text)]
    assert expected
    assert set(expected) <= set(said), said
