"""`hilum models accept`: a person says that an application, as it was tested here, is good enough for this place; or takes it back."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration

if TYPE_CHECKING:
    from inference.applications.acceptance import Card
    from node.settings.config import Config

_PAGES = "training.acceptance.cli"


def accept(
    application: str,
    *,
    by: str,
    reason: str,
    withdraw: Annotated[bool, Parameter(negative="")] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Accept an application as it was tested on studies of this hospital, for routes that ask for it; or take that back.

    It holds for the version and the digest of its models that the repository serves now: with other models, or another version, the
    application is not accepted until it is tested and accepted again. The audit trail is told.

    Parameters
    ----------
    application
        Its name; `hilum evaluate APPLICATION --data STUDIES` has tested it.
    by
        Who accepts it: the person who answers for it.
    reason
        Why it is good enough, or is so no more.
    withdraw
        Take an acceptance back.
    """
    from dataclasses import asdict

    from inference.applications import acceptance
    from node.assembly.audit import accountable
    from node.cli import screen

    loaded = configuration(config)
    version, digest = tested(loaded, application)
    change = acceptance.withdraw if withdraw else acceptance.accept
    with accountable(loaded) as tell:
        card = change(loaded.models, application, version, digest, by=by, reason=reason)
        tell("models withdraw acceptance" if withdraw else "models accept", f"{application} {version}, SHA-256 {digest}, by {by}: {reason}")
    page = _page(loaded.models, card)
    if as_json:
        accepted = None if card.accepted is None else asdict(card.accepted)
        screen.as_json({"application": application, "version": version, "sha256": digest, "accepted": accepted})
        return 0
    said = f"accepted by {by}, as evaluated on {str(card.evaluation['at'])[:10]}" if card.accepted else "not accepted any more"
    screen.say(f"{application} {version}, SHA-256 {digest[:12]}: {said}{f'; its card: {page}' if page else ''}")
    return 0


def tested(config: "Config", application: str) -> tuple[str, str]:
    """The version of an application and the digest of its models as this node has them now.

    Raises
    ------
    HilumError
    """
    from inference.engines.repository import Repository
    from node.assembly.compose import served
    from node.flow.infer import calls_of, digest_with

    found = served(config, application)
    return found.version, digest_with(Repository(config.models), found, calls_of(config, found))


def _page(repository: Path, card: "Card") -> Path | None:
    """The card's page, written anew; None where what writes pages is not installed: the card itself says all."""
    from importlib import import_module

    with contextlib.suppress(ModuleNotFoundError):
        made: Path = import_module(_PAGES).write_page(repository, card)
        return made
    return None
