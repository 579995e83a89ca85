/* A disk that remembers and, when told to, fails: preloaded into the processes of a node by tests/crash/disk.py, which compiles it.
 *
 * Below HILUM_DISK_ROOT every change of a file or folder, every flush (its beginning and its end), and every P-DATA-TF and A-RELEASE-RP
 * that goes out on a socket is appended to HILUM_DISK_LOG, in the order in which they happened in all processes. HILUM_DISK_CONTROL is a file mapped by all
 * of them through which the tests let operations fail, cut writes short, kill the caller, lie about free space and turn the clock.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CREATE = 'c', MAKE = 'm', RENAME = 'r', LINK = 'l', UNLINK = 'u', RMDIR = 'd', WRITE = 'w', TRUNCATE = 't',
       BEGIN = 'b', END = 'e', FAILED = 'f', EVERYTHING = 'a', SEND = 's' };

/* operations that can be told to fail; the same numbers stand in disk.py */
enum { OP_WRITE = 1, OP_FSYNC = 2, OP_FDATASYNC = 4, OP_RENAME = 8, OP_LINK = 16, OP_UNLINK = 32, OP_OPEN = 64, OP_MKDIR = 128,
       OP_TRUNCATE = 256, OP_SEND = 512, OP_READ = 1024 };
enum { MODE_FAIL = 0, MODE_SHORT = 1, MODE_KILL = 2, MODE_KILL_AFTER = 3 };
enum { VICTIM_SELF = 0, VICTIM_PARENT = 1, VICTIM_NODE = 2 };

struct control {
    _Atomic uint32_t active, operations;
    _Atomic int32_t error;
    _Atomic uint32_t mode;
    _Atomic uint32_t victim, unused;
    _Atomic int64_t skip, count;   /* let so many pass, then so many fail; count < 0: all of them */
    _Atomic uint64_t fired;
    _Atomic int64_t clock_ns;      /* what the clock is ahead of the truth */
    _Atomic int64_t free_bytes;    /* what statvfs says is free; < 0: the truth */
    _Atomic uint32_t lies, spare;  /* flushes that the receiver leaves out, or makes too late */
    char path[128];                /* a part of the path that is meant; empty: all */
    char process[64];              /* a part of the command line that is meant; empty: all */
};

enum { LIE_FSYNC = OP_FSYNC, LIE_FDATASYNC = OP_FDATASYNC, LIE_LATE = 8 };

static struct control nothing = {.free_bytes = -1};
static struct control *control = &nothing;
static char root[PATH_MAX], command[4096];
static size_t root_length;
static int log_fd = -1;
static _Atomic uint64_t tokens;

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static ssize_t plain_write(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return real(fd, parts, count);
}

static int plain_open(const char *path, int flags, mode_t mode) {
    REAL(int, open64, const char *, int, ...);
    return real(path, flags, mode);
}

/* whether this process's command line contains `part`: read anew after a fork, which may be called otherwise than its parent */
static int is_called(const char *part) {
    static _Atomic pid_t read_by;
    pid_t own = getpid();
    if (atomic_load(&read_by) != own) {
        int self = plain_open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC, 0);
        if (self < 0) return 0;
        ssize_t length = read(self, command, sizeof command - 1);
        close(self);
        if (length < 0) length = 0;
        for (ssize_t i = 0; i < length; i++)
            if (!command[i]) command[i] = ' ';
        command[length] = 0;
        atomic_store(&read_by, own);
    }
    return strstr(command, part) != NULL;
}

