"""Why each route would or would not take each series of a study that was received, by the routes of a configuration."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from node.domain.arrival import Arrival
from node.domain.route import Decision

if TYPE_CHECKING:
    from node.flow.routing import SeriesView
    from node.journal.port import Journal
    from node.settings.config import Config


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """The decisions about one study, by the routes that `digest` names. `views` has the series that were looked at."""

    study_instance_uid: str
    views: tuple["SeriesView", ...]
    decisions: tuple[Decision, ...]
    digest: str


def of_received(
    config: "Config", opened: "Journal", study: str, *, sender: str | None = None, called: str | None = None
) -> tuple[list[Explained], list[Explained]]:
    """What the configuration says now of a received study, and what was decided about its newest arrivals.

    Parameters
    ----------
    sender, called
        The peer and the called AE title that are taken to have been there; None: those that were.
    """
    from node.assembly.compose import application, engine_of, manifest
    from node.flow.asking import Asking
    from node.flow.pairing import Pairing
    from node.flow.series import series_of

    now, then = [], []
    application_of = partial(application, config)
    pairing = Pairing(opened, config.routes, application_of)
    asking = Asking(
        opened,
        pairing,
        config.routes,
        partial(engine_of, config),
        application_of,
        declared_of=partial(manifest, config),
        known=opened,
        settle_of=config.settle_of,
    )
    newest: dict[tuple[str | None, str | None], Arrival] = {}
    for arrival in opened.arrivals(study=study):
        newest[arrival.peer, arrival.series_instance_uid] = arrival
    for arrival in newest.values():
        instances = opened.arrival_instances(arrival.id)
        series = series_of(opened, arrival, instances)
        views = tuple(content.view for content in series)
        sent = replace(arrival, peer=sender or arrival.peer, called_ae=called or arrival.called_ae)
        calling = instances[0].calling_ae if instances else ""
        asked = asking.of(sent, series, calling, datetime.now(UTC))
        now.append(Explained(study_instance_uid=study, views=views, decisions=tuple(asked.decisions), digest=config.digest))
        decisions = tuple(opened.decisions(arrival.id))
        if decisions:
            digest = opened.config_digest(arrival.id) or ""
            then.append(Explained(study_instance_uid=study, views=views, decisions=decisions, digest=digest))
    return now, then
