// Reads a file in the page cache, or without one 4 GiB of memory, with two threads and prints GB/s, best and median of nine
// passes: what decoding can reach at most. Memory of the page cache can be slower than fresh memory on virtual machines.
#include <fcntl.h>
#include <immintrin.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { THREADS = 2, PASSES = 9 };
static size_t bytes = (size_t)4 << 30;
static int is_file;
static char *memory;
static volatile uint64_t sink;
static pthread_barrier_t barrier;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static uint64_t sum(const char *start, size_t count) {
    uint64_t parts[8];
#ifdef __AVX512F__
    __m512i a = _mm512_setzero_si512(), b = a, c = a, d = a;
    for (size_t i = 0; i < count; i += 256) {
        a = _mm512_add_epi64(a, _mm512_load_si512(start + i));
        b = _mm512_add_epi64(b, _mm512_load_si512(start + i + 64));
        c = _mm512_add_epi64(c, _mm512_load_si512(start + i + 128));
        d = _mm512_add_epi64(d, _mm512_load_si512(start + i + 192));
    }
    _mm512_storeu_si512(parts, _mm512_add_epi64(_mm512_add_epi64(a, b), _mm512_add_epi64(c, d)));
#else
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (size_t i = 0; i < count; i += 128) {
        a = _mm256_add_epi64(a, _mm256_load_si256((const __m256i *)(start + i)));
        b = _mm256_add_epi64(b, _mm256_load_si256((const __m256i *)(start + i + 32)));
        c = _mm256_add_epi64(c, _mm256_load_si256((const __m256i *)(start + i + 64)));
        d = _mm256_add_epi64(d, _mm256_load_si256((const __m256i *)(start + i + 96)));
    }
    memset(parts, 0, sizeof parts);
    _mm256_storeu_si256((__m256i *)parts, _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d)));
#endif
    uint64_t total = 0;
    for (int i = 0; i < 8; i++) total += parts[i];
    return total;
}

static void *work(void *argument) {
    size_t index = (size_t)argument, part = bytes / THREADS;
    if (!is_file) memset(memory + index * part, 1 + (int)index, part);
    for (int pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(&barrier);
        sink += sum(memory + index * part, part);
        pthread_barrier_wait(&barrier);
    }
    return NULL;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    is_file = count > 1;
    int file = -1, flags = MAP_PRIVATE | MAP_ANONYMOUS, protection = PROT_READ | PROT_WRITE;
    if (is_file) {
        if ((file = open(words[1], O_RDONLY)) < 0) return perror(words[1]), 1;
        flags = MAP_PRIVATE | MAP_POPULATE;
        protection = PROT_READ;
        bytes = (size_t)lseek(file, 0, SEEK_END) / (THREADS * 4096) * (THREADS * 4096);
    }
    memory = mmap(NULL, bytes, protection, flags, file, 0);
    if (memory == MAP_FAILED) return perror("mmap"), 1;
    if (!is_file) madvise(memory, bytes, MADV_HUGEPAGE);
    pthread_barrier_init(&barrier, NULL, THREADS + 1);
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    double rates[PASSES];
    for (int pass = 0; pass < PASSES; pass++) {
        pthread_barrier_wait(&barrier);
        double start = now();
        pthread_barrier_wait(&barrier);
        rates[pass] = bytes / (now() - start) / 1e9;
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    qsort(rates, PASSES, sizeof *rates, ascending);
    printf("%.2f %.2f\n", rates[PASSES - 1], rates[PASSES / 2]);
}
