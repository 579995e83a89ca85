"""Why lung-nodule cannot say anything about a series that it accepted."""

from inference.errors import InputError


class NoLungs(InputError):
    """No air-bearing lung is in the images, or too little of it to look for nodules."""

    code = "HLM-3205"
    remedy = "Cancel the job, or narrow the route to CT of the chest; look at the images where they do show lungs."
