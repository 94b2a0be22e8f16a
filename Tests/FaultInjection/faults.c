#define _GNU_SOURCE
#include "FaultInjection.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

enum action { NONE, FAIL, SHORT };

static atomic_int counted;

// Writes a byte to the file that counts, with system calls of its own, so that these are not counted.
static void count_one(void) {
    const char *path = getenv("BRIDGE_FAULT_COUNT");
    if (!path) return;
    long file = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) return;
    syscall(SYS_write, file, "x", 1);
    syscall(SYS_close, file);
}

static int is_under(const char *path, int descriptor) {
    const char *root = getenv("BRIDGE_FAULT_UNDER");
    if (!root) return 1;
    char link[64], found[PATH_MAX];
    if (!path) {
        snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
        ssize_t length = syscall(SYS_readlinkat, AT_FDCWD, link, found, sizeof found - 1);
        if (length < 0) return 0;
        found[length] = 0;
        path = found;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

// Whether this process is the rank that the variable names; without the variable every process is.
static int is_wanted_rank(void) {
    const char *wanted = getenv("BRIDGE_FAULT_RANK"), *own = getenv("OMPI_COMM_WORLD_RANK");
    return !wanted || (own && strcmp(wanted, own) == 0);
}

// Decides what happens to a call, and sets errno for one that fails.
static enum action fault(const char *call, const char *path, int descriptor) {
    const char *wanted = getenv("BRIDGE_FAULT_CALL");
    int saved = errno;
    if (!wanted || !is_wanted_rank() || (strcmp(wanted, call) != 0 && strcmp(wanted, "any") != 0) || !is_under(path, descriptor)) {
        errno = saved;
        return NONE;
    }
    count_one();
    const char *number = getenv("BRIDGE_FAULT_NUMBER"), *action = getenv("BRIDGE_FAULT_ACTION");
    errno = saved;
    if (!number || !action || atomic_fetch_add(&counted, 1) + 1 != atoi(number)) return NONE;
    if (strcmp(action, "KILL") == 0) syscall(SYS_kill, getpid(), SIGKILL);
    if (strcmp(action, "STOP") == 0) {
        syscall(SYS_kill, getpid(), SIGSTOP);
        errno = saved;
        return NONE;
    }
    if (strcmp(action, "SHORT") == 0) return SHORT;
    errno = strcmp(action, "ENOSPC") == 0   ? ENOSPC
            : strcmp(action, "EINTR") == 0  ? EINTR
            : strcmp(action, "EINVAL") == 0 ? EINVAL
                                            : EIO;
    return FAIL;
}

static size_t half(size_t count) { return count > 1 ? count / 2 : count; }

#define REAL(result, name, ...)                                                        \
    static result (*real)(__VA_ARGS__);                                                \
    if (!real) real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name);

static int opened(const char *symbol, const char *path, int flags, mode_t mode) {
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, symbol);
    return fault("open", path, -1) == FAIL ? -1 : real(path, flags, mode);
}

#define MODE(flags)                          \
    mode_t mode = 0;                         \
    if ((flags) & (O_CREAT | O_TMPFILE)) {   \
        va_list rest;                        \
        va_start(rest, flags);               \
        mode = (mode_t)va_arg(rest, int);    \
        va_end(rest);                        \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return opened("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return opened("open64", path, flags, mode);
}

ssize_t write(int descriptor, const void *bytes, size_t count) {
    REAL(ssize_t, "write", int, const void *, size_t)
    enum action action = fault("write", NULL, descriptor);
    return action == FAIL ? -1 : real(descriptor, bytes, action == SHORT ? half(count) : count);
}

ssize_t pwrite(int descriptor, const void *bytes, size_t count, off_t offset) {
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t)
    enum action action = fault("pwrite", NULL, descriptor);
    return action == FAIL ? -1 : real(descriptor, bytes, action == SHORT ? half(count) : count, offset);
}

ssize_t pwrite64(int descriptor, const void *bytes, size_t count, off_t offset) {
    return pwrite(descriptor, bytes, count, offset);
}

int fsync(int descriptor) {
    REAL(int, "fsync", int)
    return fault("fsync", NULL, descriptor) == FAIL ? -1 : real(descriptor);
}

int ftruncate(int descriptor, off_t size) {
    REAL(int, "ftruncate", int, off_t)
    return fault("ftruncate", NULL, descriptor) == FAIL ? -1 : real(descriptor, size);
}

int ftruncate64(int descriptor, off_t size) { return ftruncate(descriptor, size); }

int rename(const char *from, const char *to) {
    REAL(int, "rename", const char *, const char *)
    return fault("rename", to, -1) == FAIL ? -1 : real(from, to);
}

int renameat2(int from_directory, const char *from, int to_directory, const char *to, unsigned int flags) {
    REAL(int, "renameat2", int, const char *, int, const char *, unsigned int)
    return fault("rename", to, -1) == FAIL ? -1 : real(from_directory, from, to_directory, to, flags);
}

void *mmap(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t)
    // Memory that belongs to no file is the allocator's.
    if (descriptor >= 0 && fault("mmap", NULL, descriptor) == FAIL) return MAP_FAILED;
    return real(address, length, protection, flags, descriptor, offset);
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off_t offset) {
    return mmap(address, length, protection, flags, descriptor, offset);
}

int mkdir(const char *path, mode_t mode) {
    REAL(int, "mkdir", const char *, mode_t)
    return fault("mkdir", path, -1) == FAIL ? -1 : real(path, mode);
}

int unlink(const char *path) {
    REAL(int, "unlink", const char *)
    return fault("unlink", path, -1) == FAIL ? -1 : real(path);
}

int rmdir(const char *path) {
    REAL(int, "rmdir", const char *)
    return fault("rmdir", path, -1) == FAIL ? -1 : real(path);
}

int connect(int socket, const struct sockaddr *address, socklen_t length) {
    REAL(int, "connect", int, const struct sockaddr *, socklen_t)
    return fault("connect", "", -1) == FAIL ? -1 : real(socket, address, length);
}

ssize_t recv(int socket, void *bytes, size_t count, int flags) {
    REAL(ssize_t, "recv", int, void *, size_t, int)
    enum action action = fault("recv", "", -1);
    return action == FAIL ? -1 : real(socket, bytes, action == SHORT ? half(count) : count, flags);
}
