"""What an error of the operating system is about: the one file that it was met at, or the machine."""

import errno

_THE_MACHINES = frozenset({errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.EINTR, errno.ENOSPC, errno.EDQUOT, errno.EROFS})


def is_of_the_file(failed: OSError) -> bool:
    """Whether other files may do all the same (EIO, EACCES, …), so that one need not hold up the others."""
    return failed.errno not in _THE_MACHINES
