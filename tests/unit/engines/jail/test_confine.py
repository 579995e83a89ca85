"""The jail by itself: Python that runs in a confined process tries all that a model whose author found a way to native code would try."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from multiprocessing import shared_memory
from pathlib import Path

import pytest

from inference.engines.jail.landlock import landlock_abi
from inference.engines.jail.seccomp import ALLOWED, program, seccomp_there

ROOT = Path(__file__).resolve().parents[4]
BEFORE = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import os, socket, ctypes, errno, mmap, signal, subprocess\n"
CONFINE = "from inference.engines.jail.confine import confine\nconfined = confine()\nassert confined.whole, confined\n"

pytestmark = pytest.mark.skipif(not (landlock_abi() and seccomp_there()), reason="this kernel has no Landlock or no seccomp filters")


CALL = (
    "libc = ctypes.CDLL(None, use_errno=True)\n"
    "def call(number, *words):\n"
    "    result = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(word) for word in words))\n"
    "    if result < 0:\n"
    "        raise OSError(ctypes.get_errno(), 'refused')\n"
    "    return result\n"
)


def inside(payload: str, *, before: str = "", descriptors: tuple[int, ...] = ()) -> str:
    """What a payload prints that runs confined; `before` runs in the same process before that."""
    done = subprocess.run(
        [sys.executable, "-I", "-c", BEFORE + before + CONFINE + payload],
        capture_output=True,
        text=True,
        timeout=60,
        pass_fds=descriptors,
        env={},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def refusals(statements: Sequence[str], *, descriptors: tuple[int, ...] = ()) -> dict[str, str]:
    """By statement: the name of the error with which it fails in one confined process; "done" where it does not."""
    payload = (
        CALL
        + f"""
import json
said = {{}}
for statement in json.loads({json.dumps(json.dumps(list(statements)))}):
    try:
        exec(statement)
        said[statement] = "done"
    except OSError as no:
        said[statement] = errno.errorcode[no.errno]