__attribute__((constructor)) static void start(void) {
    const char *at = getenv("HILUM_DISK_ROOT"), *log = getenv("HILUM_DISK_LOG"), *told = getenv("HILUM_DISK_CONTROL");
    if (told) {
        int fd = plain_open(told, O_RDWR | O_CLOEXEC, 0);
        if (fd >= 0) {
            void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
            if (mapped != MAP_FAILED) control = mapped;
            close(fd);
        }
    }
    if (!at) return;
    snprintf(root, sizeof root, "%s", at);
    root_length = strlen(root);
    if (log) {
        int fd = plain_open(log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
        log_fd = fcntl(fd, F_DUPFD_CLOEXEC, 900);
        close(fd);
    }
}

/* ---- what is meant */

static int inside(const char *path) {
    return root_length && !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

static int path_of(int fd, char *path) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, PATH_MAX - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return inside(path);
}

/* the absolute path of `path` below `folder`, without following a last link; whether it lies inside */
static int full(int folder, const char *path, char *out) {
    char base[PATH_MAX];
    if (path[0] == '/') snprintf(out, PATH_MAX, "%s", path);
    else {
        if (folder == AT_FDCWD) { if (!getcwd(base, sizeof base)) return 0; }
        else {
            char link[64];
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            ssize_t length = readlink(link, base, sizeof base - 1);
            if (length < 0) return 0;
            base[length] = 0;
        }
        if (snprintf(out, PATH_MAX, "%s/%s", base, path) >= PATH_MAX) return 0;
    }
    return inside(out);
}

static uint64_t inode_at(const char *path) {
    struct stat64 found;
    return lstat64(path, &found) ? 0 : found.st_ino;
}

static uint64_t inode_of(int fd) {
    struct stat64 found;
    return fstat64(fd, &found) ? 0 : found.st_ino;
}

static int is_file(int fd, char *path) {
    struct stat64 found;
    return root_length && !fstat64(fd, &found) && S_ISREG(found.st_mode) && path_of(fd, path);
}

/* ---- the log */

struct head { uint32_t magic, kind, pid, one, two, data; uint64_t inode, offset, length; };

static void say(char kind, uint64_t inode, const char *one, const char *two, uint64_t offset, uint64_t length, const void *data, size_t size) {
    if (log_fd < 0) return;
    int kept = errno;
    struct head head = {0x48494c55, (uint32_t)kind, (uint32_t)getpid(), one ? strlen(one) : 0, two ? strlen(two) : 0, size, inode, offset, length};
    struct iovec parts[4] = {{&head, sizeof head}, {(void *)one, head.one}, {(void *)two, head.two}, {(void *)data, size}};
    plain_write(log_fd, parts, 4);
    errno = kept;
}

/* what was written without passing through a buffer of ours is read back */
static void say_region(int fd, uint64_t offset, uint64_t length) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int again = plain_open(link, O_RDONLY | O_CLOEXEC, 0);
    char *data = malloc(length ? length : 1);
    ssize_t got = again < 0 ? -1 : pread64(again, data, length, offset);
    if (got > 0) say(WRITE, inode_of(fd), NULL, NULL, offset, got, data, got);
    free(data);
    if (again >= 0) close(again);
}

/* ---- faults */

/* whoever is meant dies at once; the caller waits for it, should it be another */
static void strike(void) {
    uint32_t victim = atomic_load(&control->victim);
    kill(victim == VICTIM_PARENT ? getppid() : victim == VICTIM_NODE ? 0 : getpid(), SIGKILL);
    if (victim != VICTIM_PARENT) pause();
}

/* 0: go on; otherwise the errno to give. `shorten`: cut the write. `after`: kill once it is done */
static int fault(uint32_t operation, const char *path, int *shorten, int *after) {
    *shorten = *after = 0;
    if (!atomic_load(&control->active) || !(atomic_load(&control->operations) & operation)) return 0;
    if (control->path[0] && (!path || !strstr(path, control->path))) return 0;
    if (control->process[0] && !is_called(control->process)) return 0;
    if (atomic_fetch_sub(&control->skip, 1) > 0) return 0;
    int64_t left = atomic_load(&control->count);
    if (left == 0) return 0;
    if (left > 0 && atomic_fetch_sub(&control->count, 1) <= 0) return 0;
    atomic_fetch_add(&control->fired, 1);
    switch (atomic_load(&control->mode)) {
    case MODE_SHORT: *shorten = 1; return 0;
    case MODE_KILL: strike(); return EIO;
    case MODE_KILL_AFTER: *after = 1; return 0;
    default: return atomic_load(&control->error);
    }
}

