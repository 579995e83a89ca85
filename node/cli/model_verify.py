"""`hilum models verify`: does the repository still hold what it held, and do both engines compute what was computed at import?"""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.models import RepositoryOption
from node.cli.opened import ConfigOption, JsonOption

if TYPE_CHECKING:
    from inference.engines.port import Engine
    from inference.engines.repository import Listed, Repository


def verify(
    *model: str,
    run: Annotated[bool, Parameter(negative="--no-run")] = True,
    engine: str | None = None,
    tolerance: float = 1e-3,
    repository: RepositoryOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Recompute the digests, and run a known input through each model; exit code 1 when anything differs.

    Licence and model card are looked for, too: a model without them is named, and is no failure.

    Parameters
    ----------
    model
        Only models of these names.
    run
        Run the known input; --no-run compares digests only.
    engine
        Run it on this engine of the configuration, too, and compare the outputs of both, value by value.
    tolerance
        Largest difference of an output between the two engines, as a share of the range of its values.
    """
    from inference.engines.embedded.engine import EmbeddedEngine
    from inference.engines.errors import ModelMissing
    from inference.engines.repository import Repository
    from node.assembly.compose import model_limits, open_engine
    from node.cli import screen
    from node.cli.opened import configuration

    with contextlib.ExitStack() as stack:
        other, limits = None, None
        if engine is not None or repository is None:
            loaded = configuration(config)
            repository = repository or loaded.models
            limits = model_limits(loaded)
            other = stack.enter_context(contextlib.closing(open_engine(loaded, engine))) if engine is not None else None
        opened = Repository(repository)
        wanted = [each for each in opened.list() if not model or each.model.name in model]
        absent = set(model) - {each.model.name for each in wanted}
        if absent:
            raise ModelMissing(f"{', '.join(sorted(absent))}: not in the repository {opened.path}")
        embedded = stack.enter_context(contextlib.closing(EmbeddedEngine(opened.path, limits=limits)))
        judge = _Judge(repository=opened, embedded=embedded, other=other, run=run, tolerance=tolerance)
        verdicts = [judge.verdict(each) for each in wanted]
    if as_json:
        screen.as_json(verdicts)
    else:
        console = screen.out()
        table = screen.table("", "model", "version", "verdict")
        for verdict in verdicts:
            table.add_row(screen.mark(verdict["good"]), verdict["model"], str(verdict["version"]), verdict["reason"])
        console.print(table if verdicts else f"no models in {opened.path}")
    return 0 if all(verdict["good"] for verdict in verdicts) else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judge:
    """What verdicts are made with."""

    repository: "Repository"
    embedded: "Engine"
    other: "Engine | None"
    run: bool
    tolerance: float

    def verdict(self, listed: "Listed") -> dict[str, Any]:
        from inference.errors import HilumError

        said: dict[str, Any] = {"model": listed.model.name, "version": listed.model.version, "good": True, "code": None}
        try:
            return {**said, **self._looked_at(listed)}
        except HilumError as wrong:
            return {**said, "good": False, "code": wrong.code, "reason": f"{wrong} [{wrong.code}]"}

    def _looked_at(self, listed: "Listed") -> dict[str, Any]:
        from inference.engines.golden import check_golden

        entry = self.repository.verify(listed.model)
        if entry is None:
            return {"reason": "no hilum.json beside it: nothing to compare with"}
        reason = ["digest as imported"]
        more: dict[str, Any] = {"licence": entry.licence, "card": (self.repository.path / listed.model.name / "README.md").is_file()}
        if self.run and entry.golden is not None:
            check_golden(self.embedded, self.repository, listed.model, entry.golden)
            reason[0] += "; the known input gives the known output"
            more["difference"] = self._difference(listed, more, reason)
        if not entry.licence:
            reason.append("no licence is said")
        if not more["card"]:
            reason.append("there is no model card")
        return {"reason": "; ".join(reason), **more}

    def _difference(self, listed: "Listed", more: dict[str, Any], reason: list[str]) -> float | None:
        """The largest difference between the two engines' outputs for the known input; None without a second engine."""
        if self.other is None:
            return None
        from inference.engines.golden import golden_input

        entry, config = self.repository.entry(listed.model), self.repository.config(listed.model)
        assert entry is not None
        assert entry.golden is not None
        golden = entry.golden
        inputs = {tensor.name: golden_input(golden.shape, tensor.dtype, golden.scale) for tensor in config.inputs}
        self.other.check(listed.model)
        here, there = self.embedded.infer(listed.model, inputs), self.other.infer(listed.model, inputs)
        far = _largest(here, there)
        spread = max((float(array.max()) - float(array.min()) for array in here.values() if array.size), default=0.0)
        if not far <= self.tolerance * max(spread, 1e-30):
            more |= {"good": False, "code": "HLM-4107"}
        reason.append(f"the engines differ by {far:.3g} at most, of a range of {spread:.3g}")
        return far


def _largest(here: Mapping[str, Any], there: Mapping[str, Any]) -> float:
    import numpy as np

    return max(
        float(np.abs(array.astype(np.float64) - there[name].astype(np.float64)).max(initial=0.0))
        if array.shape == there[name].shape
        else float("inf")
        for name, array in here.items()
    )
