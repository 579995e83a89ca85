"""Why mr-brain cannot say anything about a series that it accepted."""

from inference.errors import InputError


class NoBrainOnT1(InputError):
    """The network marks nothing: the images show no head, or another contrast than T1."""

    code = "HLM-3150"
    remedy = "Look at the series: mr-brain needs a whole head on T1. Narrow the route's `when`, or cancel the job."
