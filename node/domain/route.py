"""Routes: which series get which applications, and where results go; decisions keep their reasons, condition by condition."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, TypeAlias, Union
from zoneinfo import ZoneInfo

from node.domain.arrival import Arrival
from node.domain.instance import Instance, Value
from node.domain.job import Demand, Job, Priority, WhenExcluded
from node.domain.profile import Profile
from node.domain.shortage import WhenShort


class ConditionOperator(StrEnum):
    """What a condition asks of a keyword's values."""

    EQUALS = "equals"  # some value equals the expected one (or one of `in`)
    MATCHES = "matches"  # some value is found by the regular expression
    MIN = "min"
    MAX = "max"
    EXISTS = "exists"  # present with a value (True), or not (False)
    WITHIN = "within"  # a DA value lies within this duration before now
    BETWEEN = "between"  # a TM value lies from the first time of the day until before the second, over midnight where that is earlier
    WEEKDAY = "weekday"  # a DA value is one of these days


WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Derived(StrEnum):
    """What conditions ask beside keywords; node.routing.conditions says how it is taken from which."""

    AGE = "age"
    PLANE = "plane"
    CONTRAST = "contrast"


DERIVED: Final[Mapping[str, tuple[str, ...]]] = {
    Derived.AGE: ("PatientAge", "PatientBirthDate", "StudyDate"),
    Derived.PLANE: ("ImageOrientationPatient",),
    Derived.CONTRAST: ("ContrastBolusAgent", "ContrastBolusAgentSequence", "SeriesDescription", "ProtocolName", "StudyDescription"),
}
"""The keywords that each is taken from."""


class _Hashed:
    """A noun that remembers its hash, which whoever remembers answers by it asks for each time; a pickle leaves it out, for the hash of a
    text is another one in each process."""

    __slots__ = ("_hash",)
    _hash: int

    def _remember(self, value: int) -> int:
        object.__setattr__(self, "_hash", value)
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition(_Hashed):
    """One condition on one DICOM keyword, or on what is derived of some; `negated` turns it around. A keyword that is absent holds no
    condition but EXISTS False and the negated ones. Of an age, `expected` has about how many days it is, and its text."""

    keyword: str
    operator: ConditionOperator
    expected: tuple[Value, ...]
    negated: bool = False

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            return self._remember(hash((self.keyword, self.operator, self.expected, self.negated)))

    @property
    def reads(self) -> tuple[str, ...]:
        """The keywords of a header that it looks at."""
        return DERIVED.get(self.keyword, (self.keyword,))


class Junction(StrEnum):
    """How the entries of a block of conditions hold together; the words of the configuration."""

    ANY = "any_of"  # at least one of them holds
    ALL = "all_of"  # each of them does
    NONE = "none_of"  # not one of them does


@dataclass(frozen=True, slots=True, kw_only=True)
class ConditionBlock(_Hashed):
    """Several entries under one junction; an entry holds where all of its conditions do. `definition` is what the operator calls the
    conditions of its one entry, all of which hold; "" of a block that stands where it is asked."""

    junction: Junction
    entries: tuple[tuple["Asked", ...], ...]
    definition: str = ""

    def __hash__(self) -> int:
        try:
            return self._hash
        except AttributeError:
            return self._remember(hash((self.junction, self.entries, self.definition)))


Asked: TypeAlias = Union[Condition, ConditionBlock]  # noqa: UP007 - of a name that stands in quotes above
"""What is asked of a series: one keyword, or several conditions together."""


def definitions_in(asked: Iterable[Asked]) -> Iterator[str]:
    """What the operator calls the conditions that are asked by a name, also those in blocks."""
    for one in asked:
        if isinstance(one, ConditionBlock):
            if one.definition:
                yield one.definition
            for entry in one.entries:
                yield from definitions_in(entry)


def conditions_in(asked: Iterable[Asked]) -> Iterator[Condition]:
    """Every condition, also those in blocks."""
    for one in asked:
        if isinstance(one, Condition):
            yield one
        else:
            for entry in one.entries:
                yield from conditions_in(entry)


