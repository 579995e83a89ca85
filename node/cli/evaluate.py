"""`hilum evaluate`: a recipe's run, or any application on the labelled studies of a hospital, run as a job of this node would run it.

What judges is training's, named by string: the node imports nothing of it (ADR-0024).
"""

import contextlib
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.opened import ConfigOption, configuration

if TYPE_CHECKING:
    from inference.applications.port import Application
    from inference.findings import Findings
    from inference.imaging.subject import Subject
    from node.domain.job import Job
    from node.flow.infer import Analyst

_RECIPES, _RECIPE, _TEST = "training.recipes", "training.cli", "training.acceptance.cli"


def evaluate(
    name: str,
    *,
    data: Path | None = None,
    out: Path | None = None,
    table: Path | None = None,
    same: Annotated[tuple[str, ...], Parameter(negative="")] = (),
    recipe: Annotated[bool, Parameter(negative="")] = False,
    seed: int | None = None,
    repository: Path | None = None,
    disturbed: Annotated[bool, Parameter(negative="")] = False,
    explain: float | None = None,
    config: ConfigOption = None,
    as_json: Annotated[bool, Parameter(name="--json", negative="")] = False,
) -> int:
    """Score an application on labelled studies, or a trained model on the cases that were held out, as they are served.

    Of an application: every series that --data holds with a segmentation (DICOM SEG) goes through this node's gate, preparing, engine and
    judge, and what is found is compared with the reference. --out gets evaluation.json and card.html, which has pictures of patients; the
    acceptance card, without any case, goes into the model repository, where `hilum models accept` signs it. Of a recipe: the run's folder
    gets evaluation.json and card.html, with figures, plots and pictures. Ended before it is through, either goes on where it was when it
    is called again.

    Parameters
    ----------
    name
        Of an application, or of a recipe. One that is both is the application where --data holds DICOM.
    data
        The folder of labelled studies; of a recipe that on which it was trained, where there was one.
    out
        The folder of the evaluation (default var/evaluations/APPLICATION); of a recipe that of the run (default var/training/RECIPE).
    table
        Of an application: a table (CSV) as reference in the place of segmentations, a line a case, named by SeriesInstanceUID,
        StudyInstanceUID, AccessionNumber or PatientID; its other columns are findings (1 or 0) and measured values.
    same
        Of an application: "THEIR LABEL=LABEL", a segment of the references and the structure that it is, where neither label nor code
        tells.
    recipe
        Take the name for the recipe's, whatever --data holds.
    seed
        Of a recipe: of the split, of a model from --repository. A run's own network is scored on the cases that the run held out.
    repository
        Of a recipe: score the model that this model repository serves, not the run's own. Without --out, evaluation and card then go to
        var/evaluations/RECIPE.
    disturbed
        Of a recipe: also under noise, blur and missing slices, eleven times in all: this takes twelve times as long.
    explain
        Of a recipe that classifies: seconds for methods that tell what moved an answer (default 240; 0: none are tried). Each is tried on
        the network and on networks of random weights; which are offered stands on the card.
    as_json
        Print the figures, and those of each case, as JSON.
    """
    from node.cli.ending import WrongWords

    if recipe or _is_recipe(name, data):
        if table is not None or same:
            raise WrongWords(f'"{name}" is a recipe, and --table and --same are of applications')
        asked = {} if explain is None else {"explain": explain}
        run: int = import_module(_RECIPE).evaluate(
            name, data=data, out=out, seed=seed, repository=repository, disturbed=disturbed, as_json=as_json, **asked
        )
        return run
    from node.cli import screen

    if table is not None and same:
        raise WrongWords("--same says which segments are which structures, and --table takes the place of segments: give one of the two")
    if data is None or seed is not None or repository is not None or disturbed or explain is not None:
        raise WrongWords(
            f'"{name}" is an application: name the folder of labelled studies with --data, and neither seed, repository, disturbed nor '
            "explain"
        )
    import_module(_TEST).demand_installed()
    told = evaluated(name, data, out or Path("var/evaluations") / name, _pairs(same), table, config)
    if as_json:
        screen.as_json(told)
        return 0
    _print(told, out or Path("var/evaluations") / name)
    return 0


def evaluated(name: str, data: Path, out: Path, same: Mapping[str, str], table: Path | None, config: Path | None) -> dict[str, Any]:
    """Put the application of a name to the test, on the engine that the configuration gives it.

    Raises
    ------
    HilumError
    """
    from node.assembly import compose
    from node.flow.infer import Analyst, calls_of, digest_with, engine_of
    from node.observe.events import start_events

    start_events("evaluate", logging.ERROR)
    loaded = configuration(config)
    application = compose.application(loaded, name)
    _demand_one_series(application)
    named = engine_of(loaded, name)
    with contextlib.closing(compose.open_engine(loaded, named)) as engine:
        analyst = Analyst(loaded, lambda _: application, lambda _: engine)
        tested: Any = import_module("training.acceptance.port").UnderTest(
            application=application,
            sha256=digest_with(engine, application, calls_of(loaded, application)),
            engine=named,
        )
        told: dict[str, Any] = import_module(_TEST).evaluated(
            tested, _Analyse(application, analyst, named), data, out, same, table, loaded.models
        )
    return told


