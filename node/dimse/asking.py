"""Which SOP classes a peer takes in which transfer syntaxes: asked on associations on which nothing is sent."""

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeAlias

from node.dimse.errors import PeerAway, PeerRefuses, PeerRejected
from node.dimse.outgoing import MOST_CONTEXTS
from node.domain.context import Context

VERIFICATION: Final = Context(sop_class_uid="1.2.840.10008.1.1", transfer_syntax_uid="1.2.840.10008.1.2")
"""C-ECHO in the default transfer syntax, which every application entity has (PS3.5 10.1)."""

Associate: TypeAlias = Callable[[Sequence[Context]], Collection[Context]]


def accepted_contexts(associate: Associate, contexts: Collection[Context]) -> frozenset[Context]:
    """What a peer accepts of these; `associate` opens an association at it, says what was accepted, and releases it.

    Each is asked for in a presentation context of its own: of several syntaxes in one, a peer would pick one and say nothing of the others
    (PS3.8 9.3.3.2).

    Raises
    ------
    PeerAway, PeerRejected
        There is no association, whatever is asked for.
    """
    asked = sorted(contexts)
    batches = [asked[first : first + MOST_CONTEXTS - 1] for first in range(0, len(asked), MOST_CONTEXTS - 1)]
    return frozenset(one for batch in batches for one in _accepted(associate, batch))


def _accepted(associate: Associate, asked: Sequence[Context]) -> set[Context]:
    # with Verification, which every peer has: some reject an association of which they would take nothing (PS3.8 9.3.4 lets them)
    try:
        return set(associate([VERIFICATION, *asked])) & set(asked)
    except PeerRefuses:
        return set()  # the association came about, with nothing in it
    except (PeerAway, PeerRejected):
        if not _answers(associate):
            raise
    # it is there, and breaks off at a SOP class that it does not know: none of that one, and who knows what of the others
    classes = sorted({one.sop_class_uid for one in asked})
    if len(classes) == 1:
        return set()
    return {one for sop_class in classes for one in _accepted(associate, [each for each in asked if each.sop_class_uid == sop_class])}


def _answers(associate: Associate) -> bool:
    try:
        associate([VERIFICATION])
    except PeerRefuses:
        return True
    except (PeerAway, PeerRejected):
        return False
    return True
