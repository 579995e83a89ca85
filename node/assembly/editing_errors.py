"""Why edited routes cannot be tried or saved."""

from node.domain.errors import ConfigError


class ChangedMeanwhile(ConfigError):
    """The configuration file is not the one any more that was edited."""

    code = "HLM-2104"
    remedy = "Copy your edit, load the page again, and make it in the file as it is now."


class CannotWrite(ConfigError):
    """The console may not, or cannot, write the configuration file."""

    code = "HLM-2105"
    remedy = "Put the text into the file on the node and run `hilum routes reload`; or let the node's user write the file's folder."


class MayNotLast(ConfigError):
    """The configuration file was written, and the system could not promise to keep it."""

    code = "HLM-2107"
    remedy = "The disk fails, mostly: look at the system's log. Then run `hilum routes reload` to put what stands in the file in force."


class TrialEnded(ConfigError):
    """Explaining or replaying edited routes did not come to its end."""

    code = "HLM-2102"
    remedy = "Choose a later beginning, or a cheaper regular expression; `hilum routes replay` on the node has no limit of time."


class TooManyTrials(ConfigError):
    """Others try routes at the same time."""

    code = "HLM-2103"
    remedy = "Wait until theirs are done, and try again."
