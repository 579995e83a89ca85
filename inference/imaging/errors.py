"""Why a series cannot become a volume: one class a cause, each with a stable code; the messages name the instances."""

from collections.abc import Iterable

from inference.errors import InputError

NAMED = 3
"""How many instances a message names before it says "and N more": enough to find them, short enough to read."""


def naming(instances: Iterable[str]) -> str:
    """The first three names and how many more there are."""
    names = list(instances)
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


class NotDicom(InputError):
    """The file is not a DICOM Part 10 file, or its data set cannot be parsed."""

    code = "HLM-3001"
    remedy = "Send the instance again; if it stays like this, the sender writes a broken file."


class Truncated(InputError):
    """The file ends before its pixel data does."""

    code = "HLM-3002"
    remedy = "Send the instance again: the copy that arrived is cut off."


class NoPixelData(InputError):
    """There is no image: an image's pixel data are absent or of zero length, or the series holds other objects only."""

    code = "HLM-3003"
    remedy = "Send the images of this series, not only its reports or presentation states."


class UnsupportedSyntax(InputError):
    """The pixel data is in a transfer syntax that cannot be decoded here (video, for example)."""

    code = "HLM-3004"
    remedy = "Let the sender transmit the series uncompressed or in JPEG lossless, JPEG-LS, JPEG 2000 or RLE."


class UndecodablePixels(InputError):
    """The compressed pixel data is damaged: the codec refuses it."""

    code = "HLM-3005"
    remedy = "Send the instance again, uncompressed if the archive can."


class MissingAttribute(InputError):
    """An attribute without which the pixels or their place have no meaning is absent or not what the standard says."""

    code = "HLM-3006"
    remedy = "Correct the attribute at the source and send the series again."


class NotAVolume(InputError):
    """The images have no place in the patient (projection, ultrasound, colour): no volume can be made of them."""

    code = "HLM-3010"
    remedy = "Route this series to an application for single images, or narrow the route's `when`."


class MixedSeries(InputError):
    """The instances belong to several series."""

    code = "HLM-3011"
    remedy = "Report this as a defect of hilum: a job holds one series."


class MixedKinds(InputError):
    """The slices of one stack are images of several kinds: two reconstructions, two echoes or two units, which together show nothing."""

    code = "HLM-3033"
    remedy = "Split the series at the source: one reconstruction of one acquisition a series."


class MixedFrameOfReference(InputError):
    """The images of one series lie in several frames of reference: the patient may have moved between them."""

    code = "HLM-3012"
    remedy = "Split the series at the source, or send the part that is wanted."


class MixedOrientation(InputError):
    """The images of one series are not parallel (a localizer among them, or several stacks)."""

    code = "HLM-3013"
    remedy = "Split the series at the source: one stack of parallel slices a series."


class MixedShape(InputError):
    """The images of one series differ in rows, columns or pixel spacing."""

    code = "HLM-3014"
    remedy = "Split the series at the source: one matrix and pixel spacing a series."


class DuplicatePosition(InputError):
    """Two images lie at one place, others do not."""

    code = "HLM-3015"
    remedy = "Remove the repeated images at the source, or split the series."


class FourDimensional(InputError):
    """Every position holds several images (time points, echoes, b-values, phases)."""

    code = "HLM-3016"
    remedy = (
        "Split the series by time point, echo, phase or b-value and send the part that is wanted; or route it to an application that "
        "takes each of them, the images at b 0, or all of them over time."
    )


class GantryTilt(InputError):
    """The slices are sheared against their normal by more than a gantry can be tilted."""

    code = "HLM-3017"
    remedy = "Look at the positions of the named instances; send a reconstruction without tilt, or a reformat of the thin slices."


class ShiftedSlices(InputError):
    """Slices are shifted sideways against each other, not evenly as by a gantry tilt."""

    code = "HLM-3018"
    remedy = "Look at the positions of the named instances; reconstruct the series with one field of view."


class Gap(InputError):
    """Slices are missing between others."""

    code = "HLM-3019"
    remedy = "Send the missing slices; if there never were any, send a series without the gap."


class IrregularSpacing(InputError):
    """The distances between slices differ, and not as those of blocks of thinner and thicker slices that leave no gap."""

    code = "HLM-3020"
    remedy = "Send a reconstruction with even slice spacing, or split the series where the spacing changes."


class NotAPair(InputError):
    """The application compares a series with its prior, and the files are not those of two series."""

    code = "HLM-3021"
    remedy = "Send the prior study of the patient, then `hilum jobs retry JOB`; or narrow the route's `when` to patients who have one."


class TooLarge(InputError):
    """The images of one subject would take more memory than one analysis may."""

    code = "HLM-3022"
    remedy = "Send a shorter loop or a cropped one; or route the series to an application that analyses single images."


class UnsupportedColour(InputError):
    """The pixels are in a colour space that the standard has retired, or are no image at all."""

    code = "HLM-3023"
    remedy = "Let the sender write RGB, YBR_FULL or greyscale images."


