"""`engines:` what runs models. Which kinds there are, and what each is told, stands in their records (`inference.engines.kinds`); here it
becomes keys of hilum.yaml."""

from collections.abc import Mapping, Sequence
from typing import Any

from inference.engines import kind as declared
from inference.engines.kind import EngineKind, Group, Option, Takes
from inference.engines.kinds import DEFAULT, KINDS
from node.settings.blocks import Block, Key, Named, Nodes, Values
from node.settings.config import EngineSettings
from node.settings.kinds import SIZE, SWITCH, Choice, FilePath, Scalar, ValueKind, whole
from node.settings.source import BadValue, Here, MissingKey


def _kind_of(takes: Takes) -> ValueKind[Any]:
    """How a value of an option is written in YAML."""
    match takes:
        case declared.WholeNumber(least=least, most=most):
            return whole(least, most)
        case declared.Size():
            return SIZE
        case declared.Switch():
            return SWITCH
        case declared.File():
            return FilePath()
        case declared.OneOf(words=words):
            return Choice(of=words)
        case declared.Text(wants=wants, parse=parse, pattern=pattern):
            return Scalar(wants=wants, parse=parse, form={"type": "string", "pattern": pattern})
        case Group():
            return _block_of(takes)


def _block_of(group: Group) -> Block[Any]:
    def check(values: Values, nodes: Nodes, here: Here) -> None:
        for one in group.together:
            for other in group.together:
                if values[one] is not None and values[other] is None:
                    raise here.refuse(MissingKey, nodes[one], f'a "{one}" needs the "{other}" that belongs to it')

    return Block(build=group.build, check=check, keys=tuple(_key(option, option.says) for option in group.options))


def _key(option: Option, says: str) -> Key:
    return Key(name=option.name, kind=_kind_of(option.takes), default=option.default, says=says)


def engines_of(kinds: Sequence[EngineKind[Any]], default: EngineKind[Any]) -> Named[EngineSettings]:
    """The block `engines:` for these kinds, each key of which belongs to one kind; an engine without `kind:` is of kind `default`.

    Raises
    ------
    ValueError
        Two of them are called the same, or have an option of the same name.
    """
    by_name = {kind.name: kind for kind in kinds}
    which = Key(
        name="kind",
        kind=Choice(of=tuple(by_name)),
        default=default.name,
        says=f"{'; '.join(f'`{kind.name}` {kind.says}' for kind in kinds)}.",
    )
    keys = (which, *(_key(option, f"Kind {kind.name}: {option.says}") for kind in kinds for option in kind.takes))
    if len(by_name) < len(kinds) or len({key.name for key in keys}) < len(keys):
        raise ValueError(f"kinds of engines that share a name, or the name of an option: {', '.join(key.name for key in keys)}")

    def options_of(kind: EngineKind[Any], values: Mapping[str, Any]) -> Any:
        return kind.options(**{option.name: values[option.name] for option in kind.takes})

    def check(values: Values, nodes: Nodes, here: Here) -> None:
        chosen = by_name[values["kind"]]
        for kind in kinds:
            for option in kind.takes:
                if kind is not chosen and option.name in nodes:
                    why = chosen.lacks.get(option.name, f"that belongs to kind {kind.name}")
                    what = f'an engine of kind {chosen.name} has no "{option.name}"; {why}'
                    raise here.refuse(BadValue, nodes[option.name], what)
        for option in chosen.takes:
            if option.required and values[option.name] is None:
                what = f'an engine of kind {chosen.name} needs the key "{option.name}": {option.example}'
                raise here.refuse(MissingKey, nodes["kind"], what)
        if (wrong := chosen.check(options_of(chosen, values), nodes.keys())) is not None:
            at, what = wrong
            raise here.refuse(BadValue, nodes[at], what)

    def build(*, name: str, kind: str, **values: Any) -> EngineSettings:
        return EngineSettings(name=name, options=options_of(by_name[kind], values))

    return Named(noun="engine", of=Block(build=build, check=check, keys=keys))


ENGINES = engines_of(KINDS, DEFAULT)
