"""What a version of a model is good for, and under which licences it may be used: what its applications say, and its own entry.

What one version's application says is not said of another: whoever imports a model anew may have trained it on other data, under another
licence. A model that no application names has an entry alone: its weights' licence, and no grade.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.applications import catalog
from inference.applications.acceptance import EnteredDigests, digest_of, why_not_accepted
from inference.applications.port import Application, Licences
from inference.applications.serving import as_served
from inference.engines.calling import with_places_taken
from inference.engines.errors import ModelMissing, UnreadableModel
from inference.engines.port import SERVING
from inference.engines.repository import Listed, Repository
from inference.engines.serving import served
from inference.errors import HilumError

_UNKNOWN = Licences().commercial


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Of one version of a model.

    Attributes
    ----------
    applications
        The names of those that call it.
    grade
        "research" or "demonstration", the lower one where they differ; "" where no application calls it.
    licences
        That of the weights as the version's own entry says it, else as the applications do. Texts that differ stand one after the other.
        Commercial use: "no" where one application says so, else "unknown" where one does not say it of this version.
    accepted
        Those applications that are accepted here with this version of the model: as they are served now.
    """

    applications: tuple[str, ...]
    grade: str
    licences: Licences
    accepted: tuple[str, ...]


class Standings:
    """The standing of each model, of the applications that there are now.

    Parameters
    ----------
    repository
        The model repository.
    folders
        As of `catalog.names`: those of applications, and the repository itself.
    """

    def __init__(self, repository: Path, folders: Sequence[Path]) -> None:
        self._repository = repository
        self._applications = list(_applications(folders))

    def of(self, listed: Listed) -> Standing:
        """What is said of one version of a model: by the application that it brings with it, and by all others that call the model."""
        folder = self._repository / listed.model.name
        own = _brought(folder, listed.model.version)
        # what the version brings that is served counts for that one alone
        calling = {one.name: one for one in self._applications if _calls(one, listed) and one.name != catalog.brought_name(folder)}
        words = {name: one.licences.commercial if self._uses(one, listed) else _UNKNOWN for name, one in calling.items()}
        if own is not None:
            calling[own.name], words[own.name] = own, own.licences.commercial
        grades = {one.grade for one in calling.values()}
        said = [calling[name].licences for name in sorted(calling)]
        accepted = [name for name, one in calling.items() if self._accepted(one, listed)]
        return Standing(
            applications=tuple(sorted(calling)),
            grade="demonstration" if "demonstration" in grades else grades.pop() if grades else "",
            licences=Licences(
                code=_joined(one.code for one in said),
                weights=(listed.entry.licence if listed.entry else "") or _joined(one.weights for one in said),
                data=_joined(one.data for one in said),
                commercial=_least(set(words.values())),
            ),
            accepted=tuple(sorted(accepted)),
        )

    def _accepted(self, application: Application, listed: Listed) -> bool:
        """Whether an application calls this version as it is served now, and is accepted so."""
        repository = Repository(self._repository)
        try:
            served = as_served(application, self._repository)
            if listed.model not in served.models:
                return False
            models = with_places_taken({model: repository.call_of(model) for model in served.models})
            digest = digest_of(models, EnteredDigests(repository).digest)
        except HilumError:  # as above
            return False
        return why_not_accepted(self._repository, served.name, served.version, digest) == ""

    def _uses(self, application: Application, listed: Listed) -> bool:
        """Whether it is this version that an application calls: the one that it pins, or the one that is served."""
        pinned = {model.version for model in application.models if model.name == listed.model.name}
        try:
            now = served(self._repository, listed.model.name).version
        except (ModelMissing, UnreadableModel):  # the listing itself says what is wrong with it
            now = SERVING
        return listed.model.version in {now if version == SERVING else version for version in pinned}


def _applications(folders: Sequence[Path]) -> Iterator[Application]:
    for name in catalog.names(folders):
        try:
            yield catalog.load(name, folders)
        except HilumError:
            # `hilum config check` and the import say what is wrong with it
            continue


def _brought(folder: Path, version: int) -> Application | None:
    try:
        return catalog.brought_by(folder, version)
    except HilumError:  # as above
        return None


def _calls(application: Application, listed: Listed) -> bool:
    return listed.model.name in {model.name for model in application.models}


def _joined(texts: Iterator[str]) -> str:
    return "; ".join(dict.fromkeys(text for text in texts if text))


def _least(words: set[str]) -> str:
    """What holds for everybody: "no" goes before "unknown", that before "yes"; without a word it is unknown."""
    return "no" if "no" in words else "yes" if words == {"yes"} else _UNKNOWN