static void over(int after) {
    if (after) strike();
}

/* ---- opening */

static int opened(int folder, const char *path, int flags, mode_t mode, int (*act)(int, const char *, int, mode_t)) {
    char whole[PATH_MAX];
    int writes = (flags & O_ACCMODE) != O_RDONLY;
    if (!root_length || !writes || !full(folder, path, whole)) return act(folder, path, flags, mode);
    int shorten, after, error = fault(OP_OPEN, whole, &shorten, &after);
    if (error) { errno = error; return -1; }
    int nameless = (flags & O_TMPFILE) == O_TMPFILE;
    uint64_t before = nameless ? 0 : inode_at(whole);
    int fd = act(folder, path, flags, mode);
    if (fd < 0) return fd;
    if (nameless) say(CREATE, inode_of(fd), NULL, NULL, 0, 0, NULL, 0);
    else if (!before && (flags & O_CREAT)) say(CREATE, inode_of(fd), whole, NULL, 0, 0, NULL, 0);
    else if (flags & O_TRUNC) say(TRUNCATE, inode_of(fd), NULL, NULL, 0, 0, NULL, 0);
    over(after);
    return fd;
}

static int act_open(int folder, const char *path, int flags, mode_t mode) { (void)folder; return plain_open(path, flags, mode); }
static int act_openat(int folder, const char *path, int flags, mode_t mode) {
    REAL(int, openat64, int, const char *, int, ...);
    return real(folder, path, flags, mode);
}

#define MODE_OF(flags) mode_t mode = 0; \
    if ((flags) & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); }

int open(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode, act_open); }
int open64(const char *path, int flags, ...) { MODE_OF(flags) return opened(AT_FDCWD, path, flags, mode, act_open); }
int openat(int folder, const char *path, int flags, ...) { MODE_OF(flags) return opened(folder, path, flags, mode, act_openat); }
int openat64(int folder, const char *path, int flags, ...) { MODE_OF(flags) return opened(folder, path, flags, mode, act_openat); }

/* ---- writing */

/* whether it is one that is meant to be the last act: then the caller dies when it has left */
static int say_sent(int fd, const void *data, size_t size) {
    struct stat64 found;
    int shorten, after;
    if (!root_length || size < 6 || size > 65536) return 0;
    int kind = *(const unsigned char *)data;
    if ((kind != 4 && !(kind == 6 && size == 10)) || fstat64(fd, &found) || !S_ISSOCK(found.st_mode)) return 0;
    after = 0;
    if (kind == 4) fault(OP_SEND, NULL, &shorten, &after);
    /* before it leaves: from now on the peer may have it */
    say(SEND, fd, NULL, NULL, 0, size, data, size);
    return after;
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    char path[PATH_MAX];
    if (fd == log_fd || fd <= 2) return real(fd, data, size);
    if (!is_file(fd, path)) {
        int last = say_sent(fd, data, size);
        ssize_t sent = real(fd, data, size);
        over(last);
        return sent;
    }
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    if (shorten && size > 1) size /= 2;
    ssize_t wrote = real(fd, data, size);
    if (wrote > 0) say(WRITE, inode_of(fd), NULL, NULL, lseek64(fd, 0, SEEK_CUR) - wrote, wrote, data, wrote);
    over(after);
    return wrote;
}

static ssize_t written_at(int fd, const void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    char path[PATH_MAX];
    if (!is_file(fd, path)) return real(fd, data, size, offset);
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    if (shorten && size > 1) size /= 2;
    ssize_t wrote = real(fd, data, size, offset);
    if (wrote > 0) say(WRITE, inode_of(fd), NULL, NULL, offset, wrote, data, wrote);
    over(after);
    return wrote;
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t offset) { return written_at(fd, data, size, offset); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset) { return written_at(fd, data, size, offset); }

