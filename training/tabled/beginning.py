"""How a recipe for a table of one's own is begun, gone on with and found again: the same for classes, findings and numbers."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Generic, TypeVar

from training.data.cases import ByPatient, Case, Fold, digest, named, split
from training.data.lines import STUDY
from training.data.outlined import ONE, Roles
from training.errors import BrokenRun, OtherRun, UnfitSetting
from training.planning import Asked, application_name
from training.recipe import DataTerms, Recipe
from training.space import Space
from training.tabled.adni import of_adni
from training.tabled.arrays import arrayed, labels_of_arrays, of_arrays
from training.tabled.files import filed
from training.tabled.hygiene import Clean, clean
from training.tabled.labels import LabelTable
from training.tabled.participants import of_participants
from training.tabled.plan import TabledPlan, counted, planned, read, told, write
from training.tabled.roles import in_roles
from training.tabled.studies import TabledStudies, cases_of, tabled

R = TypeVar("R", bound=Recipe)

SPACE = Space(window=(0.5, 1.0, 1.5), sides=(32, 512), augmented=True)
"""What a search may vary of a network for a table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TabledKind(Generic[R]):
    """One kind of table and what is made of it.

    Attributes
    ----------
    recipe, application
        The names of the recipe, and of its application where nobody names that.
    read_table
        Reads a table, or the columns of it that are named.
    arrays
        Whether a file of arrays says what is learned, too.
    recipe_of
        A plan as a recipe; its cases are `cases_of_plan`.
    """

    recipe: str
    application: str
    read_table: Callable[[Path, Sequence[str], Sequence[str]], LabelTable]
    recipe_of: Callable[[TabledPlan], R]
    arrays: bool = False

    def begun(self, data: Path | None, run: Path, seed: int, asked: Asked, tell: Callable[[str], None], fold: Fold | None) -> R:
        """The recipe for a folder and its table: looked at, planned from its training patients; or the one that the run holds.

        Raises
        ------
        OtherRun
            The run was planned with other options, another table, or for other training cases.
        UnfitData, UnfitSetting
        """
        folder = named(data)
        arrays = self._of_arrays(folder)
        if len(asked.labels) != 1 and not arrays:
            raise UnfitSetting(f'recipe "{self.recipe}" learns what a table says: name it, `--labels FILE.csv`')
        name = application_name(asked.name or self.application)
        if asked.spacing_mm:
            raise UnfitSetting(
                f'recipe "{self.recipe}" shows its network the whole image, whatever its spacing: it takes --window and no --spacing-mm'
            )
        if not arrays:
            asked = replace(asked, labels=(str(Path(asked.labels[0]).resolve()),))
        plan = read(run)
        if plan is None:
            table = self._table(folder, asked)
            found, kept = _looked_at(folder, table, asked.modality, _roles(asked), _state(folder), tell)
            cases = cases_of([one.case for one in kept.seen], kept.groups, table)
            training = split(cases, seed, fold).train
            names = {case.name for case in training}
            seen = [one for one in kept.seen if one.case.name in names]
            plan = planned(found, table, kept, seen, asked, name=name, seed=seed, digest=digest(training))
            write(plan, run)
            tell(told(plan))
        elif plan.asked != asked:
            raise OtherRun(f"{run} was planned with {plan.asked}; asked for is {asked}")
        else:
            cases = self.cases_of_plan(folder, plan=plan)
            if (plan.seed, plan.training) != (seed, digest(split(cases, seed, fold).train)):
                raise OtherRun(f"{run} was planned for the training cases of seed {plan.seed}; those of seed {seed} in {folder} are others")
        return replace(self.recipe_of(plan), sides=ByPatient(lambda folder: cases, fold))

    def of_run(self, run: Path, found: str, with_found: Callable[[TabledPlan, R, Any], R]) -> R:
        """The recipe that a run was begun with; evaluated, with what its evaluation kept in the file `found`.

        Raises
        ------
        BrokenRun
        """
        plan = read(run)
        if plan is None:
            raise BrokenRun(f"{run} holds no plan: nothing was trained there")
        recipe, path = self.recipe_of(plan), run / found
        if not path.is_file():
            return recipe
        try:
            return with_found(plan, recipe, json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as broken:
            raise BrokenRun(f"{path} is not what an evaluation writes: {broken!r}") from broken

    def sides(self, plan: TabledPlan) -> ByPatient:
        """The sides of a folder that holds the cases of a plan."""
        return ByPatient(partial(self.cases_of_plan, plan=plan))

    def cases_of_plan(self, folder: Path, plan: TabledPlan) -> tuple[Case, ...]:
        """The cases that a run was planned with.

        Raises
        ------
        OtherRun
            The table or the folder is another now.
        """
        table = self._table(folder, plan.asked)
        if table.sha256 != plan.table:
            file = folder if self._of_arrays(folder) else plan.asked.labels[0]
            raise OtherRun(f"{file} is not the table any more that the run was planned with: give another --out")
        found = {case.name: case for case in _found(folder, table, plan.asked.modality, _roles(plan.asked)).cases}
        absent = [name for name in plan.groups if name not in found]
        if absent:
            raise OtherRun(f"{len(absent)} cases that the run was planned with are not in {folder}: {absent[0]}")
        return cases_of([found[name] for name in plan.groups], list(plan.groups.values()), table)

    def _of_arrays(self, folder: Path) -> bool:
        if of_arrays(folder) and not self.arrays:
            raise UnfitSetting(
                f'{folder} holds arrays with classes or findings: recipe "{self.recipe}" learns what a table says of a folder'
            )
        return of_arrays(folder)

    def _table(self, folder: Path, asked: Asked) -> LabelTable:
        if self._of_arrays(folder):
            return labels_of_arrays(folder, asked.labels, asked.target)
        return self.read_table(Path(asked.labels[0]), asked.target, asked.roles)


@lru_cache(maxsize=1)
def _looked_at(
    folder: Path, table: LabelTable, modality: str | None, roles: Roles, state: str, tell: Callable[[str], None]
) -> tuple[TabledStudies, Clean]:
    """What lies in a folder and may be learned from: for all folds of a cross-validation, and all trials of a search, every image is read
    for it once. `state` tells one state of the folder from another."""
    found = _found(folder, table, modality, roles)
    return found, clean(table, found, tell)


def _roles(asked: Asked) -> Roles:
    return Roles(names=asked.roles, optional=asked.optional)


def _found(folder: Path, table: LabelTable, modality: str | None, roles: Roles) -> TabledStudies:
    """What the lines of a table name: participants, series in roles, arrays, files or DICOM identifiers."""
    if table.of_participants:
        return of_participants(folder, table, modality, roles)
    if table.of_adni:
        if roles != ONE:
            raise UnfitSetting(f"--roles {' '.join(roles.names)}: a table of ADNI names the image of each line: leave it out")
        return of_adni(folder, table, modality)
    if table.roles or (roles.names and table.identifier == STUDY):
        return in_roles(folder, table, modality, roles)
    if roles != ONE:
        raise UnfitSetting(
            f"--roles {' '.join(roles.names)}: the table names the images themselves, or DICOM's numbers of them: leave it out, or write a "
            "column of each role, which names its file, or its series by SeriesInstanceUID"
        )
    if of_arrays(folder):
        return arrayed(folder, table, modality)
    if table.of_files:
        return filed(folder, table, modality)
    if modality is not None:
        raise UnfitSetting(f"--modality {modality}: a table that names DICOM images needs none, they say it themselves: leave it out")
    return tabled(folder, table)


def _state(folder: Path) -> str:
    """Names, sizes and times of all files of a folder, as a digest."""
    said = [("", "", status.st_size, status.st_mtime_ns) for status in ([os.stat(folder)] if folder.is_file() else [])]
    for place, _, names in os.walk(folder):
        for name in names:
            # a link to nowhere; or it went meanwhile: whoever reads it says so
            with contextlib.suppress(FileNotFoundError):
                status = os.stat(os.path.join(place, name))
                said.append((place, name, status.st_size, status.st_mtime_ns))
    return hashlib.sha256(repr(sorted(said)).encode()).hexdigest()


def terms_of(plan: TabledPlan) -> DataTerms:
    """What the card says of the data."""
    return DataTerms(
        name=f"{counted(plan)}, images and a table of one's own",
        licence="not stated",
        attribution="not stated",
        split="as the file has it, without near-doubles across its sides; whether two cases are of one person, it does not tell"
        if plan.own_sides
        else "by patient: nobody is on two sides, nor are near-doubles"
        if plan.by_patient
        else "by case, as not all name a patient; near-doubles are on one side",
    )
