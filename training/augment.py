"""Augmentations that recipes share: parts cut out of images that are larger than the network's window, and MONAI's transforms.

Each example's is fixed by its seed.
"""

from collections.abc import Callable, Sequence

import numpy as np

from training.recipe import Augment, Example


def segmentation(mirrored: Sequence[int] = (), strength: float = 1.0) -> Augment:
    """Small turns, scalings and shifts of image and labels together, then contrast, brightness and noise of the image.

    Parameters
    ----------
    mirrored
        Axes of the window along which an example's mirror image is as good.
    strength
        Factor of all turns, scalings, shifts and changes of grey values; 0 leaves mirror images alone.
    """
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.dictionary import RandAdjustContrastd, RandGaussianNoised, RandScaleIntensityd
    from monai.transforms.spatial.dictionary import RandAffined, RandFlipd

    both = ("image", "target")
    chain = Compose(
        [
            *(RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in mirrored),
            RandAffined(
                both,
                prob=0.5,
                rotate_range=(0.2 * strength,) * 3,
                scale_range=(0.1 * strength,) * 3,
                translate_range=(3 * strength,) * 3,
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7**strength, 1.5**strength), retain_stats=True),
            RandScaleIntensityd("image", factors=0.1 * strength, prob=0.3),
            RandGaussianNoised("image", prob=0.3, std=0.1 * strength),
        ]
    )

    def augment(example: Example, seed: int) -> Example:
        chain.set_random_state(seed=seed)
        made = chain({"image": example.image, "target": example.target.astype(np.float32)})
        return Example(image=np.asarray(made["image"], dtype=np.float32), target=np.asarray(made["target"]).round().astype(np.uint8))

    return augment


def radiograph(scaled: float = 0.08, strength: float = 1.0, shifted: float = 1.5) -> Augment:
    """Small turns, scalings and shifts of a small radiograph of 0 to 1, then its contrast; never mirrored: the heart is on the left.

    Of images (C, …, Y, X), in the plane of the last two axes: whole slices move. By hand, since MONAI's transforms, which give the same
    pixels, keep account of patient coordinates, and take 28 times as long for 28 × 28 of them.

    `scaled` is by what share it may become larger or smaller; 0 where sizes are what is learned. `shifted` is by how many pixels it may
    move. `strength` is a factor of all of it.
    """
    from scipy.ndimage import affine_transform

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        image = example.image
        if rng.random() < 0.7:
            angle = 0.1 * strength * rng.uniform(-1, 1)
            scale, shift = 1 + scaled * strength * rng.uniform(-1, 1, 2), shifted * strength * rng.uniform(-1, 1, 2)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            middle = (np.array(image.shape[-2:]) - 1) / 2
            # where each pixel comes from
            back = turn * scale
            start = middle + turn @ shift - back @ middle
            planes = image.reshape(-1, *image.shape[-2:])
            moved = np.stack([affine_transform(plane, back, start, order=1, mode="nearest") for plane in planes])
            image = moved.reshape(image.shape)
        if rng.random() < 0.5:
            low, high = float(image.min()), float(image.max())
            if high > low:
                gamma = rng.uniform(0.8**strength, 1.25**strength)
                image = ((image - low) / (high - low)) ** gamma * (high - low) + low
        return Example(image=image.astype(np.float32), target=example.target)

    return augment


_LEFT = 0.4
"""Of a box, as a share of its area: with less of it in the image, it is no box any more."""


def boxed(strength: float = 1.0) -> Augment:
    """Scalings and shifts of a single image (C, Y, X) with its boxes, then its contrast and noise; never mirrored, as `radiograph`.

    Targets are boxes (M, 5): their class, -1 where there is none, then top, left, bottom, right in pixels.
    """
    from scipy.ndimage import affine_transform

    def augment(example: Example, seed: int) -> Example:
        rng = np.random.default_rng(seed)
        sides = np.array(example.image.shape[1:], dtype=np.float64)
        scale = np.exp(rng.uniform(-0.2, 0.2, 2) * strength)
        shift = rng.uniform(-0.1, 0.1, 2) * strength * sides
        # a pixel comes from where the inverse of the map takes its middle
        start = (0.5 - sides / 2 - shift) / scale + sides / 2 - 0.5
        image = np.stack([affine_transform(each, 1 / scale, start, order=1, mode="nearest") for each in example.image])
        gamma, noise = np.exp(rng.uniform(-0.3, 0.3) * strength), rng.uniform(0, 0.03) * strength
        image = np.clip(image, 0, None) ** gamma + noise * rng.standard_normal(image.shape)
        boxes = example.target.astype(np.float64)
        there = boxes[:, 0] >= 0
        moved = (boxes[:, 1:].reshape(-1, 2, 2) - sides / 2) * scale + sides / 2 + shift
        cut = np.clip(moved, 0, sides)
        left = np.prod(cut[:, 1] - cut[:, 0], axis=1) >= _LEFT * np.prod(moved[:, 1] - moved[:, 0], axis=1)
        target = np.where((there & left)[:, None], np.concatenate([boxes[:, :1], cut.reshape(-1, 4)], axis=1), -1)
        return Example(image=image.astype(np.float32), target=target.astype(np.float32))

    return augment


LABELLED_SHARE = 2 / 3
"""Of the parts, those that are cut around a labelled voxel: most of an image is background."""


def cut(example: Example, window: Sequence[int], seed: int) -> Example:
    """A window of an example, the same for the same seed; evenly filled up with zeros, as serving does, where the image is smaller."""
    rng = np.random.default_rng(seed)
    target = example.target[0]
    at = np.array([rng.integers(side) for side in target.shape])
    if rng.random() < LABELLED_SHARE:
        labels = np.flatnonzero(np.bincount(target.ravel(), minlength=2)[1:]) + 1
        if labels.size:
            places = np.flatnonzero(target == rng.choice(labels))
            at = np.array(np.unravel_index(int(rng.choice(places)), target.shape))
    image = np.zeros((example.image.shape[0], *window), dtype=np.float32)
    labelled = np.zeros((1, *window), dtype=np.uint8)
    here, there = [], []
    for place, side, length in zip(at.tolist(), window, target.shape, strict=True):
        # the voxel lies anywhere in the window: structures are not learned to be in its middle
        start = int(np.clip(place - rng.integers(side), 0, max(length - side, 0)))
        before = max(side - length, 0) // 2
        count = min(side, length)
        here.append(slice(before, before + count))
        there.append(slice(start, start + count))
    image[(slice(None), *here)] = example.image[(slice(None), *there)]
    labelled[(slice(None), *here)] = example.target[(slice(None), *there)]
    return Example(image=image, target=labelled)


ABSENT_SHARE = 0.25
"""How often an image that may be missing is left out of an example."""


def lacking(channels: Sequence[int], then: Callable[[], Augment]) -> Callable[[], Augment]:
    """An augmentation behind which each of `channels` is 0 everywhere now and then, as it is served where its series is not there."""

    def made() -> Augment:
        augment = then()

        def augmented(example: Example, seed: int) -> Example:
            changed = augment(example, seed)
            absent = np.random.default_rng((seed, len(channels))).random(len(channels)) < ABSENT_SHARE
            image = changed.image.copy()
            image[[channel for channel, gone in zip(channels, absent, strict=True) if gone]] = 0
            return Example(image=image, target=changed.target)

        return augmented if channels else augment

    return made


def cutting(window: Sequence[int], then: Callable[[], Augment]) -> Callable[[], Augment]:
    """An augmentation that cuts a window out first."""

    def made() -> Augment:
        augment = then()
        return lambda example, seed: augment(cut(example, window, seed), seed)

    return made
