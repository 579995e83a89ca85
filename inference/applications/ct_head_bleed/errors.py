"""Why ct-head-bleed cannot say anything about a series that it accepted."""

from inference.errors import InputError


class NoHeadOnCT(InputError):
    """Nothing in the images is as soft and as large as a brain, with bone around it."""

    code = "HLM-3210"
    remedy = (
        "Look at the series: ct-head-bleed needs a whole head on plain CT, with its skull. Another part of the body, or a head without "
        "bone: narrow the route's `when`, or cancel the job."
    )
