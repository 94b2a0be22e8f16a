#include "TileEmulation.h"

#if defined(__x86_64__)
#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WIDE __attribute__((target("avx512f,avx512bw,avx512vl")))
#define WIDE_INLINE static inline __attribute__((always_inline)) WIDE

enum { TILES = 8, ROWS = 16, ROW_BYTES = 64 };

typedef struct configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} configuration;
_Static_assert(sizeof(configuration) == 64, "LDTILECFG reads 64 bytes");

// The tiles are registers, which each thread has for itself.
static _Thread_local configuration configured;
static _Thread_local uint8_t tiles[TILES][ROWS][ROW_BYTES] __attribute__((aligned(64)));

// In the place of #UD and #GP.
static void require(bool holds, const char *rule) {
    if (holds) return;
    fprintf(stderr, "tile instruction: %s\n", rule);
    abort();
}

static void require_tile(int tile) {
    require(configured.palette == 1, "no tiles are configured");
    require(tile >= 0 && tile < TILES && configured.rows[tile] > 0 && configured.row_bytes[tile] > 0,
            "the tile has no shape");
}

void emulated_tile_load_configuration(const void *source) {
    configuration next;
    memcpy(&next, source, sizeof next);
    require(next.palette <= 1, "there is palette 0 and 1");
    // What is not configured has to be zero.
    static const uint8_t zeros[14];
    require(memcmp(next.reserved, zeros, sizeof next.reserved) == 0, "reserved bytes of a configuration are not zero");
    for (int i = 0; i < 16; i++) {
        require(i < TILES || (next.rows[i] == 0 && next.row_bytes[i] == 0), "a tile above the eighth is configured");
        require(next.rows[i] <= ROWS && next.row_bytes[i] <= ROW_BYTES, "a tile has more than 16 rows of 64 bytes");
        require((next.rows[i] == 0) == (next.row_bytes[i] == 0), "a tile has rows without bytes or bytes without rows");
    }
    configured = next;
    memset(tiles, 0, sizeof tiles);
}

void emulated_tile_release(void) {
    memset(&configured, 0, sizeof configured);
    memset(tiles, 0, sizeof tiles);
}

void emulated_tile_zero(int tile) {
    require_tile(tile);
    memset(tiles[tile], 0, sizeof tiles[tile]);
}

void emulated_tile_load(int tile, const void *source, size_t stride) {
    require_tile(tile);
    // A row is as long as it is configured; what is beyond, and the rows below, become zeros.
    memset(tiles[tile], 0, sizeof tiles[tile]);
    for (int row = 0; row < configured.rows[tile]; row++)
        memcpy(tiles[tile][row], (const uint8_t *)source + (ptrdiff_t)row * (ptrdiff_t)stride,
               configured.row_bytes[tile]);
}

void emulated_tile_store(int tile, void *target, size_t stride) {
    require_tile(tile);
    for (int row = 0; row < configured.rows[tile]; row++)
        memcpy((uint8_t *)target + (ptrdiff_t)row * (ptrdiff_t)stride, tiles[tile][row], configured.row_bytes[tile]);
}

// Rounds to the nearest even, takes denormals for zeros and raises nothing, until the old state is set again. The
// arithmetic between is assembly, which the compiler keeps in its order with these.
static unsigned begin_arithmetic(void) {
    unsigned before, state = 0x1f80 | 0x8000 | 0x40; // all exceptions masked, flush to zero, denormals are zeros
    __asm__ volatile("stmxcsr %0" : "=m"(before) : : "memory");
    __asm__ volatile("ldmxcsr %0" : : "m"(state) : "memory");
    return before;
}

static void end_arithmetic(unsigned before) { __asm__ volatile("ldmxcsr %0" : : "m"(before) : "memory"); }

WIDE_INLINE __m512 fused(__m512 sum, __m512 a, __m512 b) {
    __asm__ volatile("vfmadd231ps %2, %1, %0" : "+v"(sum) : "v"(a), "v"(b) : "memory");
    return sum;
}

