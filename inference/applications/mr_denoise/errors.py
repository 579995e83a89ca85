"""Why mr-denoise leaves a series that it accepted as it is."""

from inference.errors import InputError


class NotMagnitude(InputError):
    """The images are no plain magnitude images: of the Enhanced MR class, with negative values, or even."""

    code = "HLM-3200"
    remedy = "Cancel the job, and narrow the route: classic MR images whose ImageType has M and no ADC, phase, real or imaginary part."


class OtherNoise(InputError):
    """There is less noise in the images than the network was trained on, or more."""

    code = "HLM-3201"
    remedy = "Cancel the job: with so little noise there is nothing to gain, and with so much nobody has measured what the network does."
