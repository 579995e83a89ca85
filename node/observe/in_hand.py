"""Work in hand of a process, in shared memory of the supervisor, so that its successor knows over what it died."""

from node.observe.instruments import process_memory
from node.observe.shared_memory import SharedCells

_KEPT = 8
_BEGINS = b"in hand "


class InHand:
    """The number of what a process has in hand, and of what its predecessors died over, with how often they did.

    Nothing is written to a disk for it: it is gone with the supervisor, whose death nothing in hand is to blame for. Numbers are whole, and
    below 2**53; 0 is none.
    """

    def __init__(self, name: str, cells: SharedCells | None = None) -> None:
        self._cells = cells or process_memory()
        place = self._cells.place(_BEGINS + name.encode(), 1 + 2 * _KEPT)
        assert place is not None, "one of the first series of a region finds room"
        self._place = place

    @property
    def number(self) -> int:
        """What is in hand; in a process that has taken nothing yet, what its predecessor died over. 0: nothing."""
        return int(self._cells.get(self._place))

    def take(self, number: int) -> None:
        """It is in hand from now on."""
        self._cells.put(self._place, number)

    def put_down(self) -> None:
        """Nothing is in hand."""
        self._cells.put(self._place, 0)

    def count_death(self) -> int:
        """Count what is in hand as what the predecessor died over, and put it down; its number, 0 where there was none."""
        number = self.number
        if number:
            known = [slot for slot in self._slots() if int(self._cells.get(slot)) == number]
            # of those that are kept the one that fewest died over makes room
            slot = known[0] if known else min(self._slots(), key=lambda slot: self._cells.get(slot + 1))
            deaths = self._cells.get(slot + 1) if known else 0.0
            self._cells.put(slot, number)
            self._cells.put(slot + 1, deaths + 1)
            self.put_down()
        return number

    def deaths(self, number: int) -> int:
        """How many processes died over it, as far as that is kept."""
        return next((int(self._cells.get(slot + 1)) for slot in self._slots() if int(self._cells.get(slot)) == number), 0)

    def _slots(self) -> range:
        return range(self._place + 1, self._place + 1 + 2 * _KEPT, 2)


def excuse(cells: SharedCells) -> None:
    """The process that counts in them was ended on purpose: nothing that it had in hand is to blame."""
    cells.put_first(lambda key: key.startswith(_BEGINS), 0.0)
