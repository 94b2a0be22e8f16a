// The instructions themselves, for the comparison of the emulation with processors that have them.
#include "TileEmulation.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

static bool has_tiles(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE)) return false;
    return syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}

__attribute__((target("amx-tile,amx-bf16"))) static void tile_dot(const void *configuration, float *sums,
                                                                  const uint16_t *left, const uint16_t *right) {
    _tile_loadconfig(configuration);
    _tile_loadd(0, sums, 64);
    _tile_loadd(1, left, 64);
    _tile_loadd(2, right, 64);
    _tile_dpbf16ps(0, 1, 2);
    _tile_stored(0, sums, 64);
    _tile_release();
}

__attribute__((target("avx512f,avx512bw,avx512bf16"))) static void dot_pairs(float *sums, const uint16_t *left,
                                                                             const uint16_t *right) {
    __m512bh a = (__m512bh)_mm512_loadu_si512(left), b = (__m512bh)_mm512_loadu_si512(right);
    _mm512_storeu_ps(sums, _mm512_dpbf16_ps(_mm512_loadu_ps(sums), a, b));
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512bf16"))) static void round_to_nearest(uint16_t *target,
                                                                                             const float *source) {
    _mm256_storeu_si256((__m256i *)target, (__m256i)_mm512_cvtneps_pbh(_mm512_loadu_ps(source)));
}

bool processor_tile_dot(const void *configuration, float *sums, const uint16_t *left, const uint16_t *right) {
    if (!has_tiles()) return false;
    tile_dot(configuration, sums, left, right);
    return true;
}

bool processor_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right) {
    if (!__builtin_cpu_supports("avx512bf16")) return false;
    dot_pairs(sums, left, right);
    return true;
}

bool processor_round(uint16_t *target, const float *source) {
    if (!__builtin_cpu_supports("avx512bf16")) return false;
    round_to_nearest(target, source);
    return true;
}

#else

bool processor_tile_dot(const void *configuration, float *sums, const uint16_t *left, const uint16_t *right) {
    return false;
}
bool processor_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right) { return false; }
bool processor_round(uint16_t *target, const float *source) { return false; }

#endif
