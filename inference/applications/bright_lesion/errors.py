"""Why bright-lesion cannot say anything about a series that it accepted."""

from inference.errors import InputError


class NoBrainOnFlair(InputError):
    """Nothing in the images is as large and as even as a brain."""

    code = "HLM-3180"
    remedy = "Look at the series: bright-lesion needs a whole brain on FLAIR. Narrow the route's `when`, or cancel the job."


class NotFlair(InputError):
    """The brain is too uneven, or so much of it stands out that these are no focal lesions: another contrast than FLAIR."""

    code = "HLM-3181"
    remedy = "Look at the series: bright-lesion needs FLAIR. Let the route's `when` demand it (SeriesDescription), or cancel the job."
