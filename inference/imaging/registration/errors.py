"""Why nobody can say where one volume lies on another."""

from inference.errors import InputError


class NothingToRegister(InputError):
    """The two volumes have nothing in common that could be brought together."""

    code = "HLM-3170"
    remedy = "Look at the two series that the reason names: another part of the body, or images without content. Cancel the job."


class NotTheSame(InputError):
    """A volume was laid over another of the patient as well as it goes, and does not fit."""

    code = "HLM-3171"
    remedy = (
        "Compare the two series that the reason names: they may show another part of the body or, behind one patient ID, another person. "
        "Cancel the job, or narrow the route's conditions so that series of one protocol are brought together."
    )


class SpaceFolds(InputError):
    """No smooth bending lays one volume on the other: what was found takes two places to one."""

    code = "HLM-3172"
    remedy = (
        "Cancel the job, and look at both series: an operation between the visits, metal, motion, or another sequence. "
        "mr-register lays the prior on the current images without bending it."
    )
