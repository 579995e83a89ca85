"""What a verb refuses to do because of what it was asked."""

from node.domain.errors import ConfigError


class NothingFound(ConfigError):
    """Nothing bears the name, identifier or path that the command was given."""

    code = "HLM-2060"
    remedy = "Look at what there is: `hilum studies list`, `hilum jobs list`, `hilum config check`."


class Ambiguous(ConfigError):
    """Several things end like the UID that the command was given."""

    code = "HLM-2061"
    remedy = "Give more of the UID; `--json` prints them whole."


class NotDone(ConfigError):
    """The command was understood, and could not be carried out for some of what it was given."""

    code = "HLM-2062"
    remedy = "Look at the present state with `hilum jobs show JOB` or `hilum studies show STUDY`."


class NoHealthPage(ConfigError):
    """The node was asked for its health, and its configuration gives it no address to answer at."""

    code = "HLM-2063"
    remedy = 'Give it one: `node: {metrics: "127.0.0.1:9464"}`, and start it again.'


class WrongWords(ConfigError):
    """The options of a verb do not go together, or one of them is not of its form."""

    code = "HLM-2064"
    remedy = "`--help` behind the verb says what it takes."


class NobodyServes(ConfigError):
    """A running node was to be asked something, and none of this host serves the store of the configuration."""

    code = "HLM-2066"
    remedy = "Start it with `hilum serve`, or name the configuration that it was started with: --config FILE."


class SeveralPatients(ConfigError):
    """A study was to be erased by its UID, and headers in it name several patients: an archive merged, or a sender mixed, two of them."""

    code = "HLM-2065"
    remedy = "`hilum patients erase --id ID` erases what is one patient's of it; `--study UID --all-patients` all of it, whoever's it is."


class NobodyToTell(ConfigError):
    """A trial message was to be sent, and the configuration names nobody who gets messages."""

    code = "HLM-2069"
    remedy = "Give it `notify: {mail: …}` or `notify: {webhook: …}` (docs/howto/be-told.md)."


class Defect(ConfigError):
    """A verb met something that nobody foresaw; the message says where, and in which file the details lie."""

    code = "HLM-2120"
    remedy = "Call it again. If it stays so, report it as a defect of hilum, with that file and what you called."


class NotPermitted(ConfigError):
    """The operating system does not let this user do what the verb needs: a store is its node's user's alone."""

    code = "HLM-2121"
    remedy = "Run it as the user that the node runs as: `sudo -u USER hilum …`."


class SystemRefused(ConfigError):
    """The operating system refused what the verb needs: a full or read-only disk, too few file handles, a file that is not there."""

    code = "HLM-2122"
    remedy = "Mend what the message names, then call it again. The node, where one runs, is not touched by this."


class NobodyErased(ConfigError):
    """Nothing of the patient or studies that were to be erased is held here, or whoever was asked did not agree."""

    code = "HLM-2124"
    remedy = (
        "Compare the ID with `hilum studies list --search ID`: it is as headers have it, capitals and leading zeros count, and several "
        "issuers may give the same one (`--issuer`)."
    )


class NothingToSend(ConfigError):
    """None of what was named is, or holds, a DICOM instance."""

    code = "HLM-2125"
    remedy = "Name files as a PACS or modality exports them (DICOM Part 10), folders of such, or zips; a DICOMDIR alone holds no images."


class AlreadyThere(ConfigError):
    """A node was to be begun where a file stands that it would have written over."""

    code = "HLM-2130"
    remedy = "Name another folder, or move the file away. Nothing was written."


class NotBegun(ConfigError):
    """The files of a new node could not be written: no room, no right to write there, or what is named is no folder."""

    code = "HLM-2131"
    remedy = "Mend what the sentence says, or name another folder; `hilum init` goes on where it was."


class ForeignPackage(ConfigError):
    """A package of the command is not the one that was installed with it: a folder on PYTHONPATH, or another distribution, has its name."""

    code = "HLM-2132"
    remedy = (
        "Install hilum into an environment of its own (`python3 -m venv`), without what has the same name; unset PYTHONPATH, and start it "
        "by that environment's `bin/hilum`."
    )
