"""Drawn photographs of a fundus, and networks that know their colours, for where no published one is needed."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.fundus_vessels.reading import VESSELS
from inference.engines.port import ModelRef, Tensors

GROUND, FUNDUS, ARTERY, VEIN = (3, 2, 2), (190, 90, 40), (150, 30, 20), (150, 30, 120)


def drawn(side: int = 600, *, vessels: int = 3) -> NDArray[np.uint8]:
    """A fundus: a disc of radius 0.48 on a dark ground with noise, horizontal arteries above its middle and veins below."""
    rows, columns = np.mgrid[:side, :side] + 0.5 - side / 2
    picture = np.full((side, side, 3), GROUND, dtype=np.uint8)
    disc = rows**2 + columns**2 < (0.48 * side) ** 2
    picture[disc] = FUNDUS
    for number in range(vessels):
        for colour, sign in ((ARTERY, -1), (VEIN, 1)):
            at = sign * (0.08 + 0.1 * number) * side
            picture[(np.abs(rows - at) < 0.012 * side) & (np.abs(columns) < 0.3 * side)] = colour
    noise = np.random.default_rng(1).integers(0, 4, picture.shape, dtype=np.uint8)
    return picture + noise


def by_colour(model: ModelRef, tensors: Tensors) -> dict[str, NDArray[Any]]:
    """Networks that know the drawn colours: what lacks green is vessel, the bluer of it vein."""
    red, green, blue = tensors["IMAGE"][0] * 255
    vessel = (green < 60) & (red > 140)
    if model == VESSELS:
        return {"LOGITS": np.where(vessel, 6, -6).astype(np.float32)[None, None]}
    logits = np.zeros((1, 4, *red.shape), dtype=np.float32)
    logits[0, 0] = 3
    logits[0, 2][vessel & (blue < 60)] = 9
    logits[0, 3][vessel & (blue >= 60)] = 9
    return {"LOGITS": logits}