class Preferred(StrEnum):
    """By what one series comes before another, beside conditions that it holds and the other does not."""

    THINNEST = "thinnest"
    MOST_IMAGES = "most images"
    NEWEST = "newest"


Preference: TypeAlias = Preferred | tuple[Asked, ...]


class Otherwise(StrEnum):
    """What becomes of a route when a series that it needs did not come in time."""

    IGNORE = "ignore"  # the route does not run; the decision keeps the reason
    PROCEED = "proceed"  # it runs without
    PARK = "park"  # its jobs are parked: a person decides


@dataclass(frozen=True, slots=True, kw_only=True)
class NeededSeries:
    """A series that some series of the study has to be, for all of `when`; `name` is what the operator calls it."""

    name: str
    when: tuple[Asked, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What else the study must hold before a route runs. It waits `within` after the last instance of the series that it takes."""

    series: tuple[NeededSeries, ...]
    within: timedelta
    otherwise: Otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleConditions:
    """Which series fills a role of the application: one for which all of `when` hold; a prior is at most `within` older, where that is
    said. `place` is where it stands in the file."""

    name: str
    when: tuple[Asked, ...] = ()
    within: timedelta | None = None
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinnedVersion:
    """The version of an application that a route asks for: `1.2` is each that begins so. `place` is where it stands in the file."""

    application: str
    version: str
    place: str = field(default="", compare=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """From the first time of the day (HH:MM) of `between` until before the second, over midnight where that is earlier, on these
    `weekdays`: over midnight that on which it began. None and () are any."""

    between: tuple[str, str] | None = None
    weekdays: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Hours:
    """When studies come: in one of `windows`, by the clock of `zone`."""

    windows: tuple[Window, ...]
    zone: ZoneInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One entry of `routes:`. Empty `peers` or `called` take any. `each` runs the applications on every series that fits, else on
    the best one (most instances per application's acceptance, then thinnest slices, then lowest series number). Results should be there
    within `deadline` of the moment at which the study was complete. All of `any_series` hold for at least one series of the study,
    whichever it is, all of `all_series` for each that holds images. `short` and `longest` say what it does with a series that is known
    to be short; None: what the peer's say. `parks_excluded`: its job on a series that the application excludes waits for a person. With
    `expect` the reader of each study that comes from its senders, and for which `any_series` and `all_series` hold, is told where no
    series was taken. `prefer` says, in its order, by what a series is the best, before what says so of every route. `sample` is the share
    of studies that it is about, above 0 and at most 1; one that is `disabled` is about none. A `fallback` takes only series of which no
    other route makes anything. Of all routes with one `choose` one takes one series of a study. It is
    about studies that come in its `hours`; None: at any time. `roles` say which series of the study fills
    which role of the one application that it then runs; `needs` how long it waits for them. `pinned` are the versions of those
    applications of `run` of which it asks one; with `accepted` it asks that each be accepted here. Its sinks get results as `profile` says;
    None: each as its own."""

    name: str
    peers: tuple[str, ...] = ()
    called: tuple[str, ...] = ()
    when: tuple[Asked, ...] = ()
    any_series: tuple[Asked, ...] = ()
    all_series: tuple[Asked, ...] = ()
    needs: Needs | None = None
    run: tuple[str, ...] = ()
    priority: Priority = Priority.ROUTINE
    send: tuple[str, ...] = ()
    each: bool = False
    deadline: timedelta | None = None
    short: WhenShort | None = None
    longest: timedelta | None = None
    parks_excluded: bool = False
    expect: bool = False
    prefer: tuple[Preference, ...] = ()
    sample: float = 1.0
    disabled: bool = False
    fallback: bool = False
    choose: str = ""
    hours: Hours | None = None
    roles: tuple[RoleConditions, ...] = ()
    pinned: tuple[PinnedVersion, ...] = ()
    accepted: bool = False
    profile: Profile | None = None

    @property
    def when_excluded(self) -> WhenExcluded:
        """What becomes of its job on a series that the application excludes: who expects a result is told at least."""
        return WhenExcluded.PARK if self.parks_excluded else WhenExcluded.TELL if self.expect else WhenExcluded.IGNORE

    def demand(self, application: str) -> Demand:
        """What it asks of an application of `run`."""
        version = next((one.version for one in self.pinned if one.application == application), "")
        return Demand(version=version, accepted=self.accepted)

    @property
    def asked(self) -> tuple[Asked, ...]:
        """All that it asks of series: of its own, of any and all of the study, of those that it needs, prefers and gives roles."""
        needed = [one for series in (self.needs.series if self.needs else ()) for one in series.when]
        preferred = [one for each in self.prefer if not isinstance(each, Preferred) for one in each]
        in_roles = [one for role in self.roles for one in role.when]
        return (*self.when, *self.any_series, *self.all_series, *needed, *preferred, *in_roles)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """One condition as it was tried on one series: what was expected, what was found, whether it held (None: headers do not tell).
    `application` is the one whose manifest asks; "" of a condition of the route. Of a block, `junction` says how its entries hold together,
    and `entries` has their conditions as each was tried; the key of one that the operator defined is its name."""

    key: str
    expected: str
    found: str
    held: bool | None
    application: str = ""
    junction: Junction | None = None
    entries: tuple[tuple["Tried", ...], ...] = ()

    @property
    def unmet(self) -> int:
        """How many conditions, at the fewest, kept it from holding; 0 where headers do not tell."""
        match self.junction:
            case None:
                return int(self.held is False)
            case Junction.ANY:
                return min(sum(one.unmet for one in entry) for entry in self.entries)
            case Junction.ALL:
                return sum(one.unmet for entry in self.entries for one in entry)
            case Junction.NONE:
                return sum(all(one.held for one in entry) for entry in self.entries)


class Withheld(StrEnum):
    """Why what a route asks for is not run on a series that it matched."""

    WAITS = "waits"  # for a series that it needs, or for the rest of one: what it came to was decided about a later revision
    PARKED = "parked"  # for a person: the study lacks a series that it needs, or no application of it is the one that it asks for


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What one route decided about one series. `matched` says the conditions held; `chosen` that this series was picked to run; `compares`
    are those applications of the route that then compare it with a prior, wherever there is one; `withheld` is why none runs for now;
    `lacks` says that the study had not all series that the route needs. `untaken` are those applications for which the route expects a
    series of the study in vain: the reader is told, and of its series this one came nearest. `slices` says that it was not picked itself,
    and is chosen with another slice of one subject over time."""

    route: str
    series_instance_uid: str
    matched: bool
    chosen: bool
    tried: Sequence[Tried]
    reason: str
    compares: tuple[str, ...] = ()
    withheld: Withheld | None = None
    lacks: bool = False
    untaken: tuple[str, ...] = ()
    slices: bool = False

    @property
    def refused(self) -> bool:
        """Whether no application of the route takes the series, by its headers."""
        answers = [one.held for one in self.tried if one.application]
        return bool(answers) and all(held is False for held in answers)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routed:
    """An arrival as it was routed last, and what there is of its study now.

    Attributes
    ----------
    at
        When it was routed.
    calling
        The calling AE title that its first instance came from.
    series
        Those of its manifest.
    decisions
        Those of which something came: a series was chosen or withheld, or the reader is told that none is taken.
    study, jobs
        What all arrivals of its study hold now, none that was replaced; and the study's jobs, without those that others took the place
        of, whichever arrival they are of. Headers hold what was asked for alone.
    forgotten
        Retention forgot headers of the study.
    """

    arrival: Arrival
    at: datetime
    config_digest: str
    calling: str
    series: frozenset[str]
    decisions: tuple[Decision, ...]
    study: tuple[Instance, ...]
    jobs: tuple[Job, ...]
    forgotten: bool
