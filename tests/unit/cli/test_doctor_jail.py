"""`hilum doctor` on the jail and on root: what is said where models are computed here, where they are not, and where the kernel cannot."""

import os
from pathlib import Path

import pytest

from inference.engines.jail import probe
from inference.engines.jail.confine import Confined
from node.assembly.configuration import load
from node.cli.doctor.models import look_at_jail, look_at_user
from node.settings.config import Config


def configured(folder: Path, engines: str) -> Config:
    file = folder / "hilum.yaml"
    file.write_text(
        "node: {ae_title: HILUM, listen: '127.0.0.1:0'}\nstore: {journal: 'sqlite:hilum.db', blobs: 'file:blobs'}\n"
        f"engines: {engines}\n"
        "applications: {mr-brain: {engine: default}}\n"
    )
    return load(file)


def test_this_machine_confines_and_a_process_that_tried_reached_nothing(tmp_path: Path) -> None:
    (found,) = look_at_jail(configured(tmp_path, "{default: {kind: embedded}}"), ["mr-brain"])
    assert found.level == "good", found
    assert "reached no file, no network, no process" in found.detail


def test_where_a_server_computes_nothing_is_tried(tmp_path: Path) -> None:
    config = configured(tmp_path, "{default: {kind: triton, url: 'grpc://127.0.0.1:1'}}")
    assert list(look_at_jail(config, ["mr-brain"])) == []


@pytest.mark.parametrize(("allowed", "fix"), [("false", "are refused here (HLM-4110)"), ("true", "trust their authors")])
def test_a_kernel_that_cannot_is_named_with_what_it_lacks(allowed: str, fix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = probe.Probed(confined=Confined(landlock=0, seccomp=True), reached=("files",))
    monkeypatch.setattr(probe, "probe", lambda: found)
    (said,) = look_at_jail(configured(tmp_path, f"{{default: {{kind: embedded, allow_code: {allowed}}}}}"), ["mr-brain"])
    assert said.level == "warning"
    assert "it lacks Landlock (Linux 5.13, turned on at boot); one that tried reached files" in said.detail
    assert fix in (said.fix or "")


def test_root_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    (said,) = look_at_user()
    assert said.level == "warning"
    assert "root" in said.detail
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert list(look_at_user()) == []
