// This library simulates a disk that fails on command. It is preloaded into a server and wraps the
// calls that write and flush files. No call fails until the control file says so.
//
// SHIM_CONTROL names a file that holds a struct control, which the test writes. The file is mapped,
// so a change takes effect immediately, in every process.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    // n: writes fail with ENOSPC; s: half of the bytes are written, then ENOSPC; i: writes fail
    // with EIO; f: flushes fail with EIO; anything else: nothing fails
    atomic_uchar mode;
    // one call in this many fails
    atomic_uchar every;
    unsigned char unused[6];
    atomic_ullong seen;
    atomic_ullong failed;
    // a substring of the file's path
    char match[64];
};

static struct control *control;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) control = mapped;
    close(fd);
}

// Returns the mode if this call must fail, else 0.
static char fails(int fd, const char *modes) {
    char mode = control ? (char)atomic_load(&control->mode) : 0;
    if (!mode || !strchr(modes, mode)) return 0;
    int before = errno;
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    if (!strstr(path, control->match)) return 0;
    unsigned every = atomic_load(&control->every);
    if (atomic_fetch_add(&control->seen, 1) % (every ? every : 1)) return 0;
    atomic_fetch_add(&control->failed, 1);
    return mode;
}

static int error_of(char mode) { return mode == 'i' || mode == 'f' ? EIO : ENOSPC; }

ssize_t write(int fd, const void *bytes, size_t count) {
    char mode = fails(fd, "nis");
    if (mode == 's' && count > 1) count /= 2;
    else if (mode) { errno = error_of(mode); return -1; }
    return syscall(SYS_write, fd, bytes, count);
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    char mode = fails(fd, "nis");
    if (mode == 's' && count > 1) count /= 2;
    else if (mode) { errno = error_of(mode); return -1; }
    return syscall(SYS_pwrite64, fd, bytes, count, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t count, off_t offset) {
    return pwrite64(fd, bytes, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    char mode = fails(fd, "nis");
    if (mode) { errno = error_of(mode); return -1; }
    return syscall(SYS_pwritev, fd, parts, count, (long)offset, (long)0);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return pwritev64(fd, parts, count, offset);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    char mode = fails(fd, "nis");
    if (mode) { errno = error_of(mode); return -1; }
    return syscall(SYS_writev, fd, parts, count);
}

int fsync(int fd) {
    if (fails(fd, "f")) { errno = EIO; return -1; }
    return (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd) {
    if (fails(fd, "f")) { errno = EIO; return -1; }
    return (int)syscall(SYS_fdatasync, fd);
}
