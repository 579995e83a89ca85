"""End-diastole and end-systole on short-axis cine MR: a small network of frames with a recurrent head, on cines made of drawn phases."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from inference.applications.cardiac_phase.application import APPLICATION, COARSER, MODEL, SIDE, SLICES_A_CALL, pooled
from inference.applications.left_ventricle.preparing import WINDOW, normalised, prepare
from inference.imaging.subject import Phases
from training.data.cases import ByPatient
from training.data.made_cines import FRAMES, made_beat, made_cines, made_slice
from training.networks.periodic import BeatPhases, phases_loss
from training.recipe import Augment, DataTerms, Example, Schedule
from training.recipes.left_ventricle import Grown
from training.synopsis import FullRun
from training.tasks.key_phases import NEARNESS, KeyPhases

CHANNELS, HIDDEN = (8, 16, 32, 32), 24
AROUND = (176, 176)
"""Pixels of what is learned from, of which windows are cut."""
TURNED_DEGREES, LARGER, ASIDE_PX = 30.0, 1.25, 14
"""At most; as served, a short axis lies as scanners show it."""
FAR_SHARE, FAR_PX = 0.05, 60
"""Of the windows, those that lie far off: most of such a one has no heart."""
LEAST_PX = 20
"""Of a cavity that is taken for one by its brightness."""


def example(drawn: Any) -> Example:
    """Of a `DrawnBeat`: the slices that were drawn at both phases, (2, Z, *AROUND), by the serving code, and what was drawn."""
    labelled = drawn.drawn
    there = labelled.drawn.all(axis=0)
    prepared = prepare(labelled.phases, AROUND)
    truth = np.stack([prepared.onto(one) for one in labelled.labels])
    return Example(image=prepared.images[:, there], target=truth[:, there])


def one_cine() -> Augment:
    """Cut a window out of one slice at both phases, alike turned, scaled and moved, and make a beat of it, as the network sees it."""

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        at = int(rng.integers(example.image.shape[1]))
        images, labels = _window(example.image[:, at], example.target[:, at], rng)
        beat = made_beat(FRAMES, rng)
        frames, _ = made_slice(images, labels, beat, rng, COARSER)
        return Example(image=normalised(frames)[None], target=beat.shares())

    return augment


def _window(images: NDArray[np.float32], labels: NDArray[Any], rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
    """Both phases (2, Y, X) as (2, SIDE, SIDE)."""
    from scipy.ndimage import map_coordinates

    angle, scale = np.radians(rng.uniform(-1, 1) * TURNED_DEGREES), LARGER ** rng.uniform(-1, 1)
    reach = FAR_PX if rng.random() < FAR_SHARE else ASIDE_PX
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) / scale
    middle = (np.array(images.shape[1:]) - 1) / 2 + rng.uniform(-reach, reach, 2)
    places = np.mgrid[: WINDOW[0], : WINDOW[1]].reshape(2, -1) - (np.array(WINDOW)[:, None] - 1) / 2
    at = turn @ places + middle[:, None]
    cut = np.stack([map_coordinates(each, at, order=1, mode="nearest").reshape(WINDOW) for each in images]).astype(np.float32)
    drawn = np.stack([map_coordinates((each > 0).astype(np.float32), at, order=1).reshape(WINDOW) for each in labels])
    parts = drawn.reshape(2, SIDE, COARSER, SIDE, COARSER).mean(axis=(2, 4))
    return pooled(cut), (parts > 0.5).astype(np.uint8)


def bright_areas(phases: Phases) -> NDArray[np.float64]:
    """Pixels in each phase, (T,), of what is bright in the middle of the slices, by Otsu's threshold and region growing."""
    grown = Grown(least_px=LEAST_PX)
    images = prepare(phases).images
    return np.array(
        [np.count_nonzero(grown(MODEL, {"INPUT__0": one[:, None]})["OUTPUT__0"].argmax(axis=1)) for one in images], dtype=np.float64
    )


RECIPE = KeyPhases(
    name="cardiac-phase",
    title="End-diastole and end-systole on short-axis cine MR",
    application=APPLICATION,
    model=MODEL,
    window=(FRAMES, SIDE, SIDE),
    channels=2,
    sides=ByPatient(made_cines),
    example=example,
    network=partial(BeatPhases, SIDE, CHANNELS, HIDDEN),
    loss=phases_loss,
    augment=one_cine,
    areas=bright_areas,
    area_rule="largest and smallest area by threshold and region growing",
    at_once=SLICES_A_CALL,
    watched=NEARNESS,
    averaged=0.98,
    schedule=Schedule(epochs=14, batch=16, learning_rate=4e-3, patience=14),
    data=DataTerms(
        name="Cines made of the Sunnybrook Cardiac Data: 30 patients, slices drawn at end-diastole and end-systole",
        licence="CC0-1.0",
        attribution="Sunnybrook Health Sciences Centre (Radau and others 2009), as packed by github:mshunshin/SegNetCMR",
        split="by patient",
    ),
    draws=8,
    full_run=FullRun(
        wants="drawn slices of the Sunnybrook data: DIR/images/PATIENT_NNNN.png and DIR/labels/PATIENT_NNNN.png; cines are made of them",
        time="195 s of one core",
        figure="both phases within 1 of 20 frames 0.944 (0.833 to 1.000), 18 made cines of 6 people; threshold 0.111, true outlines 0.833",
    ),
)
