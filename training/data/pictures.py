"""Pictures as the single images that serving would be given: out of files of PNG, JPEG and the like, or out of arrays."""

import hashlib
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import DigitalXRayImageStorageForPresentation, SecondaryCaptureImageStorage

from inference.imaging.subject import Image, Images
from inference.imaging.volume import SliceSource
from training.errors import UnfitData

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"})
_GREY = frozenset({"1", "L", "I;16", "I;16L", "I;16B", "I", "F"})


def read_picture(file: Path, modality: str) -> Images:
    """A file as one image.

    Raises
    ------
    UnfitData
        As of `picture_in`.
    """
    try:
        with file.open("rb") as opened:
            return picture_in(opened, str(file), modality)
    except OSError as broken:
        raise UnfitData(f"{file} cannot be read as a picture: {broken}") from broken


def picture_in(held: IO[bytes], name: str, modality: str) -> Images:
    """What an open file holds as one image, upright as its EXIF says; grey where its three colours are alike. `name` is for people.

    Raises
    ------
    UnfitData
        It cannot be read, holds several pictures, or nothing in it tells one pixel from another.
    """
    from PIL import Image as Pillow
    from PIL import ImageOps

    try:
        with Pillow.open(held) as opened:
            if (count := getattr(opened, "n_frames", 1)) > 1:
                raise UnfitData(f"{name} holds {count} pictures: write each as a file of its own")
            upright = ImageOps.exif_transpose(opened)
            if upright.mode not in _GREY:
                upright = upright.convert("RGB")
            pixels = np.asarray(upright)
    except (OSError, ValueError, SyntaxError, EOFError, Pillow.DecompressionBombError) as broken:
        raise UnfitData(f"{name} cannot be read as a picture: {broken}") from broken
    if pixels.ndim == 3 and (pixels == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.dtype == np.bool_:
        pixels = pixels.astype(np.uint8)
    if not np.isfinite(pixels).all():
        raise UnfitData(f"{name} holds values that are no finite numbers")
    if pixels.min() == pixels.max():
        raise UnfitData(f"{name} has one value everywhere")
    return images_of(pixels, name, modality)


def images_of(pixels: NDArray[np.generic], name: str, modality: str = "DX") -> Images:
    """A picture (Y, X), or (Y, X, 3) of colours, as an image that no detector made: its UIDs are derived from `name`, a DX is frontal."""
    uid = f"2.25.{int.from_bytes(hashlib.sha256(name.encode()).digest()[:15])}"
    radiograph = modality == "DX"
    image = Image(
        pixels=pixels,
        source=SliceSource(
            sop_instance_uid=f"{uid}.1",
            sop_class_uid=str(DigitalXRayImageStorageForPresentation if radiograph else SecondaryCaptureImageStorage),
        ),
        series_instance_uid=f"{uid}.0.2",
        inverted=False,
        spacing_mm=None,
        calibrated=False,
        view="PA" if radiograph else "",
        laterality="",
    )
    return Images(images=(image,), modality=modality, study_instance_uid=f"{uid}.0.1", series_instance_uid=f"{uid}.0.2")