class _Analyse:
    """One series of a folder as a job of this node: the gate, then what a work process does."""

    def __init__(self, application: "Application", analyst: "Analyst", engine: str) -> None:
        self._application = application
        self._analyst = analyst
        self._engine = engine

    def __call__(self, files: Sequence[Path], series_instance_uid: str, /) -> "tuple[Subject, Findings]":
        self._refuse_unfit(files, series_instance_uid)
        inferred = self._analyst(_job(self._application, self._engine, series_instance_uid), files)
        if len(inferred.parts) > 1:
            from inference.applications.errors import NotAccepted

            raise NotAccepted(f"the series holds {len(inferred.parts)} parts, and a reference is of one")
        return inferred.parts[0].assembled.subject, inferred.parts[0].findings

    def _refuse_unfit(self, files: Sequence[Path], series_instance_uid: str) -> None:
        """What the gate says by headers alone, before any pixel is read."""
        from inference.applications.accept import refusal
        from inference.applications.errors import NotAccepted
        from node.dicom.header import read_header
        from node.routing.decisions import class_of, seen
        from node.routing.gate import Fit, answer

        headers = [read_header(file)[1] for file in files]
        said = answer(self._application, seen(series_instance_uid, [(class_of(header), header) for header in headers]))
        if said.fit is Fit.REFUSES:
            raise NotAccepted(refusal(self._application.name, series_instance_uid, said.reasons))


def _job(application: "Application", engine: str, series_instance_uid: str) -> "Job":
    """A job that no route made and no sink waits for."""
    from node.domain.job import Job, Priority
    from node.domain.state import JobState

    now = datetime.now(UTC)
    return Job(
        id=0,
        arrival=0,
        study_instance_uid="",
        series_instance_uid=series_instance_uid,
        application=application.name,
        application_version=application.version,
        engine=engine,
        routes=(),
        sinks=(),
        priority=Priority.OFFPEAK,
        state=JobState.QUEUED,
        attempts=1,
        lease=None,
        lease_until=None,
        due_at=now,
        created_at=now,
        input_digest="",
        predecessor=None,
        findings_blob=None,
        inferred_at=None,
        model_digest=None,
        code=None,
        reason=None,
    )


def _demand_one_series(application: "Application") -> None:
    from inference.applications.acceptance import untestable
    from node.cli.ending import WrongWords

    if why := untestable(application):
        raise WrongWords(why)


def _is_recipe(name: str, data: Path | None) -> bool:
    """Whether a name is a recipe's and, where it is an application's, too, the folder holds no DICOM."""
    with contextlib.suppress(ModuleNotFoundError):  # without training's libraries nothing can be trained or scored
        if name in import_module(_RECIPES).names():
            from inference.applications.catalog import names

            return name not in names() or data is None or not _holds_dicom(data)
    return False


def _holds_dicom(folder: Path) -> bool:
    """Whether one of the first files below a folder is DICOM (PS3.10 7.1)."""
    from itertools import islice

    for path in islice((one for one in sorted(folder.rglob("*")) if one.is_file()), 100):
        with path.open("rb") as file:
            if file.read(132)[128:] == b"DICM":
                return True
    return False


def _pairs(same: Sequence[str]) -> dict[str, str]:
    from node.cli.ending import WrongWords

    pairs = {}
    for one in same:
        theirs, equals, mine = one.partition("=")
        if not equals or not theirs.strip() or not mine.strip():
            raise WrongWords(f'--same "{one}" is no pair: write "THEIR LABEL=LABEL"')
        pairs[theirs.strip()] = mine.strip()
    return pairs


def _print(told: Mapping[str, Any], out: Path) -> None:
    from node.cli import screen

    console, counts, name = screen.out(), told["counts"], told["application"]
    console.print(f"{told['model']}, SHA-256 {told['sha256'][:12]}")
    console.print(
        f"{counts['compared']} series of {screen.plural(counts['patients'], 'patient')} compared, {counts['refused']} refused, "
        f"{counts['unusable']} without a usable reference, {counts['unlabelled']} without any\n"
    )
    table = screen.table("figure", "cases", "mean", "95 % interval", "limits of agreement", "worst", last_folds=False)
    for figure, each in told["figures"].items():
        unit = f", {each['unit']}" if each["unit"] else ""
        shown = [_shown(each, values) for values in ([each["mean"]], each["interval"], each.get("limits"), [each["worst"]])]
        table.add_row(f"{figure}{unit}", str(each["count"]), *shown)
    console.print(table)
    for note in told["notes"]:
        console.print(f"\n{note}")
    for title in ("refused", "unusable"):
        for row in told[title]:
            code = f" [{row['code']}]" if row["code"] else ""
            console.print(f"\n{title}: {screen.visible(row['what'])}: {screen.visible(row['reason'])}{code}")
    console.print(f"\nFor people: {out / 'card.html'}, which may show images of patients. If it is good enough: hilum models accept {name}")


def _shown(figure: Mapping[str, Any], values: Sequence[float | None] | None) -> str:
    if values is None or None in values:
        return "–"
    return " to ".join(f"{value:.{figure['digits']}f}" for value in values)
