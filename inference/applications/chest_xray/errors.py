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


class NotAChest(InputError):
    """The headers say of every frontal view that it shows another part of the body than the chest."""

    code = "HLM-3197"
    remedy = (
        "Cancel the job, and narrow the route (`when: {BodyPartExamined: CHEST}`): the network answers on any image, and has seen chests "
        "alone. Where the header is wrong, correct BodyPartExamined and send the images again."
    )
