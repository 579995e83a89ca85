"""Why the judge declines an input that an application's gate let pass: each says what the picture seems to be, and why."""

from inference.errors import InputError


class NotAPatient(InputError):
    """The headers say that a test object or an animal was imaged."""

    code = "HLM-3120"
    remedy = (
        "Cancel the job. Narrow the route's `when` so that quality control does not match. If a person was imaged, correct the named "
        "attribute at the source and send the series again."
    )


class OtherContrast(InputError):
    """The images were weighted otherwise than those that the model was made for: headers say so, or pixels show it."""

    code = "HLM-3121"
    remedy = "Send the series with the right contrast, or narrow the route's `when` (SeriesDescription, EchoTime), and cancel the job."


class NoAnatomy(InputError):
    """The pixels show nothing that hangs together: noise, or one even value; or they are turned into their negative; or, of CT, they
    are no HU."""

    code = "HLM-3122"
    remedy = "Look at the series. Where it shows the patient rightly, report this as a defect of hilum; else cancel the job."


class OtherAnatomy(InputError):
    """What the images show, or what the model marked in them, does not look like the part of the body that the model was made for."""

    code = "HLM-3123"
    remedy = (
        "Look at the series and at its orientation. Another part of the body: cancel the job, narrow the route's `when`. The right part: "
        "report this as a defect of hilum."
    )


class ComputedImages(InputError):
    """The headers say that the images are projections, differences or renderings of others; or maps of a material, images of another energy
    than that of a tube voltage or, where native ones are asked for, such with a material taken out, as spectral CT computes them: their
    values are no measurement of a place, no HU, or not the HU that the model was made for."""

    code = "HLM-3125"
    remedy = (
        "Send the images that they were computed from, or those of 60 to 80 keV, and let the route's `when` leave these out (ImageType, "
        "SeriesDescription); cancel the job."
    )


class BeyondAnyPatient(InputError):
    """What was measured lies outside of what a living person of that age can have."""

    code = "HLM-3124"
    remedy = (
        "Look at the series: other content than the model was made for, a wrong pixel spacing, or a wrong age. Correct the attribute at "
        "the source and send the series again, or cancel the job."
    )


class ImagesForProcessing(InputError):
    """The images are those that a detector gave, for processing and not for looking at: what a model learned from films looks otherwise."""

    code = "HLM-3126"
    remedy = (
        "Send the images for presentation of the same exposure, and let the route's `when` leave these out (PresentationIntentType); "
        "cancel the job."
    )
