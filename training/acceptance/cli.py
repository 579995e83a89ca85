"""What the verbs `hilum evaluate` and `hilum models accept` call of training, by string: the test itself, its tables, its pages."""

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inference.applications.acceptance import Card, card_file, keep_evaluation
from inference.engines.writing import put_in_place
from training.acceptance.port import Analyse, UnderTest
from training.errors import TrainingNotInstalled

_NEEDED = ("torch", "monai", "jinja2")


def demand_installed() -> None:
    """Refuse what compares where a library that it needs is absent, before anything else is asked for.

    Raises
    ------
    TrainingNotInstalled
    """
    absent = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if absent:
        raise TrainingNotInstalled(f"not installed: {', '.join(absent)}")


def evaluated(
    tested: UnderTest, analyse: Analyse, data: Path, out: Path, same: Mapping[str, str], table: Path | None, repository: Path
) -> dict[str, Any]:
    """Put an application to the test, with its progress on stderr; the card without cases goes into the model repository.

    Raises
    ------
    HilumError
        As `judging.evaluate` and `keep_evaluation`.
    """
    from training.acceptance.judging import evaluate
    from training.acceptance.record import without_identity
    from training.progress import steps

    with steps("evaluating") as step:
        told = evaluate(tested, analyse, data, out, same, table, step=step)
    write_page(repository, keep_evaluation(repository, without_identity(told)))
    return told


def write_page(repository: Path, card: Card) -> Path:
    """The page of a card beside it, without pictures; its path.

    Raises
    ------
    RepositoryNotWritten
    """
    from dataclasses import asdict

    from training.acceptance.page import page

    file = card_file(repository, card.application, card.version, card.sha256).with_suffix(".html")
    put_in_place(file, page(card.evaluation, accepted=None if card.accepted is None else asdict(card.accepted)).encode())
    return file
