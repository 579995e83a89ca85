"""What may go wrong with backups and restores."""

from node.domain.errors import ConfigError, JournalError


class NoBackup(JournalError):
    """A backup cannot be made: the target cannot be written, or a program for it is not installed."""

    code = "HLM-7056"
    remedy = "Mend what the message names and call it again: what was copied already is not copied twice. Earlier backups are untouched."
    retry = False


class BackupDamaged(JournalError):
    """A backup is not what was written: a file is missing, or its checksum is another one. Nothing was restored."""

    code = "HLM-7057"
    remedy = "Take an earlier backup of the same folder, or another copy of this one; `hilum restore BACKUP --check` tells which are whole."
    retry = False


class NotEmpty(ConfigError):
    """The place to restore to holds something: a restore never overwrites."""

    code = "HLM-2098"
    remedy = "Point `store:` of the configuration to an empty place (or move the old store away), and restore again."


class ModelsThere(ConfigError):
    """Models or applications are where a restore would bring the backup's, and are not the same: a restore never overwrites."""

    code = "HLM-2078"
    remedy = (
        "Move what is there away, or name another place under `models:` of the configuration, and restore again; or keep what is there: "
        "`hilum restore BACKUP --keep-models`."
    )


class OtherFolders(ConfigError):
    """The configuration names fewer folders of applications than the one that the backup was made under."""

    code = "HLM-2079"
    remedy = "Put the backup's hilum.yaml in place, or name as many folders under `models: {applications: […]}` as it does, in its order."


class HalfRestored(ConfigError):
    """A restore to this place was begun and ended before its last step."""

    code = "HLM-2093"
    remedy = "Run `hilum restore BACKUP` once more, with the backup that the message names: it goes on where it ended."


class NotThisJournal(ConfigError):
    """The backup is of a journal of another kind than the configuration names."""

    code = "HLM-2099"
    remedy = (
        "A journal in a file is restored to a file, one on PostgreSQL to an empty database on PostgreSQL: correct `store: {journal: …}`."
    )
