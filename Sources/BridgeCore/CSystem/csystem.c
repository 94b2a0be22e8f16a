#define _GNU_SOURCE
#include "CSystem.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <signal.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <stdio.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int csys_open_direct(int descriptor, int writable) {
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    return open(path, (writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_DIRECT);
}

int64_t csys_cached_pages(int descriptor, int64_t offset, int64_t count) {
    // cachestat(2) of Linux 6.5, which C libraries do not know yet; it has one number everywhere.
    struct {
        uint64_t offset, length;
    } range = {(uint64_t)offset, (uint64_t)count};
    struct {
        uint64_t cached, dirty, writeback, evicted, recently_evicted;
    } found;
    return syscall(451, descriptor, &range, &found, 0) == 0 ? (int64_t)found.cached : -1;
}

int csys_reserve(int descriptor, int64_t size) { return fallocate(descriptor, 0, 0, size); }

int csys_exchange(const char *one, const char *other) {
    return renameat2(AT_FDCWD, one, AT_FDCWD, other, RENAME_EXCHANGE);
}

int csys_rename_new(const char *from, const char *to) {
    int result = renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE);
    if (result == 0) return 0;
    struct stat status;
    // Plain rename replaces a directory only when it is empty, and fails with ENOTEMPTY otherwise.
    if (errno == EINVAL || errno == ENOSYS || (errno == EEXIST && stat(to, &status) == 0 && S_ISDIR(status.st_mode))) {
        result = rename(from, to);
        if (result != 0 && errno == ENOTEMPTY) errno = EEXIST;
    }
    return result;
}

const char *csys_own_library(void) {
    Dl_info info;
    return dladdr((const void *)csys_own_library, &info) != 0 ? info.dli_fname : NULL;
}

int64_t csys_web_date(const char *text) {
    struct tm date = {0};
    return strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &date) ? (int64_t)timegm(&date) : -1;
}

void csys_release_unused_memory(void) {
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}

int csys_populate(void *start, int64_t count) {
    // MADV_POPULATE_WRITE of Linux 5.14, which C libraries may not know yet; it takes whole pages.
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)start / page * page;
    size_t length = ((uintptr_t)start + (size_t)count - first + page - 1) / page * page;
    return madvise((void *)first, length, 23) == 0 || errno == EINVAL ? 0 : -1;
}

// Linux has at most 8192 processors (NR_CPUS).
enum { word_bits = 8 * sizeof(unsigned long), mask_words = 8192 / word_bits };

int csys_processors(int thread, int *numbers, int capacity) {
    unsigned long mask[mask_words] = {0};
    if (syscall(SYS_sched_getaffinity, thread, sizeof mask, mask) < 0) return -1;
    int count = 0;
    for (int number = 0; number < mask_words * (int)word_bits; number++) {
        if (!(mask[number / word_bits] >> number % word_bits & 1)) continue;
        if (count < capacity) numbers[count] = number;
        count++;
    }
    return count;
}

int csys_limit_processors(int thread, const int *numbers, int count) {
    unsigned long mask[mask_words] = {0};
    for (int index = 0; index < count; index++) {
        unsigned number = (unsigned)numbers[index];
        if (number < mask_words * word_bits) mask[number / word_bits] |= 1ul << number % word_bits;
    }
    return syscall(SYS_sched_setaffinity, thread, sizeof mask, mask) == 0 ? 0 : -1;
}

int csys_adopt_orphans(void) { return prctl(PR_SET_CHILD_SUBREAPER, 1); }

int csys_end_with_parent(int signal) { return prctl(PR_SET_PDEATHSIG, signal); }

int csys_in_child(int (*body)(void *context), void *context, int milliseconds) {
    pid_t child = fork();
    if (child < 0) return CSYS_CHILD_NOT_STARTED;
    if (child == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        int null = open("/dev/null", O_RDWR);
        for (int stream = 0; null >= 0 && stream < 3; stream++) dup2(null, stream);
        // A crash is only counted: it leaves neither a trace nor a file.
        static const int crashes[] = {SIGSEGV, SIGBUS, SIGILL, SIGTRAP, SIGABRT, SIGFPE, SIGSYS};
        for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++) signal(crashes[i], SIG_DFL);
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        _exit(body(context));
    }
    int status = 0;
    for (int waited = 0;; waited++) {
        pid_t ended = waitpid(child, &status, WNOHANG);
        if (ended == child) break;
        if (ended < 0 && errno != EINTR) return CSYS_CHILD_NOT_STARTED;
        if (waited >= milliseconds) {
            kill(child, SIGKILL);
            while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
            return CSYS_CHILD_TIMED_OUT;
        }
        struct timespec pause = {0, 1000000};
        nanosleep(&pause, NULL);
    }
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

char **csys_environment(void) { return environ; }

uint32_t csys_word_load(const void *word) { return __atomic_load_n((const uint32_t *)word, __ATOMIC_ACQUIRE); }

void csys_word_store(void *word, uint32_t value) {
    __atomic_store_n((uint32_t *)word, value, __ATOMIC_RELEASE);
    syscall(SYS_futex, word, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void csys_word_wait(const void *word, uint32_t value, int milliseconds) {
    struct timespec limit = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    syscall(SYS_futex, word, FUTEX_WAIT, value, &limit, NULL, 0);
}
