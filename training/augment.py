"""Augmentations that recipes share, of MONAI's transforms; each example's is fixed by its seed."""

from collections.abc import Sequence

import numpy as np

from training.recipe import Augment, Example


def segmentation(mirrored: Sequence[int] = ()) -> Augment:
    """Small turns, scalings and shifts of image and labels together, then contrast, brightness and noise of the image.

    Parameters
    ----------
    mirrored
        Axes of the window along which an example's mirror image is as good.
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
                rotate_range=(0.2, 0.2, 0.2),
                scale_range=(0.1, 0.1, 0.1),
                translate_range=(3, 3, 3),
                mode=("bilinear", "nearest"),
                padding_mode="zeros",
            ),
            RandAdjustContrastd("image", prob=0.3, gamma=(0.7, 1.5), retain_stats=True),
            RandScaleIntensityd("image", factors=0.1, prob=0.3),
            RandGaussianNoised("image", prob=0.3, std=0.1),
        ]
    )

    def augment(example: Example, seed: int) -> Example:
        chain.set_random_state(seed=seed)
        made = chain({"image": example.image, "target": example.target.astype(np.float32)})
        return Example(image=np.asarray(made["image"], dtype=np.float32), target=np.asarray(made["target"]).round().astype(np.uint8))

    return augment


def radiograph() -> Augment:
    """Small turns, scalings and shifts of a small radiograph of 0 to 1, then its contrast; never mirrored: the heart is on the left."""
    from monai.transforms.compose import Compose
    from monai.transforms.intensity.array import RandAdjustContrast
    from monai.transforms.spatial.array import RandAffine

    chain = Compose(
        [
            RandAffine(
                prob=0.7,
                rotate_range=0.1,
                scale_range=(0.08, 0.08),
                translate_range=(1.5, 1.5),
                mode="bilinear",
                padding_mode="border",
            ),
            RandAdjustContrast(prob=0.5, gamma=(0.8, 1.25)),
        ]
    )

    def augment(example: Example, seed: int) -> Example:
        chain.set_random_state(seed=seed)
        return Example(image=np.asarray(chain(example.image), dtype=np.float32), target=example.target)

    return augment
