"""What can be wrong in the workshop: with a recipe's name, its data, a run, and what is to leave it."""

from inference.errors import HilumError


class WorkshopError(HilumError):
    """Something in the workshop is not as it has to be; no job of a node ever ends with one of these."""

    code = "HLM-8000"
    remedy = "The message says what; docs/howto/train-a-model.md shows the way from data to a served model."


class UnknownRecipe(WorkshopError):
    """No recipe has this name."""

    code = "HLM-8001"
    remedy = "Take one of the names in the message; each is a file of training/recipes."


class UnfitData(WorkshopError):
    """The data are not there, or not laid out as the recipe reads them, or too few to be split."""

    code = "HLM-8002"
    remedy = "Name the folder with `--data`; the message says what was looked for. docs/howto/train-a-model.md shows the layouts."


class OtherRun(WorkshopError):
    """The folder holds a run of another recipe, or of the same with other settings or data."""

    code = "HLM-8003"
    remedy = "Go on with the settings of that run, or name another folder with `--out`. Nothing was changed."


class BrokenRun(WorkshopError):
    """The run's files are not there yet, or cannot be read."""

    code = "HLM-8004"
    remedy = "Run `hilum train`, then `hilum evaluate`, with the same `--out`; a file that cannot be read is to be deleted first."


class WorkshopNotInstalled(WorkshopError):
    """A library that training needs is not installed."""

    code = "HLM-8005"
    remedy = "Install them: `pip install 'hilum[training]'`."
