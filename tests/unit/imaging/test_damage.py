"""Whatever is done to a file's bytes, the answer is pixels or an InputError: a worker never dies of an instance."""

import random

import numpy as np
import pytest
from pydicom.uid import DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian, JPEG2000Lossless, JPEGLSLossless, RLELossless

from inference.errors import InputError
from inference.imaging.assemble import assemble
from inference.imaging.compare import same_image
from inference.imaging.decode import decode

from .conftest import enhanced, one_instance, save

MUTATIONS = 120


def an_image(kind: str):
    """Noise of 64 x 64, packed in one of the ways that have parsers of their own."""
    values = np.random.default_rng(0).integers(0, 4096, (64, 64)).astype("u2")
    if kind == "enhanced":
        return enhanced(np.stack([values] * 3), np.eye(3), slopes=[1, 2, 3])
    if kind in {"implicit", "deflated"}:
        return one_instance(values, syntax={"implicit": ImplicitVRLittleEndian, "deflated": DeflatedExplicitVRLittleEndian}[kind])
    image = one_instance(values, BitsStored=12)
    syntaxes = {"rle": RLELossless, "jpeg-ls": JPEGLSLossless, "jpeg-2000": JPEG2000Lossless}
    if kind in syntaxes:
        image.compress(syntaxes[kind], generate_instance_uid=False)
    return image


def damaged(whole: bytes, rng: random.Random) -> bytes:
    """Some bytes changed, removed or inserted, or the end cut off; mostly in the header and the first frame's."""
    data = bytearray(whole)
    for _ in range(rng.choice((1, 2, 5, 20))):
        at = rng.randrange(128, max(min(len(data), 2000), 129))
        what = rng.random()
        if what < 0.6:
            data[at : at + 1] = rng.randbytes(1)
        elif what < 0.75:
            del data[at : at + rng.randrange(1, 9)]
        elif what < 0.9:
            data[at:at] = rng.randbytes(rng.randrange(1, 9))
        else:
            del data[rng.randrange(128, max(len(data), 129)) :]
    return bytes(data)


@pytest.mark.parametrize("kind", ["plain", "implicit", "deflated", "enhanced", "rle", "jpeg-ls", "jpeg-2000"])
@pytest.mark.filterwarnings("ignore")
def test_damage_is_an_input_error_or_none(kind, tmp_path):
    """Seeded, so that a failure can be had again; 120 damaged copies of each kind through all three ways in."""
    original = save(an_image(kind), tmp_path / "original.dcm")
    whole, rng, refused = original.read_bytes(), random.Random(kind), []
    for _ in range(MUTATIONS):
        copy = tmp_path / "copy.dcm"
        copy.write_bytes(damaged(whole, rng))
        for way in (decode, lambda path: assemble([path]), lambda path: same_image(path, original)):
            try:
                way(copy)
            except InputError as said:
                refused.append(said)
    assert len(refused) > MUTATIONS / 4
    assert all(said.code.startswith("HLM-30") and str(said) for said in refused)
