// This library simulates a disk that fails on command. It is preloaded into a server and wraps the
// calls that write and flush files. No call fails until the control file says so.
//
// SHIM_CONTROL names a file that holds a struct control, which the test writes. The file is mapped,
// so a change takes effect immediately, in every process.
//
// With SHIM_DISK=1 it also keeps, for an SQLite database and its WAL, what a power cut would leave:
// FILE.disk has the pages that a flush confirmed. A flush that fails leaves its pages out for good,
// as Linux does: it marks them as clean, so a later flush does not write them.

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
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

enum { PAGE = 4096, PAGES = 1 << 16, FILES = 16 };

// A file with unflushed pages.
struct tracked {
    dev_t device;
    ino_t inode;
    unsigned char is_dirty[PAGES];
};

static int keeps_disk;
static struct tracked *files[FILES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("SHIM_CONTROL");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    keeps_disk = getenv("SHIM_DISK") != NULL;
    if (fd < 0) return;
    void *mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (mapped != MAP_FAILED) control = mapped;
    close(fd);
}

// Writes the path of an open file. Returns whether it has one.
static int path_of(int fd, char path[4096]) {
    int before = errno;
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, 4095);
    errno = before;
    if (length < 0) return 0;
    path[length] = 0;
    return 1;
}

// Returns the state of a database or WAL, or NULL for other files. The lock is held.
static struct tracked *tracked_of(int fd, char path[4096]) {
    struct stat file;
    if (!path_of(fd, path) || !strstr(path, "billables.db") || strstr(path, "-shm")) return NULL;
    if (fstat(fd, &file)) return NULL;
    for (int i = 0; i < FILES; i++) {
        if (!files[i]) {
            files[i] = calloc(1, sizeof *files[i]);
            files[i]->device = file.st_dev;
            files[i]->inode = file.st_ino;
        }
        if (files[i]->device == file.st_dev && files[i]->inode == file.st_ino) return files[i];
    }
    abort();
}

// Notes that bytes of a file were written and not flushed.
static void written(int fd, off64_t offset, ssize_t count) {
    if (!keeps_disk || count <= 0) return;
    char path[4096];
    pthread_mutex_lock(&lock);
    struct tracked *file = tracked_of(fd, path);
    if (file) {
        for (off64_t page = offset / PAGE; page <= (offset + count - 1) / PAGE; page++) {
            if (page >= PAGES) abort();
            file->is_dirty[page] = 1;
        }
    }
    pthread_mutex_unlock(&lock);
}

// Copies the unflushed pages to the disk if the flush succeeded. Otherwise they are lost.
static void flushed(int fd, int has_failed) {
    if (!keeps_disk) return;
    char path[4096 + 8];
    int before = errno;
    pthread_mutex_lock(&lock);
    struct tracked *file = tracked_of(fd, path);
    if (file) {
        strcat(path, ".disk");
        int disk = has_failed ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
        struct stat now;
        for (off64_t page = 0; page < PAGES; page++) {
            if (!file->is_dirty[page]) continue;
            file->is_dirty[page] = 0;
            char bytes[PAGE];
            if (disk < 0) continue;
            ssize_t count = syscall(SYS_pread64, fd, bytes, PAGE, page * PAGE);
            if (count > 0) syscall(SYS_pwrite64, disk, bytes, count, page * PAGE);
        }
        if (disk >= 0) {
            if (!fstat(fd, &now) && ftruncate(disk, now.st_size)) abort();
            close(disk);
        }
    }
    pthread_mutex_unlock(&lock);
    errno = before;
}

// Returns the mode if this call must fail, else 0.
static char fails(int fd, const char *modes) {
    char mode = control ? (char)atomic_load(&control->mode) : 0;
    char path[4096];
    if (!mode || !strchr(modes, mode) || !path_of(fd, path)) return 0;
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
    off64_t offset = keeps_disk ? lseek64(fd, 0, SEEK_CUR) : 0;
    ssize_t done = syscall(SYS_write, fd, bytes, count);
    written(fd, offset, done);
    return done;
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off64_t offset) {
    char mode = fails(fd, "nis");
    if (mode == 's' && count > 1) count /= 2;
    else if (mode) { errno = error_of(mode); return -1; }
    ssize_t done = syscall(SYS_pwrite64, fd, bytes, count, offset);
    written(fd, offset, done);
    return done;
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

static int flush(int fd, long call) {
    int has_failed = fails(fd, "f") != 0;
    if (has_failed) errno = EIO;
    // Nothing is written between the call and the copy, because SQLite holds its lock.
    int result = has_failed ? -1 : (int)syscall(call, fd);
    flushed(fd, has_failed);
    return result;
}

int fsync(int fd) { return flush(fd, SYS_fsync); }

int fdatasync(int fd) { return flush(fd, SYS_fdatasync); }
