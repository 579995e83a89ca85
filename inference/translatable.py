"""Sentences for people as a template and its values, so that whoever shows them can say the same in another language.

A sentence is a text in English to whoever reads it. Which template it was made from, and with which values, goes with it into the findings
of a job: translated is from these, never from the text. The template is its own name; translations stand where sentences are shown.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from inference.codes import Code

Value: TypeAlias = "str | Code | tuple[Translatable, ...]"
"""What stands in a sentence: text that is the same in all languages (a number, a name, a header's word), a concept, another sentence, or
several of those, in a row."""


class Translatable(str):
    """A sentence, or a part of one, in English; equal to the text that it reads as.

    Attributes
    ----------
    template
        The English sentence with the names of its values in braces.
    values
        By name; a value that the English sentence does not need may be one that another language does.
    """

    template: str
    values: Mapping[str, Value]

    def __new__(cls, template: str, values: Mapping[str, Value]) -> "Translatable":
        """The sentence in English."""
        made = super().__new__(cls, template.format(**{name: _english(value) for name, value in values.items()}))
        made.template, made.values = template, dict(values)
        return made

    def __reduce__(self) -> tuple[type["Translatable"], tuple[str, Mapping[str, Value]]]:
        """Processes hand findings to each other."""
        return type(self), (self.template, self.values)


class OfTheWhole(Translatable):
    """A sentence that holds only where all images of a series came: what is found nowhere in them, how much there is in all, and what is
    recommended for that. It is kept as any other."""


def say(template: str, /, **values: Value) -> Translatable:
    """A sentence of a template, which is written where it is called: a test reads the source for what has no translation."""
    return Translatable(template, values)


def of_the_whole(said: Translatable) -> OfTheWhole:
    """The same sentence, which is not said of a series that is known to be short."""
    return OfTheWhole(said.template, said.values)


def listed(words: Sequence[Translatable]) -> Translatable:
    """One, "a and b", or "a, b and c"."""
    return words[0] if len(words) == 1 else say("{several} and {last}", several=_before(words[:-1]), last=words[-1])


def _before(words: Sequence[Translatable]) -> Translatable:
    return words[0] if len(words) == 1 else say("{several}, {last}", several=_before(words[:-1]), last=words[-1])


LABEL = "{label}"


def labelled(label: str, what: Code, laterality: Code | None) -> Translatable:
    """A structure by its label, which another language says by its codes."""
    return say(LABEL, label=label, what=what, laterality=laterality or "")


def _english(value: Value) -> str:
    if isinstance(value, Code):
        return value.meaning.lower()
    return "; ".join(value) if isinstance(value, tuple) else value
