"""Why hippocampus cannot say anything about a series that it accepted."""

from inference.errors import InputError


class NotACrop(InputError):
    """The images show more than the surroundings of one hippocampus, or nothing at all."""

    code = "HLM-3190"
    remedy = (
        "Send a crop around one hippocampus (at most 48 × 64 × 48 mm), as the network was trained on; cancel the job, or narrow the route."
    )
