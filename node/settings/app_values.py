"""The kinds of values that app.yaml holds beyond those of hilum.yaml: codes, lengths, rows of numbers, labels, axes, the model's file."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml.nodes import Node, ScalarNode

from inference.applications.bundle.declaring import SAFETENSORS
from inference.applications.manifest import is_label
from inference.codes import Code
from inference.engines.file_import import SUFFIXES
from node.settings.blocks import pairs
from node.settings.kinds import Scalar, Schema, whole
from node.settings.source import BadValue, Here, Refused, UnknownName, kind_of, scalar_text, suggestion

_MOST_SIDE = 1024
MOST_CHANNELS = 1000


def _code(text: str) -> Code:
    parts = [part.strip() for part in text.split(":", 2)]
    if (
        len(parts) != 3
        or not all(parts)
        or not re.fullmatch(r"[A-Za-z0-9_]{1,16}", parts[0])
        or len(parts[1]) > 16
        or not is_label(parts[2])
    ):
        raise ValueError(f'"{text}" is no code; write SCHEME:VALUE:MEANING, such as SCT:10200004:Liver')
    return Code(parts[1], parts[0], parts[2])


def number_between(least: float, most: float, wants: str) -> Scalar[float]:
    def parsed(text: str) -> float:
        try:
            value = float(text)
        except ValueError as unfit:
            raise ValueError(f'"{text}" is no number; {wants} belongs here') from unfit
        if not math.isfinite(value) or not least <= value <= most:
            raise ValueError(f'"{text}" is not {wants}')
        return value

    return Scalar(wants=wants, parse=parsed, form={"type": "number", "minimum": least, "maximum": most}, plain=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class NumberRow:
    """A list of so many numbers, which may be equal."""

    of: Scalar[Any]
    count: int
    wants: str

    def read(self, at: Node, here: Here) -> tuple[Any, ...]:
        if not isinstance(at.value, list) or kind_of(at) != "a list" or len(at.value) != self.count:
            raise here.refuse(BadValue, at, f"not {self.count} numbers; write {self.wants}")
        return tuple(self.of.read(one, here) for one in at.value)

    def schema(self) -> Schema:
        return {"type": "array", "items": self.of.schema(), "minItems": self.count, "maxItems": self.count}


def text_that(what: str, fits: Any) -> Scalar[str]:
    def parsed(text: str) -> str:
        if not fits(text):
            raise ValueError(f'"{text}" is not {what}')
        return text

    return Scalar(wants=what, parse=parsed, form={"type": "string", "minLength": 1})


def _rgb(text: str) -> tuple[int, int, int]:
    if not re.fullmatch(r"#[0-9A-Fa-f]{6}", text):
        raise ValueError(f'"{text}" is no colour; write #RRGGBB in quotes, such as "#DD8265"')
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _axcodes(text: str) -> str:
    if sorted(text.translate(str.maketrans("RPI", "LAS"))) != ["A", "L", "S"]:
        raise ValueError(f'"{text}" is not one letter of each of L/R, P/A and S/I; most models of research take RAS')
    return text


class ModelFile:
    """The model's file; it lies in the folder of app.yaml."""

    wants = "the name of the model's file, beside app.yaml"

    def read(self, at: Node, here: Here) -> Path:
        text = scalar_text(at, here, self.wants)
        endings = (*SUFFIXES, SAFETENSORS)
        if Path(text).name != text or text.startswith("."):
            raise here.refuse(BadValue, at, f'"{text}" is no file of this folder; the model lies beside app.yaml')
        if Path(text).suffix.lower() not in endings:
            raise here.refuse(BadValue, at, f'"{text}" is none of {", ".join(endings)}')
        if not (here.folder / text).is_file():
            files = sorted(one.name for one in here.folder.iterdir() if one.suffix.lower() in endings)
            raise here.refuse(UnknownName, at, f'there is no "{text}" in this folder{suggestion(text, files)}')
        return here.folder / text

    def schema(self) -> Schema:
        return {"type": "string", "pattern": r"\.(onnx|pt2|pt|ts|pth|safetensors)$"}


class NetworkArguments:
    """Arguments of a network: numbers, words, lists and mappings of them."""

    wants = "a mapping: the network's arguments"

    def read(self, at: Node, here: Here) -> tuple[tuple[str, Any], ...]:
        found, sound = pairs(at, here, known=None)
        if not sound:
            raise Refused
        return tuple((name, _plain(value)) for name, (_, value) in found.items())

    def schema(self) -> Schema:
        return {"type": "object"}


def _plain(node: Node) -> Any:
    if kind_of(node) == "a mapping":
        return {str(key.value): _plain(value) for key, value in node.value}
    if kind_of(node) == "a list":
        return [_plain(one) for one in node.value]
    text = str(node.value)
    if isinstance(node, ScalarNode) and node.style is None:
        words = {"true": True, "false": False, "null": None, "~": None, "": None}
        if text in words:
            return words[text]
        for number in (int, float):
            try:
                return number(text)
            except ValueError:
                continue
    return text


CODE = Scalar(wants="a code SCHEME:VALUE:MEANING", parse=_code, form={"type": "string", "pattern": "^[^:]+:[^:]+:.+$"})
LABEL = text_that("a label of 1 to 64 characters without a backslash", is_label)
CHANNEL = whole(0, MOST_CHANNELS - 1)
MM = number_between(0.001, 10_000, "a length in mm, above 0")
PROBABILITY = number_between(0, 1, "a probability from 0 to 1")
ANY = number_between(-1e9, 1e9, "a number")
SIZES = NumberRow(of=whole(1, _MOST_SIDE), count=3, wants="three sides in voxels, such as [96, 96, 96]")
RANGE = NumberRow(of=ANY, count=2, wants="two numbers, such as [-100, 300]")
AXES = Scalar(wants="letters such as `RAS`", parse=_axcodes, form={"type": "string", "pattern": "^[LRAPSI]{3}$"})
COLOUR = Scalar(wants="a colour `#RRGGBB`", parse=_rgb, form={"type": "string", "pattern": "^#[0-9A-Fa-f]{6}$"})
