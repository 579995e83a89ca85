"""What watches beside the supervisor, put together: the places of the store, the spool, and who is told of what they see."""

import contextlib
import threading
from collections.abc import Callable

from node.assembly import compose
from node.backup.store_watch import StoreWatch
from node.blobs.files import Place
from node.domain.notice import Item
from node.observe.events import alarm
from node.settings.config import Config
from node.spool.backlog import BacklogWatch
from node.store.identity import agree, places_of, recorded, refuse_other_places
from node.store.in_force import Present


def tell_people(present: Present, item: Item) -> None:
    """Tell people of this, where they want to hear of such things; from a thread of its own, so that a mail server that is away keeps
    nothing waiting."""
    config = present.config
    notify = config.notify
    if item.about not in notify.about or (notify.mail is None and notify.webhook is None):
        return

    def tell() -> None:
        from node.assembly.notices import tell_now  # mail and TLS: nothing that the supervisor holds otherwise

        tell_now(config, item)

    try:
        threading.Thread(target=tell, name="alert", daemon=True).start()
    except RuntimeError as refused:  # no more threads: who watches goes on watching
        alarm("notice.not_sent", reason=str(refused))


def store_watch(config: Config, tell: Callable[[Item], None]) -> StoreWatch:
    """Watches the places of the store that this configuration names."""
    return StoreWatch(_ConfiguredStore(config), tell)


def backlog_watch(present: Present, tell: Callable[[Item], None]) -> BacklogWatch:
    """Watches the spool of this host."""
    store = present.config.store
    awaited = "the journal" if store.bucket is None else "the journal or the bucket"
    return BacklogWatch(store.spooled, awaited, lambda: present.config.notify.late, tell)


class _ConfiguredStore:
    """The store that a configuration names."""

    def __init__(self, config: Config) -> None:
        self._config = config

    def places(self) -> dict[str, Place]:
        return {name: Place(path) for name, path in places_of(self._config).items()}

    def known(self) -> str | None:
        return recorded(self._config)

    def compare(self, identity: str | None) -> None:
        refuse_other_places(self._config, identity)
        with contextlib.closing(compose.open_journal(self._config)) as journal:
            agree(self._config, journal, compose.open_bare_blobs(self._config))
