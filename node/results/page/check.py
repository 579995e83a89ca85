"""Reads a page back: a picture that is not empty, about images that were analysed."""

import numpy as np
from pydicom.dataset import Dataset

from node.results.port import PageDiffers, ReferencesDiffer
from node.results.sources import Sources


def check_page(dataset: Dataset, sources: Sources) -> None:
    """An RGB picture that is not empty, about source images of this job.

    Raises
    ------
    PageDiffers, ReferencesDiffer
    """
    size = dataset.Rows * dataset.Columns * 3
    if dataset.PhotometricInterpretation != "RGB" or (dataset.BitsAllocated, dataset.SamplesPerPixel) != (8, 3):
        raise PageDiffers("the summary page is not 8-bit RGB")
    pixels = np.frombuffer(dataset.PixelData, dtype=np.uint8)
    if pixels.size != size + size % 2 or not np.ptp(pixels):
        raise PageDiffers(f"the summary page has {pixels.size} bytes of pixels, where {size} are meant, or is blank")
    known = {uid for _, uid in sources.instances}
    strangers = [item.ReferencedSOPInstanceUID for item in dataset.SourceImageSequence if item.ReferencedSOPInstanceUID not in known]
    if strangers:
        raise ReferencesDiffer(f"the summary page refers to {strangers[0]}, which is no source")
