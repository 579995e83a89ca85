"""Errors of bundles: why one does not become an application, and why one cannot say anything about a series."""

from inference.errors import InputError, ModelError


class UnreadableBundle(ModelError):
    """The bundle lacks a file that it needs, a file cannot be read, or a name in it leads out of it."""

    code = "HLM-4120"
    remedy = "Get the bundle whole, as its publisher offers it: a folder, a zip, or a TorchScript file with its metadata inside."


class UnknownTransform(ModelError):
    """The bundle uses a transform, or a setting of one, that hilum does not compute; nothing is skipped in silence."""

    code = "HLM-4121"
    remedy = (
        "docs/howto/bring-a-model.md lists what is known. Write an application for this model instead (docs/howto/write-an-application.md)."
    )


class CodeRefused(ModelError):
    """The bundle asks to run code of its author: an expression, an import, or a class that is not on the list of known ones."""

    code = "HLM-4122"
    remedy = (
        "If you trust its author as you trust a program that you install, import it with `--allow-code`: the code then runs once, "
        "at import, in a confined process; the entry and the model card say so."
    )


class UncodedStructure(ModelError):
    """An output channel has a name for which no code is known; nothing is reported under another structure's code."""

    code = "HLM-4123"
    remedy = (
        'Say what it is: `--code "2=SCT:10200004:Liver"` for each channel that the message names, or `--code 2=none` to leave it out; '
        "or name a table of codes with `--codes FILE`."
    )


class UnfitBundle(ModelError):
    """The bundle is not one that takes series and gives segments or boxes, or takes images and says what they show."""

    code = "HLM-4124"
    remedy = (
        "Write an application for this model (docs/howto/write-an-application.md); its weights come in with "
        "`hilum models import FILE --name NAME`."
    )


class UnclearBundle(ModelError):
    """The bundle leaves open what serving has to know."""

    code = "HLM-4125"
    remedy = "Say it with the option that the message names."


class HostileBundle(ModelError):
    """A number in the bundle would take more memory or time than any image needs."""

    code = "HLM-4126"
    remedy = "Do not use the bundle before you know why it says that; nothing was imported."


class BrokenManifest(ModelError):
    """application.json, which the import wrote beside the model, is not what it was."""

    code = "HLM-4127"
    remedy = "Import the bundle again: `hilum models import PATH`."


class UnknownInPlans(ModelError):
    """Plans of nnU-Net name a network, a preprocessor, a function or a reader that hilum does not compute; names are never imported."""

    code = "HLM-4128"
    remedy = (
        "docs/howto/import-nnunet.md lists what is computed. Write an application for this model instead "
        "(docs/howto/write-an-application.md)."
    )


class UnfitCheckpoint(ModelError):
    """The weights of a checkpoint are not those of the network that the plans beside it describe, or its folds are of several trainings."""

    code = "HLM-4129"
    remedy = "Bring plans.json, dataset.json and the folds of one training together, as nnUNetv2_export_model_to_zip does."


class UnreadableCodes(ModelError):
    """A file of codes is no table, lacks a column, or has a line that says no code."""

    code = "HLM-4131"
    remedy = (
        "Mend the line that the message names; nothing was imported. The file is a table in UTF-8 with DICOM's names above its columns, "
        "as docs/howto/import-nnunet.md shows."
    )


class TooManyVoxels(InputError):
    """At the spacing that the model takes, the series would have more voxels than are computed."""

    code = "HLM-3160"
    remedy = "Narrow the route's `when` so that such series do not match; the model was made for smaller fields of view."


class NothingInside(InputError):
    """The images hold nothing that the bundle's own cropping keeps."""

    code = "HLM-3161"
    remedy = "Look at the series: every voxel is at or below zero. Narrow the route's `when`, or cancel the job."


class TooLittleMemory(InputError):
    """What the network gives for the series, or holds while it computes, takes more memory than there is for it; nothing was computed."""

    code = "HLM-3162"
    remedy = (
        "Give the node, or one model of its engine (`memory`), more memory, or narrow the route's `when` to smaller series; a model at a "
        "coarser spacing (3d_lowres) takes less."
    )


class ValuesOutside(InputError):
    """The model takes values of eight bits, and the images have others."""

    code = "HLM-3163"
    remedy = "Narrow the route's `when` to series of the kind that the model was trained on; its own code refuses such images, too."


class ColoursMissing(InputError):
    """The model was made for colour images, and the image has grey values."""

    code = "HLM-3164"
    remedy = "Narrow the route's `when` to colour images (PhotometricInterpretation, or their SOP class), or cancel the job."
