"""Acceptance cards: what an acceptance test found of an application with the models of one digest, and who accepted it here.

They lie as files of the model repository, `mr-brain.1.2.0.0f3a….acceptance.json`, and go into its backups. A Triton server looks at
folders there alone. A card is of one version of an application and one digest of its models: for another there is another card, or none,
and it is not accepted. Nothing in a card is about a patient.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Any

from inference.applications.port import Application, Takes
from inference.engines.port import ModelRef
from inference.engines.repository import Repository
from inference.engines.writing import locked, put_in_place
from inference.errors import ModelError

FORMAT = 1
_DIGITS = 16


class NotEvaluated(ModelError):
    """There is no acceptance test of an application with the models that it has here now: there is nothing to accept."""

    code = "HLM-4160"
    remedy = "`hilum evaluate APPLICATION --data STUDIES` puts it to the test on labelled studies; then accept it."


class UnreadableCard(ModelError):
    """An acceptance card cannot be read, or is of another application or digest than its name says; it accepts nothing."""

    code = "HLM-4161"
    remedy = "Restore the file from a backup, or delete it and call `hilum evaluate APPLICATION --data STUDIES` again."


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """Who accepted an application, when, why, and on which evaluation (its time); `withdrawn`: who took it back, and when."""

    by: str
    reason: str
    at: str
    evaluated: str
    withdrawn: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """What is known of one version of an application with the models of one digest.

    Attributes
    ----------
    evaluation
        What the acceptance test found, as `training.acceptance.record` writes it without cases.
    accepted
        None: nobody has accepted it, or it was taken back.
    earlier
        Acceptances before, the oldest first.
    """

    application: str
    version: str
    sha256: str
    evaluation: Mapping[str, Any]
    accepted: Acceptance | None = None
    earlier: tuple[Acceptance, ...] = field(default=())


def digest_of(models: Sequence[ModelRef], digest: Callable[[ModelRef], str]) -> str:
    """One digest for all models that an application may call: the model's own where it is one, else over names, versions and digests."""
    digests = [(model.name, str(model.version), digest(model)) for model in models]
    if len(digests) == 1:
        return digests[0][2]
    lines = "\n".join(" ".join(entry) for entry in sorted(digests))
    return sha256(lines.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class EnteredDigests:
    """Digests of models as their entries name them; of a model without an entry, that of its file."""

    repository: Repository

    def digest(self, model: ModelRef, /) -> str:
        entry = self.repository.entry(model)
        return self.repository.digest(model) if entry is None else entry.sha256


def card_file(repository: Path, application: str, version: str, digest: str) -> Path:
    """Where the card lies; its page lies beside it, with the ending .html."""
    return repository / f"{application}.{version}.{digest[:_DIGITS]}.acceptance.json"


def read_card(repository: Path, application: str, version: str, digest: str) -> Card | None:
    """The card of this version with models of this digest; None where there is none.

    Raises
    ------
    UnreadableCard
    """
    file = card_file(repository, application, version, digest)
    try:
        told = json.loads(file.read_text(encoding="utf-8"))
        if told.pop("format") != FORMAT:
            raise ValueError(f"its form is not {FORMAT}")
        card = Card(
            **{
                **told,
                "accepted": None if told["accepted"] is None else Acceptance(**told["accepted"]),
                "earlier": tuple(Acceptance(**one) for one in told["earlier"]),
            }
        )
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as broken:
        raise UnreadableCard(f"{file} is no acceptance card: {broken!r}") from broken
    if (card.application, card.version, card.sha256) != (application, version, digest):
        raise UnreadableCard(f"{file} is the card of {card.application} {card.version} with models of SHA-256 {card.sha256[:12]}…")
    return card


def keep_evaluation(repository: Path, evaluation: Mapping[str, Any]) -> Card:
    """Put what a test found onto its card. Who accepted the same version with the same digest before has still accepted it: on the figures
    of that day.

    Raises
    ------
    UnreadableCard, RepositoryNotWritten
    """
    application, version, digest = (str(evaluation[name]) for name in ("application", "version", "sha256"))
    with locked(repository):
        before = read_card(repository, application, version, digest)
        card = Card(application=application, version=version, sha256=digest, evaluation=evaluation)
        if before is not None:
            card = replace(card, accepted=before.accepted, earlier=before.earlier)
        _write(repository, card)
    return card


def accept(repository: Path, application: str, version: str, digest: str, *, by: str, reason: str) -> Card:
    """Say that an application is good enough for this place as it was evaluated.

    Raises
    ------
    NotEvaluated, UnreadableCard, RepositoryNotWritten
    """
    with locked(repository):
        card = _card(repository, application, version, digest)
        now = Acceptance(by=by, reason=reason, at=_now(), evaluated=str(card.evaluation["at"]))
        card = replace(card, accepted=now, earlier=(*card.earlier, *([card.accepted] if card.accepted else [])))
        _write(repository, card)
    return card


def withdraw(repository: Path, application: str, version: str, digest: str, *, by: str, reason: str) -> Card:
    """Take an acceptance back; without one nothing changes.

    Raises
    ------
    NotEvaluated, UnreadableCard, RepositoryNotWritten
    """
    with locked(repository):
        card = _card(repository, application, version, digest)
        if card.accepted is not None:
            taken_back = replace(card.accepted, withdrawn=f"{_now()} by {by}: {reason}")
            card = replace(card, accepted=None, earlier=(*card.earlier, taken_back))
            _write(repository, card)
    return card


def why_not_accepted(repository: Path, application: str, version: str, digest: str) -> str:
    """Why this version with models of this digest is not accepted here, for people; "" where it is."""
    what = f"{application} {version} with models of SHA-256 {digest[:12]}…"
    try:
        card = read_card(repository, application, version, digest)
    except UnreadableCard as broken:
        return f"{broken} [{broken.code}]"
    if card is None:
        return f"{what} was not tested on studies of this hospital"
    if card.accepted is None:
        return f"{what} was tested on {str(card.evaluation['at'])[:10]}, and nobody has accepted it"
    return ""


def untestable(application: Application) -> str:
    """Why no acceptance test compares an application, so that nobody can accept it, for people; "" where one does."""
    accepts = application.accepts
    if accepts.without_prior or (not application.in_roles and accepts.takes in (Takes.VOLUME, Takes.IMAGES)):
        return ""
    return f"{application.name} takes {application.accepts.takes.value}; an acceptance test compares applications that take one series"


def _card(repository: Path, application: str, version: str, digest: str) -> Card:
    card = read_card(repository, application, version, digest)
    if card is None:
        raise NotEvaluated(f"{application} {version} with models of SHA-256 {digest[:12]}… has no acceptance card in {repository}")
    return card


def _write(repository: Path, card: Card) -> None:
    text = json.dumps({"format": FORMAT, **asdict(card)}, indent=2) + "\n"
    put_in_place(card_file(repository, card.application, card.version, card.sha256), text.encode())


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
