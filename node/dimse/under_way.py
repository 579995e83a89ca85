"""The series that an association is in the middle of, by the order in which its instances come."""

_MOST = 1000


class UnderWay:
    """The last series, and every one that was come back to after another: senders that end one series before the next have one of them."""

    def __init__(self) -> None:
        self._last: tuple[str, str] | None = None
        self._seen: dict[tuple[str, str], None] = {}
        self._mixed: set[tuple[str, str]] = set()

    def came(self, study: str, series: str) -> bool:
        """An instance of (study, series) came, or was cut off: whether `series` is different now."""
        key = (study, series)
        if key == self._last:
            return False
        before = self.series
        if key in self._seen and self._last is not None:
            self._mixed |= {key, self._last}
        self._last = key
        self._seen[key] = None
        if len(self._seen) > _MOST:
            self._seen.pop(next(iter(self._seen)))
        return self.series != before

    @property
    def series(self) -> list[tuple[str, str]]:
        """(Study, series) of each."""
        return sorted(self._mixed | ({self._last} if self._last is not None else set()))
