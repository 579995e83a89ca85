"""What a kind of engine says of itself: one record, which the module `kind` of its folder exports as `KIND`.

To read a record imports no library that computes, and none that speaks to a server. Nor does it know in which form an operator writes
options: whoever reads a configuration makes its own of `Option`.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeAlias, TypeVar

if TYPE_CHECKING:
    from inference.engines.choosing import Tell
    from inference.engines.jail.model import Limits
    from inference.engines.port import Control, Engine


@dataclass(frozen=True, slots=True, kw_only=True)
class WholeNumber:
    """A whole number within bounds."""

    least: int
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """A number of bytes; in `Option.default` as people write it ("4GiB")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """True or false."""


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """The path of a file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneOf:
    """A word of an enum."""

    words: type[StrEnum]


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text. `parse` brings it into its one form, or raises ValueError with what is wrong; `pattern` is what it matches at least."""

    wants: str
    parse: Callable[[str], str]
    pattern: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Options that stand together under one name; `build` makes one value of theirs. Those of `together` are given all, or none."""

    options: "tuple[Option, ...]"
    build: Callable[..., Any]
    together: tuple[str, ...] = ()


Takes: TypeAlias = WholeNumber | Size | Switch | File | OneOf | Text | Group


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One thing that an operator may say to an engine: what it takes, a sentence on what it does, its default as people write it.

    `example` is what the message shows that misses a required one.
    """

    name: str
    takes: Takes
    says: str
    default: str | None = None
    required: bool = False
    example: str = ""


class Options(Protocol):
    """What an operator said to one engine. Each kind has a frozen class of its own, beside its record."""

    @property
    def kind(self) -> str:
        """The kind's name."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """What an engine is opened with beside its options: the folder of the model repository, how many processes of the node compute on
    this machine, and who is told when a model is computed in another way than its entry names."""

    repository: Path
    workers: int
    tell: "Tell"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remark:
    """What `hilum doctor` says of an engine that answers: `fix` is what to do about a warning."""

    level: Literal["good", "warning"]
    detail: str
    fix: str = ""


OptionsT = TypeVar("OptionsT", bound=Options)


def _nothing_wrong(options: Any, given: Collection[str]) -> None:
    return None


def _no_remarks(options: Any, engine: "Engine") -> Iterable[Remark]:
    return ()


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineKind(Generic[OptionsT]):
    """All that is asked of a kind of engine; `inference.engines.kinds` lists the records.

    Attributes
    ----------
    name
        What an operator calls it.
    says
        What such an engine does, as the end of a sentence that begins with its name.
    takes
        Its options; a name that two kinds share is refused.
    options
        Makes what was said to one engine from a value for each of `takes`; all of them have defaults, unless they are required.
    open
        Makes the engine; computes and sends nothing yet.
    where
        Where its models are computed, for people.
    mend
        What an operator does when an engine of this kind is not ready.
    check
        What only several options together show to be wrong: the option to blame and what is wrong, or None. `given` are the names of
        those that the operator wrote.
    lacks
        Why it has no such option, by the names of other kinds' options; of those that do not stand here it is said whose they are.
    limits
        What the process of one model may take, of a kind that computes in processes of the node's own on this machine, for so many
        workers. None: a server computes, which all work processes share.
    control
        What loads and unloads models where a server holds them, by the node's copy of the repository. None: nothing does.
    remarks
        What doctor says of an engine that answers, beside that it does.
    """

    name: str
    says: str
    takes: tuple[Option, ...]
    options: Callable[..., OptionsT]
    open: "Callable[[OptionsT, Opening], Engine]"
    where: Callable[[OptionsT], str]
    mend: Callable[[OptionsT], str]
    check: Callable[[OptionsT, Collection[str]], tuple[str, str] | None] = _nothing_wrong
    lacks: Mapping[str, str] = field(default_factory=dict)
    limits: "Callable[[OptionsT, int], Limits] | None" = None
    control: "Callable[[OptionsT, Path], Control] | None" = None
    remarks: "Callable[[OptionsT, Engine], Iterable[Remark]]" = _no_remarks

    @property
    def local(self) -> bool:
        """Whether models are computed in processes of the node's own on this machine."""
        return self.limits is not None
