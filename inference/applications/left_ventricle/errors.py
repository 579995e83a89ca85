"""Why left-ventricle cannot say anything about a cine that it accepted."""

from inference.errors import InputError


class NotShortAxis(InputError):
    """The slices do not lie across the long axis of a left ventricle, by their orientation."""

    code = "HLM-3220"
    remedy = "Cancel the job, and narrow the route to short-axis cines (by SeriesDescription, for example): other views are not measured."


class VentricleCut(InputError):
    """The slices do not reach beyond the apex, or the cavity beyond what the network sees: its volume would be too small."""

    code = "HLM-3221"
    remedy = "Send the whole short-axis stack, from the base to the apex, the heart in the middle of the images; or cancel the job."


class NoBeatingVentricle(InputError):
    """What is marked is no left ventricle that beats: nothing on most slices, of no heart's size, or as large in all phases."""

    code = "HLM-3222"
    remedy = "Look at the images: a phantom, another organ or another view is no short-axis cine of a heart. Cancel the job."
