"""The benchmark of GPUs where there is none: it says so and measures nothing; what it would do besides is tried on the processor."""

from pathlib import Path

import pytest
import torch

from bench import gpu
from inference.engines.triton.distribution import local_distribution

ROUNDING = 1e-4


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU: run python -m bench gpu")
def test_without_a_gpu_it_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    """One sentence with the reason, no figure, no error."""
    assert gpu.measure() == []
    assert "no GPU, and nothing is measured: torch " in capsys.readouterr().out


@pytest.mark.slow
def test_the_steps_of_a_training_are_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop of `hilum train` on made crops: as many steps as were asked for, each of which took a while; one that was ended behind its
    first epoch is gone on with."""
    monkeypatch.setattr(gpu, "STEPS", 2)
    monkeypatch.setattr(gpu, "WARM", 0)
    clock = gpu.trained(tmp_path / "cut", "cpu", batch=1, epochs=2, ends=True)
    assert len(clock.at) == 2
    assert clock.step_s > 0
    assert len(gpu.trained(tmp_path / "cut", "cpu", batch=1, epochs=2).at) == 2


@pytest.mark.slow
@pytest.mark.registry
def test_a_server_of_this_machine_answers_what_the_embedded_engine_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real tritonserver without a GPU, as a program of the machine, which NVIDIA's is: its answer beside the embedded engine's, and the
    seconds that its model computes."""
    distribution = local_distribution()
    for name, value in distribution.environment().items():
        monkeypatch.setenv(name, value)
    program = tmp_path / "tritonserver"
    program.write_text(f'#!/bin/sh\nexec {distribution.program} --backend-directory={distribution.backends} "$@"\n', encoding="ascii")
    program.chmod(0o755)
    rows = {row.name.strip(): row.value for row in gpu.triton(tmp_path, str(program), kinds=("cpu",), calls={16: 1})}
    assert rows["16³ voxels, Triton, KIND_CPU, model.pt"] > 0
    assert rows["of which its model computes"] > 0
    assert rows["its answer apart by"] < ROUNDING