class NotImages(InputError):
    """The application analyses single images, and the files hold none."""

    code = "HLM-3024"
    remedy = "Route the series to an application for what it holds (a volume, a cine), or narrow the route's `when`."


class NotACine(InputError):
    """The application analyses frames over time, and the files hold none, or several loops of which it takes one."""

    code = "HLM-3025"
    remedy = "Route the series to an application for what it holds (a volume, single images), or send the loop that is wanted alone."


class IncompleteConcatenation(InputError):
    """Of a multi-frame image that was cut into several instances (PS3.3 C.7.6.16.1.1) some are missing."""

    code = "HLM-3026"
    remedy = "Send the missing instances of the series."


class RoleUnfilled(InputError):
    """The application analyses several series together, and one of them is not there."""

    code = "HLM-3034"
    remedy = "Send the series that the reason names: the job then runs by itself, on all of them."


class EvenRole(InputError):
    """The image of a role shows nothing: every value is the same, so that the network would take it for one that is missing."""

    code = "HLM-3041"
    remedy = (
        "Look at the series or view that the reason names: an empty export, or values outside of what the model was made for. Send it "
        "again whole; or leave it out where the role may be missing: the report then says so."
    )


class NotInOneFrame(InputError):
    """A series would have to be registered onto another, and is not: its role does not allow it, or one of the two is neither CT nor MR."""

    code = "HLM-3035"
    remedy = "Send series of one examination, in one frame of reference; nothing can be laid on the other by guess."


class MovedTooFar(InputError):
    """The registration of a series goes further than the application allows."""

    code = "HLM-3036"
    remedy = "Look at both series: another position of the patient, or another patient. Cancel the job, or send series of one examination."


class OutOfReach(InputError):
    """A series covers too little of the images of the one that it is analysed with."""

    code = "HLM-3037"
    remedy = "Look at both series: another part of the body. Narrow the role's conditions in the route, or send the series whole."


class PhasesMissing(InputError):
    """Of a series over time some slices have fewer images than others; or of phases that came as a series each one is missing, or short."""

    code = "HLM-3038"
    remedy = (
        "Send the missing images of the slices, or the series of the phase, that the reason names; if there never were any, nothing can be "
        "analysed over time."
    )


OVER_MIDNIGHT = "phases run over midnight by {keyword}, which has no date of its own: which of them is first nobody says"
"""By headers alone it is said as it is said of images."""


class PhasesApart(InputError):
    """The slices of a series over time were not taken at the same times, or its phases not at the same place."""

    code = "HLM-3039"
    remedy = (
        "Look at the times and positions of the named images; send slices of one acquisition, or an application that analyses each slice "
        "over time on its own."
    )


class NoClock(InputError):
    """Several images lie at each place, and nothing says which of them is when; or they differ in something else than time as well."""

    code = "HLM-3040"
    remedy = (
        "Let the scanner send TriggerTime, a cardiac or respiratory phase, or acquisition times with the images; of phases that come as a "
        "series each its share in SeriesDescription will do (T=30%). Of a series that differs in echoes, b-values or components too, send "
        "the part that is wanted."
    )


class UnfitPrior(InputError):
    """The series is what the application was made for, and the prior that it was to be compared with is not."""

    code = "HLM-3027"
    remedy = "Nothing: the study is routed again without this prior, and compared with the next one that fits, or with none."


class MixedIdentity(InputError):
    """Images that were to be analysed as one name several patients, or several studies."""

    code = "HLM-3030"
    remedy = (
        "Find out whose images these are, correct PatientID or StudyInstanceUID where they come from, and send all of the series again; "
        "never correct them by guess."
    )


class BeyondMeasure(InputError):
    """A number of the header, or of the pixels, is one that no image of a patient has: a spacing, a position, a rescale, a value."""

    code = "HLM-3031"
    remedy = "Look at the named attribute where the images come from; correct it there and send the series again."


class UnusableUid(InputError):
    """What results have to repeat is no identifier: a UID of study, series, instance or frame of reference (PS3.5 9.1), or PatientID."""

    code = "HLM-3032"
    remedy = (
        "Send the series again with UIDs of digits and dots, no part with a leading zero, 64 characters at most; a program that takes "
        "names out of images has to put new UIDs in."
    )


class NotOneUnweighted(InputError):
    """The application looks at images without diffusion weighting (b 0), and the series has no volume of them, or several."""

    code = "HLM-3028"
    remedy = "Send one volume at b 0; or route the series to an application that takes each volume on its own."


class Mosaic(InputError):
    """One image holds all slices beside each other, as some MR scanners send them: its position and spacing are those of none of them."""

    code = "HLM-3029"
    remedy = "Let the scanner send one image a slice, or enhanced multi-frame images: turn off mosaic (Siemens) or save by slice (UIH)."
