// System calls of Linux that Swift's Glibc module does not show. Each returns 0 or a descriptor, or -1 with errno.
#ifndef CSYSTEM_H
#define CSYSTEM_H

#include <stdint.h>

// Opens the file of a descriptor again, for reading or also for writing past the page cache.
int csys_open_direct(int descriptor, int writable);

// How many pages of a stretch of a file are in the page cache; -1 where the kernel does not say.
int64_t csys_cached_pages(int descriptor, int64_t offset, int64_t count);

// Reserves the blocks of a file of `size` bytes.
int csys_reserve(int descriptor, int64_t size);

// Swaps two paths in one step.
int csys_exchange(const char *one, const char *other);

// Renames a path, failing with EEXIST when the new one is taken; an empty directory there counts as free.
int csys_rename_new(const char *from, const char *to);

// The path of the library or program that this function is part of; NULL when the loader does not know.
const char *csys_own_library(void);

// The seconds since 1970 of a date as HTTP writes it; -1 when it is none.
int64_t csys_web_date(const char *text);

// A word of memory that several threads or processes share: read with acquire order, written with release order, which
// also wakes those that wait for it.
uint32_t csys_word_load(const void *word);
void csys_word_store(void *word, uint32_t value);

// Waits while a word has a value, at most some milliseconds. It may return early.
void csys_word_wait(const void *word, uint32_t value, int milliseconds);

// Makes sure that memory can be written, without changing it; -1 where there is none left. Returns 0 too where the kernel is
// too old to tell.
int csys_populate(void *start, int64_t count);

// Gives memory of freed objects back to the system, as far as the C library does so.
void csys_release_unused_memory(void);

// The processors that a process or thread may run on, 0 for the calling thread: writes the lowest `capacity` of their
// numbers and returns how many there are.
int csys_processors(int thread, int *numbers, int capacity);

// Limits a thread, 0 for the calling one, to processors.
int csys_limit_processors(int thread, const int *numbers, int count);

// What csys_in_child gives besides the exit status of the child, 0 to 255, and minus the signal that ended it.
#define CSYS_CHILD_TIMED_OUT 256
#define CSYS_CHILD_NOT_STARTED 257

// Runs a function in a copy of this process without standard streams, and waits until it has returned its exit status.
//
// Only for a process whose other threads hold no locks. A child that takes longer than the limit is killed.
int csys_in_child(int (*body)(void *context), void *context, int milliseconds);

// Makes this process the parent of those whose own parent, one of its descendants, ends.
int csys_adopt_orphans(void);

// Sends this process a signal when the thread that started it ends, as with its process; also after an exec.
int csys_end_with_parent(int signal);

// The variables of the environment, "NAME=value" each, the last one NULL.
char **csys_environment(void);

#endif
