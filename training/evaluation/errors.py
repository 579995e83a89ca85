"""What can be wrong with evaluations that are read again."""

from training.errors import WorkshopError


class UnreadableEvaluation(WorkshopError):
    """There is no evaluation where one was named, or it has another form than this release writes."""

    code = "HLM-8010"
    remedy = "Name a folder with an evaluation.json, or the file; `hilum evaluate` writes one."


class OtherCases(WorkshopError):
    """Two evaluations are not of the same held-out cases, or have no figure in common: their difference would say nothing."""

    code = "HLM-8011"
    remedy = "Evaluate both models on one folder of data with one seed, so that the same patients are held out, and compare those."
