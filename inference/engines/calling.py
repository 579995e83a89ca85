"""How an application runs a model over an image: in tiles, or whole, as the model's entry in the repository says."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from inference.engines.errors import NotFinite, WrongTensors
from inference.engines.port import Call, ModelRef, Tensors, Tiles, WholeImage
from inference.engines.tiling import Array, Floats, infer_tiled

_INFINITE, _NEGATIVE = 0x7C00, 0x8000
"""The bits of infinity in 16 bits, and of the sign."""


def run(
    infer: Callable[[ModelRef, Tensors], Mapping[str, Array]],
    model: ModelRef,
    image: Array,
    *,
    input: str,
    output: str,
    by_default: Call,
    prepare: Callable[[Array], Array] | None = None,
    fill: float = 0.0,
    beside: Mapping[str, Array] | None = None,
    sigma: float | None = None,
    least: float = 0.0,
    finish: Callable[[Floats], Array] | None = None,
) -> Array:
    """What a model says of an image, whichever way the repository wants it called.

    Parameters
    ----------
    infer
        As an application gets it.
    image
        (C, …), best as it is stored (int16): it goes over the wire like that where the entry names a model that prepares by itself.
    by_default
        How the model is called when its entry says nothing.
    prepare
        What the model itself takes, made of windows (N, C, …) voxel by voxel; not applied for a model that takes its place.
    beside
        What a model that takes its place needs besides, such as slope and intercept; without the batch axis.
    fill, sigma, least, finish
        As for `infer_tiled`. A whole image is not filled up.

    Returns
    -------
    numpy.ndarray
        (channels, …) float32, or what `finish` makes of it. An ensemble may finish by itself: integers are taken as they are,
        (…) or (1, …).

    Raises
    ------
    WrongTensors
        The answer is not on the image's grid.
    """
    how = call_of(infer, model) or by_default
    if how.model is None:
        beside = None
    else:
        model, prepare = how.model, None
    if isinstance(how, Tiles):
        return infer_tiled(
            infer,
            model,
            image,
            input=input,
            output=output,
            window=how.window,
            overlap=how.overlap,
            batch=how.batch,
            fill=fill,
            beside=beside,
            sigma=sigma,
            least=least,
            prepare=prepare,
            finish=finish,
        )
    whole = image[None] if prepare is None else prepare(image[None])
    answer = infer(model, {input: whole, **{name: array[None] for name, array in (beside or {}).items()}})[output]
    return _finished(model, output, answer, image.shape[1:], finish)


class FiniteOutputs(Mapping[str, Array]):
    """What a model gives, by name. An output with a value that is no number, or infinite, is refused where it is read: which of them an
    application goes by, nobody declares, and in one that it never reads (a mask with minus infinity, boxes that fill a list up) such values
    do no harm."""

    def __init__(self, model: ModelRef, outputs: Mapping[str, Array]) -> None:
        self._model = model
        self._outputs = outputs

    def __getitem__(self, output: str) -> Array:
        """One of them.

        Raises
        ------
        NotFinite
        """
        values = self._outputs[output]
        refuse_not_finite(self._model, values, output)
        return values

    def __contains__(self, output: object) -> bool:
        # whoever asks whether there is one does not read it
        return output in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)


def refuse_not_finite(model: ModelRef, values: Array, output: str = "") -> None:
    """Refuse what a model gives where any of it is no number, or infinite: of such values no comparison holds, and nothing would be found.

    Raises
    ------
    NotFinite
    """
    if values.dtype.kind == "f" and values.size and not _all_finite(values):
        where = f', in its output "{output}"' if output else ""
        raise NotFinite(f'model "{model.name}" gives values that are no numbers, or are infinite{where}')


def _all_finite(values: Array) -> bool:
    """Whether all are numbers, found without memory beside them."""
    if values.dtype == np.float16:
        # numpy compares these one by one; as whole numbers infinity and NaN are the largest of either sign (IEEE 754-2008 3.4)
        return bool(values.view(np.int16).max() < _INFINITE and values.view(np.uint16).max() < _INFINITE + _NEGATIVE)
    # the least and the largest are numbers where all are
    return bool(np.isfinite(values.min()) and np.isfinite(values.max()))


def call_of(infer: Callable[..., Any], model: ModelRef) -> Call | None:
    """How the repository wants a model called; None where its entry, or what an application was given as `infer`, does not say."""
    ask: Callable[[ModelRef], Call | None] | None = getattr(infer, "call_of", None)
    return None if ask is None else ask(model)


def room_of(infer: Callable[..., Any], model: ModelRef) -> int | None:
    """Bytes that one call of a model may take on this machine; None where another computes, or what was given as `infer` does not say."""
    ask: Callable[[ModelRef], int | None] | None = getattr(infer, "room_of", None)
    return None if ask is None else ask(model)


def with_places_taken(calls: Mapping[ModelRef, Call | None]) -> tuple[ModelRef, ...]:
    """All that an application may call: its models, and those that take their places by the repository's word."""
    others = (call.model for call in calls.values() if call is not None and call.model is not None)
    return tuple(dict.fromkeys((*calls, *others)))


def call_to_json(call: Call) -> dict[str, Any]:
    """The `call` of an entry: {"kind": "tiles", "window": …, "overlap": …, "batch": …} or {"kind": "whole"}, and "model" and "version", and
    "within": [[least, most], …]."""
    fields: dict[str, Any] = {"kind": "whole"}
    if isinstance(call, Tiles):
        fields = {"kind": "tiles", "window": list(call.window), "overlap": call.overlap, "batch": call.batch}
    if call.model is not None:
        fields |= {"model": call.model.name, "version": call.model.version}
    if call.within is not None:
        fields["within"] = [list(bounds) for bounds in call.within]
    return fields


def call_from_json(fields: dict[str, Any]) -> Call:
    """`call_to_json` the other way; KeyError, TypeError or ValueError where it is not one."""
    given = dict(fields)
    kind, name, version = given.pop("kind"), given.pop("model", None), int(given.pop("version", 1))
    model = None if name is None else ModelRef(name=str(name), version=version)
    ranges = given.pop("within", None)
    within = None if ranges is None else tuple((float(least), float(most)) for least, most in ranges)
    if kind == "whole":
        return WholeImage(model=model, within=within, **given)
    if kind != "tiles":
        raise ValueError(f'kind is "{kind}"; there are tiles and whole')
    window = tuple(int(side) for side in given.pop("window"))
    overlap, batch = float(given.pop("overlap", 0.5)), int(given.pop("batch", 1))
    tiles = Tiles(window=window, overlap=overlap, batch=batch, model=model, within=within, **given)
    if not window or min(*window, tiles.batch, 1) < 1 or not 0 <= tiles.overlap < 1:
        raise ValueError(f"{fields} are no tiles: sides and batch are at least 1, overlap is from 0 to below 1")
    return tiles


def _finished(model: ModelRef, output: str, answer: Array, shape: tuple[int, ...], finish: Callable[[Floats], Array] | None) -> Array:
    values = answer[0]
    if values.dtype.kind == "f":
        blended = values.astype(np.float32, copy=False)
        finished = blended if finish is None else finish(blended)
    else:
        finished = values[0] if values.ndim == len(shape) + 1 and values.shape[0] == 1 else values
    if answer.shape[0] != 1 or finished.shape[finished.ndim - len(shape) :] != shape:
        raise WrongTensors(f'model "{model.name}": output {output} has shape {answer.shape} for a whole image of {shape}')
    return finished