static struct iovec *cut(const struct iovec *parts, int *count, struct iovec *out) {
    *count = *count > 1 ? *count / 2 : 1;
    memcpy(out, parts, *count * sizeof *out);
    if (*count == 1 && out[0].iov_len > 1) out[0].iov_len /= 2;
    return out;
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char path[PATH_MAX];
    if (fd == log_fd || !is_file(fd, path)) {
        int last = fd > 2 && fd != log_fd && count > 0 && say_sent(fd, parts[0].iov_base, parts[0].iov_len);
        ssize_t sent = plain_write(fd, parts, count);
        over(last);
        return sent;
    }
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    struct iovec shorter[IOV_MAX];
    if (shorten) parts = cut(parts, &count, shorter);
    ssize_t wrote = plain_write(fd, parts, count);
    if (wrote > 0) say_region(fd, lseek64(fd, 0, SEEK_CUR) - wrote, wrote);
    over(after);
    return wrote;
}

static ssize_t written_parts_at(int fd, const struct iovec *parts, int count, off64_t offset) {
    REAL(ssize_t, pwritev64, int, const struct iovec *, int, off64_t);
    char path[PATH_MAX];
    if (!is_file(fd, path)) return real(fd, parts, count, offset);
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    struct iovec shorter[IOV_MAX];
    if (shorten) parts = cut(parts, &count, shorter);
    ssize_t wrote = real(fd, parts, count, offset);
    if (wrote > 0) say_region(fd, offset, wrote);
    over(after);
    return wrote;
}
ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) { return written_parts_at(fd, parts, count, offset); }
ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) { return written_parts_at(fd, parts, count, offset); }

