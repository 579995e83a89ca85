"""Why chest-xray cannot say anything about images that it accepted."""

from inference.errors import InputError


class NotARadiograph(InputError):
    """An image is in colour, or shows nothing within its window."""

    code = "HLM-3195"
    remedy = (
        "Look at the image; cancel the job, or narrow the route to greyscale radiographs of the chest. A wrong VOI window empties an image."
    )


class NotFrontal(InputError):
    """None of the images is a frontal view, by what their headers say."""

    code = "HLM-3196"
    remedy = "Cancel the job, or narrow the route: the network has seen frontal views (PA, AP) alone."
