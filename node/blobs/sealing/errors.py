"""What may be wrong with keys, with what they sealed, and with the place where it lies opened."""

from inference.errors import InputError
from node.domain.errors import ConfigError, JournalError


class KeyUnusable(ConfigError):
    """A key file of `store: {encryption: …}` cannot be read, may be read by others, or holds no key."""

    code = "HLM-2073"
    remedy = (
        "A key is 32 random bytes: `openssl rand -out FILE 32`, `chmod 600 FILE`, and the node's user owns it (640 where root does). "
        "Where the file was the one in use, bring back its copy: nothing else opens what it sealed."
    )


class KeyMissing(ConfigError):
    """What lies in the store is encrypted with a key that the configuration does not name; nothing was admitted, nothing was touched."""

    code = "HLM-2074"
    remedy = (
        "Name the key file that was used before under `store: {encryption: {key_file: [new.key, old.key]}}`, the one to write with first. "
        "Without it those files cannot be opened by anybody (docs/howto/encrypt-at-rest.md)."
    )


class OpenedOnDisk(ConfigError):
    """Where opened files would lie is a disk, or is too small, or is somebody else's."""

    code = "HLM-2075"
    remedy = (
        "Name a folder on a tmpfs that holds `memory` under `store: {encryption: {folder: …}}` (in a container: `--shm-size`); or, if "
        "that disk is itself encrypted, say `on_disk: true`."
    )


class SealBroken(InputError):
    """An encrypted file is not what was written: it is cut off, or bytes of it were changed, moved or left out."""

    code = "HLM-3090"
    remedy = (
        "Look at the disk; take the file from a backup, or have the study sent again and run `hilum jobs retry`. Nothing of a file that "
        "does not prove itself is ever used."
    )


class KeyUnknown(InputError):
    """An encrypted file was written with a key that this node does not have."""

    code = "HLM-3091"
    remedy = (
        "Add its key file to `store: {encryption: {key_file: […]}}`, start the node again, and run `hilum jobs retry`; the message has the "
        "key's id, and `hilum doctor` those of the files."
    )


class TooLargeToOpen(InputError):
    """What has to be decrypted at one time is larger than the memory that the configuration gives for it."""

    code = "HLM-3092"
    remedy = "Raise `store: {encryption: {memory: …}}` above what the message says, start the node again, and run `hilum jobs retry`."


class OpenedFull(JournalError):
    """There is no room in memory for what has to be opened: jobs that run now hold it."""

    code = "HLM-7058"
    remedy = (
        "It goes on by itself when they end. Should it come again: raise `store: {encryption: {memory: …}}` (the largest study, times "
        "`workers`), and with it the tmpfs below it."
    )
    retry = True