WIDE_INLINE __m512 added(__m512 a, __m512 b) {
    __m512 sum;
    __asm__ volatile("vaddps %2, %1, %0" : "=v"(sum) : "v"(a), "v"(b) : "memory");
    return sum;
}

// The first and the second number of pairs of bfloat16 numbers.
WIDE_INLINE __m512 first_of(__m512i pairs) { return _mm512_castsi512_ps(_mm512_slli_epi32(pairs, 16)); }
WIDE_INLINE __m512 second_of(__m512i pairs) {
    return _mm512_castsi512_ps(_mm512_and_si512(pairs, _mm512_set1_epi32((int)0xffff0000)));
}

WIDE void emulated_tile_dot(int sums, int left, int right) {
    require_tile(sums), require_tile(left), require_tile(right);
    require(sums != left && sums != right && left != right, "two operands are one tile");
    require(configured.row_bytes[sums] % 4 == 0 && configured.row_bytes[left] % 4 == 0, "rows are not whole words");
    require(configured.rows[sums] == configured.rows[left], "the sums have other rows than the left tile");
    require(configured.row_bytes[sums] == configured.row_bytes[right], "the sums have other columns than the right tile");
    require(configured.row_bytes[left] == configured.rows[right] * 4, "left and right tile have other inner dimensions");

    unsigned before = begin_arithmetic();
    for (int m = 0; m < configured.rows[sums]; m++) {
        // The first and the second numbers of pairs have sums of their own, which begin with zero.
        __m512 first = _mm512_setzero_ps(), second = _mm512_setzero_ps();
        for (int k = 0; k < configured.row_bytes[left] / 4; k++) {
            int32_t pair;
            memcpy(&pair, &tiles[left][m][4 * k], 4);
            __m512i a = _mm512_set1_epi32(pair), b = _mm512_load_si512(tiles[right][k]);
            first = fused(first, first_of(a), first_of(b));
            second = fused(second, second_of(a), second_of(b));
        }
        __m512 sum = added(_mm512_load_ps(tiles[sums][m]), added(first, second));
        // Beyond the configured columns a row is zero.
        __mmask16 columns = (__mmask16)((1u << configured.row_bytes[sums] / 4) - 1);
        _mm512_store_ps(tiles[sums][m], _mm512_maskz_mov_ps(columns, sum));
    }
    end_arithmetic(before);
}

WIDE void emulated_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right) {
    __m512i a = _mm512_loadu_si512(left), b = _mm512_loadu_si512(right);
    __m512 sum = _mm512_loadu_ps(sums);
    unsigned before = begin_arithmetic();
    sum = fused(sum, second_of(a), second_of(b));
    sum = fused(sum, first_of(a), first_of(b));
    end_arithmetic(before);
    _mm512_storeu_ps(sums, sum);
}

void emulated_round(uint16_t *target, const float *source) {
    for (size_t i = 0; i < 16; i++) {
        uint32_t bits;
        memcpy(&bits, source + i, 4);
        uint32_t exponent = bits & 0x7f800000, fraction = bits & 0x007fffff;
        if (exponent == 0) bits &= 0x80000000;
        else if (exponent == 0x7f800000) bits |= fraction ? 0x00400000 : 0;
        else bits += 0x7fff + (bits >> 16 & 1);
        target[i] = (uint16_t)(bits >> 16);
    }
}

bool can_emulate_tiles(void) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
           && __builtin_cpu_supports("avx512vl");
}

#else

void emulated_tile_load_configuration(const void *configuration) {}
void emulated_tile_release(void) {}
void emulated_tile_zero(int tile) {}
void emulated_tile_load(int tile, const void *source, size_t stride) {}
void emulated_tile_store(int tile, void *target, size_t stride) {}
void emulated_tile_dot(int sums, int left, int right) {}
void emulated_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right) {}
void emulated_round(uint16_t *target, const float *source) {}
bool can_emulate_tiles(void) { return false; }

#endif