print(json.dumps(said))
"""
    )
    found: dict[str, str] = json.loads(inside(payload, descriptors=descriptors))
    return found


def let_through(statements: Sequence[str], *errors: str, descriptors: tuple[int, ...] = ()) -> dict[str, str]:
    """Those that are not refused with one of `errors`, and what became of them."""
    return {statement: said for statement, said in refusals(statements, descriptors=descriptors).items() if said not in errors}


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    """A file beside a model."""
    file = tmp_path / "secret"
    file.write_text("the journal")
    return file


READ = (
    "/etc/passwd",
    "/proc/self/environ",
    "/proc/self/maps",
    "/proc/1/environ",
    "/proc/1/cmdline",
    "/dev/null",
    "/root/.bashrc",
    "/var/log/dpkg.log",
)


def test_no_file_of_the_machine_is_read() -> None:
    assert not let_through([f"open({path!r}, 'rb').read()" for path in READ], "EACCES", "ENOENT")


def test_the_file_is_readable_outside_so_that_the_refusals_mean_something(secret: Path) -> None:
    """What the jail is asked for is there, and this user may have it."""
    assert inside("print(text)", before=f"text = open({str(secret)!r}).read()\nopen('/etc/passwd').read()\n") == "the journal"


def test_no_file_is_read_written_made_removed_linked_or_listed(secret: Path) -> None:
    folder, file = str(secret.parent), str(secret)
    statements = (
        f"open({file!r}).read()",
        f"open({file!r}, 'w')",
        f"open({file!r}, 'ab')",
        f"os.open({folder!r}, os.O_TMPFILE | os.O_RDWR)",
        f"open({folder + '/new'!r}, 'x')",
        f"os.mkdir({folder + '/new'!r})",
        f"os.remove({file!r})",
        f"os.rename({file!r}, {folder + '/moved'!r})",
        f"os.symlink('/etc/passwd', {folder + '/link'!r})",
        f"os.link({file!r}, {folder + '/link'!r})",
        f"os.truncate({file!r}, 0)",
        f"os.chmod({file!r}, 0o777)",
        f"os.utime({file!r})",
        f"os.setxattr({file!r}, 'user.x', b'x')",
        f"os.listdir({folder!r})",
        f"os.mkfifo({folder + '/fifo'!r})",
        f"os.chdir({folder!r})",
        "os.chroot('/')",
    )
    assert not let_through(statements, "EACCES", "EPERM")
    assert secret.read_text() == "the journal"
    assert [each.name for each in secret.parent.iterdir()] == ["secret"]


def test_the_parent_s_memory_and_descriptors_stay_its_own() -> None:
    statements = (
        "open(f'/proc/{os.getppid()}/mem', 'rb')",
        "open(f'/proc/{os.getppid()}/environ', 'rb').read()",
        "os.listdir(f'/proc/{os.getppid()}/fd')",
        "open(f'/proc/{os.getppid()}/fd/0', 'rb')",
        "open('/proc/self/mem', 'r+b')",
    )
    assert not let_through(statements, "EACCES", "EPERM")


def test_packages_are_read_and_not_written() -> None:
    """Modules that a library imports late are found; none is changed."""
    assert inside("import email.mime.text, xml.dom.minidom, sqlite3; print('found')") == "found"
    assert not let_through(["open(os.__file__, 'r+b')"], "EACCES")


STATEMENTS = (
    "os.fork()",
    "os.execv('/bin/true', ['true'])",
    "os.posix_spawn('/bin/true', ['true'], {})",
    "socket.create_connection(('127.0.0.1', 9), 1)",
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)",
    "socket.socket(socket.AF_UNIX)",
    "socket.socketpair()",
    "socket.socket(socket.AF_NETLINK)",
    "os.kill(os.getppid(), 0)",
    "os.kill(-1, 0)",
    "os.memfd_create('x')",
    "os.pipe()",
    "os.nice(-5)",
    "os.setuid(1234)",
    "os.setsid()",
    "subprocess.run(['/bin/true'])",
)


def test_no_network_no_process_no_signal() -> None:
    assert not let_through(STATEMENTS, "EPERM", "EACCES")


RAW = {
    "fork": (57, 0),
    "vfork": (58, 0),
    "clone of a process": (56, 17, 0, 0, 0, 0),
    "clone into a user namespace": (56, 0x10000000 | 17, 0, 0, 0, 0),
    "clone3": (435, 0, 0),
    "ptrace": (101, 16, 1, 0, 0),
    "process_vm_readv": (310, 1, 0, 0, 0, 0, 0),
    "process_vm_writev": (311, 1, 0, 0, 0, 0, 0),
    "pidfd_open": (434, 1, 0),
    "pidfd_getfd": (438, 3, 0, 0),
    "io_uring_setup": (425, 8, 0),
    "bpf": (321, 0, 0, 0),
    "mount": (165, 0, 0, 0, 0, 0),
    "setns": (308, 0, 0),
    "unshare": (272, 0x10000000),
    "keyctl": (250, 0, 0, 0, 0, 0),
    "add_key": (248, 0, 0, 0, 0, 0),
    "perf_event_open": (298, 0, 0, -1, -1, 0),
    "userfaultfd": (323, 0),
    "shmget": (29, 0, 4096, 0o1600),
    "mq_open": (240, 0, 0, 0, 0),
    "msgget": (68, 0, 0o1600),
    "openat2": (437, -100, 0, 0, 0),
    "memfd_secret": (447, 0),
    "kexec_load": (246, 0, 0, 0, 0),
    "init_module": (175, 0, 0, 0),
    "prctl, dumpable": (157, 4, 1, 0, 0, 0),
    "fcntl, owner of signals": (72, 1, 8, 1),
    "ioctl, a key into a terminal": (16, 1, 0x5412, 0),
    "tgkill of another": (234, 1, 1, 9),
    "tkill": (200, 1, 9),
    "setrlimit": (160, 7, 0),
    "prlimit of another": (302, 1, 7, 0, 0),
    "a call of the 32-bit form": (0x40000000 + 57, 0),
    "a call that no kernel has yet": (1023, 0),
}


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="numbers of x86_64")
def test_system_calls_by_number() -> None:
    named = {f"call({', '.join(map(str, words))})": name for name, words in RAW.items()}
    through = let_through(list(named), "EPERM", "ENOSYS", "ENOTTY")
    assert not {named[statement]: said for statement, said in through.items()}


def test_the_calls_of_another_architecture_end_the_process() -> None:
    """int 0x80 on x86_64 would count calls by other numbers: the filter looks at the architecture first."""
    steps = program("x86_64", 1)
    assert (steps[0].value, steps[1].value) == (4, 0xC000003E)
    assert steps[2].value == 0x80000000


def test_threads_are_bound_too_and_may_be_started(secret: Path) -> None:
    payload = (
        "import threading\n"
        "said = []\n"
        "def look():\n"
        f"    try: said.append(open({str(secret)!r}).read())\n"
        "    except OSError as no: said.append(errno.errorcode[no.errno])\n"
        "threads = [threading.Thread(target=look) for _ in range(4)]\n"
        "[each.start() for each in threads]; [each.join() for each in threads]\n"
        "print(*said)"
    )
    assert inside(payload) == "EACCES EACCES EACCES EACCES"


def test_a_process_that_has_threads_is_not_confined_half() -> None:
    """Landlock binds the calling thread alone: what would stay free is said, not left."""
    before = "import threading; held = threading.Event(); threading.Thread(target=held.wait, daemon=True).start()\n"
    payload = BEFORE + before + CONFINE
    done = subprocess.run([sys.executable, "-I", "-c", payload], capture_output=True, text=True, timeout=60, env={}, check=False)
    assert done.returncode != 0
    assert "2 threads" in done.stderr


def test_a_descriptor_that_was_there_before_is_not_reopened(secret: Path) -> None:
    """Through /proc a descriptor opened for reading would become one for writing."""
    with secret.open("rb") as held:
        number = held.fileno()
        again = [f"os.open('/proc/self/fd/{number}', os.{how})" for how in ("O_RDWR", "O_RDONLY")]
        assert not let_through(again, "EACCES", descriptors=(number,))


def test_shared_memory_of_others_is_out_of_reach() -> None:
    region = shared_memory.SharedMemory(create=True, size=64)
    try:
        assert not let_through([f"open('/dev/shm/{region.name}', 'rb').read()"], "EACCES")
    finally:
        region.close()
        region.unlink()


def test_a_link_to_what_is_outside_does_not_help(tmp_path: Path) -> None:
    link = tmp_path / "weights"
    link.symlink_to("/etc/passwd")
    assert not let_through([f"open({str(link)!r}, 'rb').read()"], "EACCES")


HEADERS = Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), Path("/usr/include/asm-generic/unistd.h")


@pytest.mark.peers
@pytest.mark.skipif(not all(header.is_file() for header in HEADERS), reason="linux-libc-dev is not installed")
def test_the_numbers_are_the_kernel_s() -> None:
    """Against the kernel's own headers; aarch64 has the generic table."""
    import re

    tables = []
    for header, prefix in zip(HEADERS, (r"__NR_", r"__NR(?:3264)?_"), strict=True):
        found = re.finditer(rf"#define {prefix}(\w+) (\d+)", header.read_text())
        tables.append({match[1]: int(match[2]) for match in found})
    tables[1]["newfstatat"] = tables[1]["fstatat"]
    for name, numbers in ALLOWED.items():
        assert numbers == tuple(table.get(name) for table in tables), name