static ssize_t sent_to_file(int to, int from, off64_t *at, size_t size) {
    REAL(ssize_t, sendfile64, int, int, off64_t *, size_t);
    char path[PATH_MAX];
    if (!is_file(to, path)) return real(to, from, at, size);
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    ssize_t wrote = real(to, from, at, shorten && size > 1 ? size / 2 : size);
    if (wrote > 0) say_region(to, lseek64(to, 0, SEEK_CUR) - wrote, wrote);
    over(after);
    return wrote;
}
ssize_t sendfile(int to, int from, off_t *at, size_t size) { return sent_to_file(to, from, at, size); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { return sent_to_file(to, from, at, size); }

ssize_t splice(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    REAL(ssize_t, splice, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (!is_file(to, path)) return real(from, from_at, to, to_at, size, flags);
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    ssize_t wrote = real(from, from_at, to, to_at, shorten && size > 1 ? size / 2 : size, flags);
    if (wrote > 0) say_region(to, to_at ? (uint64_t)*to_at - wrote : (uint64_t)lseek64(to, 0, SEEK_CUR) - wrote, wrote);
    over(after);
    return wrote;
}

ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) {
    REAL(ssize_t, copy_file_range, int, off64_t *, int, off64_t *, size_t, unsigned);
    char path[PATH_MAX];
    if (!is_file(to, path)) return real(from, from_at, to, to_at, size, flags);
    int shorten, after, error = fault(OP_WRITE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    ssize_t wrote = real(from, from_at, to, to_at, shorten && size > 1 ? size / 2 : size, flags);
    if (wrote > 0) say_region(to, to_at ? (uint64_t)*to_at - wrote : (uint64_t)lseek64(to, 0, SEEK_CUR) - wrote, wrote);
    over(after);
    return wrote;
}

static int resized(int fd, off64_t length) {
    REAL(int, ftruncate64, int, off64_t);
    char path[PATH_MAX];
    if (!is_file(fd, path)) return real(fd, length);
    int shorten, after, error = fault(OP_TRUNCATE, path, &shorten, &after);
    if (error) { errno = error; return -1; }
    int done = real(fd, length);
    if (!done) say(TRUNCATE, inode_of(fd), NULL, NULL, 0, length, NULL, 0);
    over(after);
    return done;
}
int ftruncate(int fd, off_t length) { return resized(fd, length); }
int ftruncate64(int fd, off64_t length) { return resized(fd, length); }

static void say_allocated(int fd) {
    char path[PATH_MAX];
    struct stat64 found;
    if (is_file(fd, path) && !fstat64(fd, &found)) say(TRUNCATE, inode_of(fd), NULL, NULL, 0, found.st_size, NULL, 0);
}
int fallocate64(int fd, int mode, off64_t offset, off64_t length) {
    REAL(int, fallocate64, int, int, off64_t, off64_t);
    char path[PATH_MAX];
    int shorten, after, error = is_file(fd, path) ? fault(OP_WRITE, path, &shorten, &after) : 0;
    if (error) { errno = error; return -1; }
    int done = real(fd, mode, offset, length);
    if (!done) say_allocated(fd);
    return done;
}
int fallocate(int fd, int mode, off_t offset, off_t length) { return fallocate64(fd, mode, offset, length); }
int posix_fallocate64(int fd, off64_t offset, off64_t length) {
    REAL(int, posix_fallocate64, int, off64_t, off64_t);
    char path[PATH_MAX];
    int shorten, after, error = is_file(fd, path) ? fault(OP_WRITE, path, &shorten, &after) : 0;
    if (error) return error;
    int done = real(fd, offset, length);
    if (!done) say_allocated(fd);
    return done;
}
int posix_fallocate(int fd, off_t offset, off_t length) { return posix_fallocate64(fd, offset, length); }

/* ---- reading: only while it is to fail */

static int unreadable(int fd) {
    char path[PATH_MAX];
    if (!root_length || !atomic_load(&control->active) || !(atomic_load(&control->operations) & OP_READ) || !is_file(fd, path)) return 0;
    int shorten, after;
    return fault(OP_READ, path, &shorten, &after);
}
ssize_t read(int fd, void *data, size_t size) {
    REAL(ssize_t, read, int, void *, size_t);
    int error = unreadable(fd);
    if (error) { errno = error; return -1; }
    return real(fd, data, size);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t offset) {
    REAL(ssize_t, pread64, int, void *, size_t, off64_t);
    int error = unreadable(fd);
    if (error) { errno = error; return -1; }
    return real(fd, data, size, offset);
}
ssize_t pread(int fd, void *data, size_t size, off_t offset) { return pread64(fd, data, size, offset); }

/* ---- flushing */

static int flushed(int fd, uint32_t operation, int (*act)(int)) {
    char path[PATH_MAX];
    if (!root_length || !path_of(fd, path)) return act(fd);
    int shorten, after;
    uint64_t token = (uint64_t)getpid() << 32 | atomic_fetch_add(&tokens, 1), inode = inode_of(fd);
    say(BEGIN, inode, path, NULL, token, 0, NULL, 0);
    int error = fault(operation, path, &shorten, &after);
    if (error) {
        /* the kernel marks what it could not write as clean: a later flush that succeeds does not bring it to the disk */
        say(FAILED, inode, NULL, NULL, token, 0, NULL, 0);
        errno = error;
        return -1;
    }
    int done = act(fd);
    if (!done) say(END, inode, NULL, NULL, token, 0, NULL, 0);
    over(after);
    return done;
}
/* a receiver that leaves flushes out: they succeed, and nothing was flushed; or not before the next one */
static int lied(int fd, uint32_t operation) {
    static _Atomic uint64_t late;
    static char late_path[PATH_MAX];
    char path[PATH_MAX];
    uint32_t lies = atomic_load(&control->lies);
    if (!lies || !is_called(" receive") || !path_of(fd, path)) return 0;
    if (!(lies & LIE_LATE)) return lies & operation;
    uint64_t before = atomic_exchange(&late, inode_of(fd));
    if (before) {
        uint64_t token = (uint64_t)getpid() << 32 | atomic_fetch_add(&tokens, 1);
        say(BEGIN, before, late_path, NULL, token, 0, NULL, 0);
        say(END, before, NULL, NULL, token, 0, NULL, 0);
    }
    strcpy(late_path, path);
    return 1;
}
static int act_fsync(int fd) { REAL(int, fsync, int); return real(fd); }
static int act_fdatasync(int fd) { REAL(int, fdatasync, int); return real(fd); }
int fsync(int fd) { return lied(fd, OP_FSYNC) ? 0 : flushed(fd, OP_FSYNC, act_fsync); }
int fdatasync(int fd) { return lied(fd, OP_FDATASYNC) ? 0 : flushed(fd, OP_FDATASYNC, act_fdatasync); }

int syncfs(int fd) {
    if (lied(fd, OP_FDATASYNC | OP_FSYNC)) return 0;
    REAL(int, syncfs, int);
    uint64_t token = (uint64_t)getpid() << 32 | atomic_fetch_add(&tokens, 1);
    say(BEGIN, 0, NULL, NULL, token, 0, NULL, 0);
    int done = real(fd);
    if (!done) say(EVERYTHING, 0, NULL, NULL, token, 0, NULL, 0);
    return done;
}

/* ---- names */

static int renamed(int from, const char *old, int to, const char *new, int (*act)(int, const char *, int, const char *)) {
    char one[PATH_MAX], two[PATH_MAX];
    int ours = root_length && full(from, old, one) && full(to, new, two);
    if (!ours) return act(from, old, to, new);
    int shorten, after, error = fault(OP_RENAME, two, &shorten, &after);
    if (error) { errno = error; return -1; }
    int done = act(from, old, to, new);
    if (!done) say(RENAME, inode_at(two), one, two, 0, 0, NULL, 0);
    over(after);
    return done;
}
static int act_rename(int from, const char *old, int to, const char *new) {
    (void)from; (void)to; REAL(int, rename, const char *, const char *); return real(old, new);
}
static int act_renameat(int from, const char *old, int to, const char *new) {
    REAL(int, renameat, int, const char *, int, const char *); return real(from, old, to, new);
}
int rename(const char *old, const char *new) { return renamed(AT_FDCWD, old, AT_FDCWD, new, act_rename); }
int renameat(int from, const char *old, int to, const char *new) { return renamed(from, old, to, new, act_renameat); }

static int linked(int from, const char *old, int to, const char *new, int flags) {
    REAL(int, linkat, int, const char *, int, const char *, int);
    char two[PATH_MAX];
    if (!root_length || !full(to, new, two)) return real(from, old, to, new, flags);
    int shorten, after, error = fault(OP_LINK, two, &shorten, &after);
    if (error) { errno = error; return -1; }
    int done = real(from, old, to, new, flags);
    if (!done) say(LINK, inode_at(two), two, NULL, 0, 0, NULL, 0);
    over(after);
    return done;
}
int link(const char *old, const char *new) { return linked(AT_FDCWD, old, AT_FDCWD, new, 0); }
int linkat(int from, const char *old, int to, const char *new, int flags) { return linked(from, old, to, new, flags); }

static int unlinked(int folder, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    char whole[PATH_MAX];
    if (!root_length || !full(folder, path, whole)) return real(folder, path, flags);
    int shorten, after, error = fault(OP_UNLINK, whole, &shorten, &after);
    if (error) { errno = error; return -1; }
    uint64_t inode = inode_at(whole);
    int done = real(folder, path, flags);
    if (!done) say(flags & AT_REMOVEDIR ? RMDIR : UNLINK, inode, whole, NULL, 0, 0, NULL, 0);
    over(after);
    return done;
}
int unlink(const char *path) { return unlinked(AT_FDCWD, path, 0); }
int unlinkat(int folder, const char *path, int flags) { return unlinked(folder, path, flags); }
int rmdir(const char *path) { return unlinked(AT_FDCWD, path, AT_REMOVEDIR); }

static int made(int folder, const char *path, mode_t mode) {
    REAL(int, mkdirat, int, const char *, mode_t);
    char whole[PATH_MAX];
    if (!root_length || !full(folder, path, whole)) return real(folder, path, mode);
    int shorten, after, error = fault(OP_MKDIR, whole, &shorten, &after);
    if (error) { errno = error; return -1; }
    int done = real(folder, path, mode);
    if (!done) say(MAKE, inode_at(whole), whole, NULL, 0, 0, NULL, 0);
    over(after);
    return done;
}
int mkdir(const char *path, mode_t mode) { return made(AT_FDCWD, path, mode); }
int mkdirat(int folder, const char *path, mode_t mode) { return made(folder, path, mode); }

/* ---- sockets */

ssize_t send(int fd, const void *data, size_t size, int flags) {
    REAL(ssize_t, send, int, const void *, size_t, int);
    int last = say_sent(fd, data, size);
    ssize_t sent = real(fd, data, size, flags);
    over(last);
    return sent;
}
ssize_t sendto(int fd, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t length) {
    REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t);
    int last = say_sent(fd, data, size);
    ssize_t sent = real(fd, data, size, flags, to, length);
    over(last);
    return sent;
}
ssize_t sendmsg(int fd, const struct msghdr *message, int flags) {
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int);
    int last = 0;
    if (message->msg_iovlen > 0) {
        char whole[65536];
        size_t size = 0;
        for (size_t i = 0; i < message->msg_iovlen && size + message->msg_iov[i].iov_len <= sizeof whole; i++) {
            memcpy(whole + size, message->msg_iov[i].iov_base, message->msg_iov[i].iov_len);
            size += message->msg_iov[i].iov_len;
        }
        last = say_sent(fd, whole, size);
    }
    ssize_t sent = real(fd, message, flags);
    over(last);
    return sent;
}

