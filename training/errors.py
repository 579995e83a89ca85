"""Errors of training: of a recipe's name, its data, a run, and its export."""

from inference.errors import HilumError


class TrainingError(HilumError):
    """Something of training is not as it has to be; no job of a node ever ends with one of these."""

    code = "HLM-8000"
    remedy = "The message says what; docs/howto/train-a-model.md shows the way from data to a served model."


class UnknownRecipe(TrainingError):
    """No recipe has this name."""

    code = "HLM-8001"
    remedy = "Take one of the names in the message; `hilum train --list` says of each what it is for, and which data it wants."


class UnfitData(TrainingError):
    """The data are not there, or not laid out as the recipe reads them, or too few to be split."""

    code = "HLM-8002"
    remedy = "Name the folder with `--data`; the message says what was looked for. docs/howto/train-a-model.md shows the layouts."


class OtherRun(TrainingError):
    """The folder holds a run of another recipe, or of the same with other settings or data."""

    code = "HLM-8003"
    remedy = "Go on with the settings of that run, or name another folder with `--out`. Nothing was changed."


class BrokenRun(TrainingError):
    """The run's files are not there yet, or cannot be read."""

    code = "HLM-8004"
    remedy = "Run `hilum train`, then `hilum evaluate`, with the same `--out`; a file that cannot be read is to be deleted first."


class TrainingNotInstalled(TrainingError):
    """A library that training needs is not installed."""

    code = "HLM-8005"
    remedy = "Install them: `pip install 'PATH[training]'`, with the PATH of hilum's wheel or checkout."


class OutOfMemory(TrainingError):
    """Memory does not suffice for one image in the smallest window that the recipe can learn from."""

    code = "HLM-8006"
    remedy = (
        "Train where more memory is free, or say a smaller `--window` or a coarser `--spacing-mm` where the recipe takes them; "
        "the same command goes on after the last whole epoch."
    )


class LossNotFinite(TrainingError):
    """The loss, or the weights behind it, are no finite numbers any more: the network would learn nothing from here on."""

    code = "HLM-8007"
    remedy = (
        "Look at the images of the cases in the message, and mend them or take them out; if nothing is wrong with them, train anew with "
        "a lower `--learning-rate` and without `--precision bf16`. Nothing of this epoch was kept: the same command goes on before it."
    )


class FullDisk(TrainingError):
    """The disk takes no more of what a training writes: no space, no quota, or a file may not be that large."""

    code = "HLM-8008"
    remedy = "Make room on the disk of the run's folder, and call the same command again: it goes on after the last whole epoch."


class LostProcess(TrainingError):
    """One of the processes of a training has ended, and with it all of them."""

    code = "HLM-8009"
    remedy = (
        "Look at what the other process said last (ended with signal 9: mostly memory, `dmesg` tells); "
        "the same torchrun command goes on after the last whole epoch."
    )


class UnreadableEvaluation(TrainingError):
    """There is no evaluation where one was named, or it has another form than this release writes."""

    code = "HLM-8010"
    remedy = "Name a folder with an evaluation.json, or the file; `hilum evaluate` writes one."


class OtherCases(TrainingError):
    """Two evaluations are not of the same held-out cases, or have no figure in common: their difference would say nothing."""

    code = "HLM-8011"
    remedy = "Evaluate both models on one folder of data with one seed, so that the same cases are held out, and compare those."


class MisplacedLabels(TrainingError):
    """A segmentation does not lie on the images that it refers to: another space, no place for a frame, or mostly outside of them."""

    code = "HLM-8020"
    remedy = "Look at the file over its images in a viewer; mend it where it was made, or take it out of the folder."


class UnclearLabels(TrainingError):
    """The segmentations of a folder do not make one map of labels for each series: a structure is lacking, there twice, or over another."""

    code = "HLM-8021"
    remedy = (
        "Say which structures are meant with `--labels`, the larger before the smaller that lies in it; series that lack one are then "
        "left out. Or mend the files that the message names: an empty segment says that a structure was looked for and not found."
    )


class UnfitSetting(TrainingError):
    """An option says something that this recipe, or these data, cannot be trained with."""

    code = "HLM-8022"
    remedy = "Leave the option out to let the data decide, or give it as the message says."


class NothingServed(TrainingError):
    """The recipe is judged and told, and has nothing that could be evaluated again, exported or served."""

    code = "HLM-8023"
    remedy = "Read the figures and card.html in the run's folder; `hilum train --list` says which recipes become an application."


class NotOffered(TrainingError):
    """A smaller network loses more, or saves less time, than the rule allows for one that takes another's place."""

    code = "HLM-8024"
    remedy = "Serve the network that it was made from; or keep more channels (`hilum compress --keep`), or fine-tune for more `--epochs`."


class OtherPlan(TrainingError):
    """The sites of a federated training do not learn the same: other classes or structures, or another modality."""

    code = "HLM-8026"
    remedy = (
        "Have every site name the same classes or structures in the same order (`--target`, `--labels`), and the same version of hilum; "
        "spacing, window and grey values may differ, and a value between is taken."
    )


class SiteFailed(TrainingError):
    """A site of a federated training refused its data, ended, began with other weights than the rest, or sent some that are no numbers."""

    code = "HLM-8027"
    remedy = (
        "The message names the site and the number of its error; refused.txt in that site's folder of runs says what to mend. Then call "
        "the same command again: it goes on after the last round that all sites were through with."
    )
