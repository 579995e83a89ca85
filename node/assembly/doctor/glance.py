"""What the console looks at every half minute: all that `hilum doctor` finds in a moment, without asking anybody over a network.

Peers, sinks and engines are asked by the console's own look at them (`node.assembly.health`); models are read by the command alone.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

from inference.errors import HilumError
from node.assembly.doctor.peers import look_at_callers, look_at_certificates, look_at_senders
from node.assembly.doctor.store import look_at_bucket, look_at_disk, of_journal
from node.domain.health import Area, DoctorFinding
from node.settings.config import Config

if TYPE_CHECKING:
    from node.journal.journal import Journal


def glance(config: Config, journal: "Journal") -> Iterator[DoctorFinding]:
    """Disk, bucket, journal, clock, processes, certificates, senders, and what waits for a person."""
    yield from look_at_disk(config)
    yield from look_at_bucket(config)
    try:
        yield from of_journal(config, journal)
    except HilumError as broken:
        yield DoctorFinding(area=Area.JOURNAL, subject="journal", level="bad", detail=f"{broken} [{broken.code}]", fix=broken.remedy)
    yield from look_at_certificates(config)
    yield from look_at_senders(config)
    yield from look_at_callers(config)