/* ---- room and time */

int statvfs64(const char *path, struct statvfs64 *said) {
    REAL(int, statvfs64, const char *, struct statvfs64 *);
    int done = real(path, said);
    int64_t left = atomic_load(&control->free_bytes);
    if (!done && left >= 0) said->f_bavail = said->f_bfree = left / said->f_frsize;
    return done;
}
int statvfs(const char *path, struct statvfs *said) { return statvfs64(path, (struct statvfs64 *)said); }
int fstatvfs64(int fd, struct statvfs64 *said) {
    REAL(int, fstatvfs64, int, struct statvfs64 *);
    int done = real(fd, said);
    int64_t left = atomic_load(&control->free_bytes);
    if (!done && left >= 0) said->f_bavail = said->f_bfree = left / said->f_frsize;
    return done;
}
int fstatvfs(int fd, struct statvfs *said) { return fstatvfs64(fd, (struct statvfs64 *)said); }

int clock_gettime(clockid_t which, struct timespec *now) {
    REAL(int, clock_gettime, clockid_t, struct timespec *);
    int done = real(which, now);
    int64_t ahead = atomic_load(&control->clock_ns);
    if (!done && ahead && which == CLOCK_REALTIME) {
        int64_t told = (int64_t)now->tv_sec * 1000000000 + now->tv_nsec + ahead;
        now->tv_sec = told / 1000000000;
        now->tv_nsec = told % 1000000000;
    }
    return done;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec told;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &told);
    now->tv_sec = told.tv_sec;
    now->tv_usec = told.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec told;
    clock_gettime(CLOCK_REALTIME, &told);
    if (out) *out = told.tv_sec;
    return told.tv_sec;
}
