"""What may be wrong with a configuration; every message begins with file:line:column. Codes HLM-20xx."""

from collections.abc import Sequence

from node.domain.errors import ConfigError


class ConfigMissing(ConfigError):
    """There is no configuration file, or it cannot be read."""

    code = "HLM-2001"
    remedy = "Name a file with --config, or by HILUM_CONFIG; `hilum init` writes one to begin with."


class ConfigSyntax(ConfigError):
    """The file is not YAML."""

    code = "HLM-2002"
    remedy = "Mend the YAML at that place (indentation, brackets, quotes), then run `hilum config check`."


class UnknownKey(ConfigError):
    """A key that hilum does not know, or a DICOM keyword that does not exist."""

    code = "HLM-2003"
    remedy = "Correct the key's spelling; docs/reference/configuration.md lists every key. Then run `hilum config check`."


class DuplicateKey(ConfigError):
    """The same key stands twice in one mapping."""

    code = "HLM-2004"
    remedy = "Keep one of the two entries, then run `hilum config check`."


class WrongType(ConfigError):
    """A list, mapping or single value stands where another of them belongs."""

    code = "HLM-2005"
    remedy = "Write the value in the form that the message names, then run `hilum config check`."


class BadValue(ConfigError):
    """A value that the key does not take."""

    code = "HLM-2006"
    remedy = "Give the key a value of the kind that the message names, then run `hilum config check`."


class MissingKey(ConfigError):
    """A key that must be there is not, or has no value."""

    code = "HLM-2007"
    remedy = "Add the key, then run `hilum config check`."


class UnknownName(ConfigError):
    """A name that nothing bears: a peer, sink, engine, application or called AE title that is not configured."""

    code = "HLM-2008"
    remedy = "Correct the name, or add what it names to the configuration; then run `hilum config check`."


class DuplicateName(ConfigError):
    """Two entries that cannot be told apart."""

    code = "HLM-2009"
    remedy = "Rename or remove one of the two, then run `hilum config check`."


class UnfitCondition(ConfigError):
    """A condition that can never be asked of the keyword: its value representation has no such values."""

    code = "HLM-2010"
    remedy = "Use a condition that fits the keyword's value representation; docs/reference/configuration.md has the table."


class BadPattern(ConfigError):
    """A regular expression that does not compile, or that no search in linear time can take."""

    code = "HLM-2011"
    remedy = "Mend the regular expression (RE2's syntax) as the message says; quote it, so that YAML leaves it alone."


class SeriesNumbersClash(ConfigError):
    """Two applications that the routes run have one number in Series Numbers."""

    code = "HLM-2012"
    remedy = "Give one of them another `series` (1 to 99) in its manifest, or none: the node then gives it one that is free."


class UnfitParts(ConfigError):
    """An application is to take parts of a series that what it takes does not have."""

    code = "HLM-2013"
    remedy = "Take `parts` out of its entry in `applications`, or name what the message says: volumes have `each` and `b0`, loops `each`."


class ConfigRefused(ConfigError):
    """Several things are wrong; `problems` holds them in the order of the file."""

    code = "HLM-2020"
    remedy = "Correct the lines and run `hilum config check`."

    def __init__(self, problems: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(f"{problem} [{problem.code}]" for problem in problems))
        self.problems = tuple(problems)


class NotRoutesAlone(ConfigError):
    """What is to stand in the place of `routes:` is more than that block, or less, or leans on another block."""

    code = "HLM-2021"
    remedy = "Give the block `routes:` alone, its key included; everything else is edited in the file itself."
