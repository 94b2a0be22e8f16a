// Shared functions of kernels that use Intel's AMX: loading elements into tiles and multiplying tiles.
#ifndef AMX_TILES_H
#define AMX_TILES_H

#include <immintrin.h>
#include <string.h>

#include "CTensorKernels.h"

#define AMX __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,amx-tile,amx-bf16")))
#define AMX_INLINE static inline __attribute__((always_inline)) AMX

#define TRANSPOSE_INLINE AMX_INLINE
#include "transpose16.h"

// Bytes of a tile.
enum { TILE = 1024 };

static inline size_t least(size_t a, size_t b) { return a < b ? a : b; }
static inline size_t up(size_t count, size_t multiple) { return (count + multiple - 1) / multiple * multiple; }

// Makes all eight tiles 16 rows of 64 bytes.
AMX_INLINE void configure(void) {
    struct __attribute__((packed)) {
        uint8_t palette, start, reserved[14];
        uint16_t column_bytes[16];
        uint8_t rows[16];
    } configuration = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        configuration.column_bytes[i] = 64;
        configuration.rows[i] = 16;
    }
    _tile_loadconfig(&configuration);
}

AMX_INLINE __mmask32 lanes(size_t count) { return count >= 32 ? 0xffffffffu : (1u << count) - 1; }

// 16 runs of up to 32 adjacent elements, padded with zeros.
AMX_INLINE void load_runs(__m512i r[16], const uint16_t *source, size_t stride, size_t runs, size_t length) {
    if (runs >= 16 && length >= 32) {
        for (size_t i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(source + i * stride);
        return;
    }
    __mmask32 mask = lanes(length);
    for (size_t i = 0; i < 16; i++)
        r[i] = i < runs ? _mm512_maskz_loadu_epi16(mask, source + i * stride) : _mm512_setzero_si512();
}

// 16 pairs of runs of up to 16 elements, the two of a pair interleaved, padded with zeros.
AMX_INLINE void load_pairs(__m512i r[16], const uint16_t *source, size_t stride, size_t runs, size_t length) {
    __mmask16 mask = (__mmask16)(length >= 16 ? 0xffffu : (1u << length) - 1);
    for (size_t i = 0; i < 16; i++) {
        __m256i even = 2 * i < runs ? _mm256_maskz_loadu_epi16(mask, source + 2 * i * stride) : _mm256_setzero_si256();
        __m256i odd =
            2 * i + 1 < runs ? _mm256_maskz_loadu_epi16(mask, source + (2 * i + 1) * stride) : _mm256_setzero_si256();
        r[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(even), _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
    }
}

AMX_INLINE void store_tile(uint8_t *target, const __m512i r[16]) {
    for (size_t i = 0; i < 16; i++) _mm512_store_si512(target + 64 * i, r[i]);
}

// The left tile at `source`, of which `rows` and `depth` are there.
AMX_INLINE void pack_left(uint8_t *target, const uint16_t *source, size_t row_stride, size_t column_stride, size_t rows,
                          size_t depth) {
    if (column_stride == 1 && rows >= 16 && depth >= 32) {
        // The elements have the order of the tile: nothing has to pass through sixteen registers at once.
        for (size_t i = 0; i < 16; i++)
            _mm512_store_si512(target + 64 * i, _mm512_loadu_si512(source + i * row_stride));
        return;
    }
    __m512i r[16];
    if (column_stride == 1) {
        load_runs(r, source, row_stride, rows, depth);
    } else {
        load_pairs(r, source, column_stride, depth, rows);
        transpose(r);
    }
    store_tile(target, r);
}

// The right tile at `source`, of which `depth` and `columns` are there.
AMX_INLINE void pack_right(uint8_t *target, const uint16_t *source, size_t row_stride, size_t column_stride,
                           size_t depth, size_t columns) {
    __m512i r[16];
    if (row_stride == 1) {
        load_runs(r, source, column_stride, columns, depth);
        transpose(r);
    } else {
        load_pairs(r, source, row_stride, depth, columns);
    }
    store_tile(target, r);
}

// The sums of 2 x 2 tiles, 1024 bytes each, from memory or zeros.
AMX_INLINE void load_sums(const uint8_t *sums, bool zeros) {
    if (zeros) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else {
        _tile_loadd(0, sums, 64);
        _tile_loadd(1, sums + TILE, 64);
        _tile_loadd(2, sums + 2 * TILE, 64);
        _tile_loadd(3, sums + 3 * TILE, 64);
    }
}

// Adds the products of two left tiles and two right ones.
AMX_INLINE void multiply_step(const uint8_t *left, const uint8_t *right) {
    _tile_loadd(4, left, 64);
    _tile_loadd(6, right, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + TILE, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

AMX_INLINE void store_sums(uint8_t *sums) {
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    _tile_stored(3, sums + 3 * TILE, 64);
}

// Multiplies 2 x 2 tiles along `steps`, and adds to `sums` or, with `overwrite`, replaces them.
AMX_INLINE void multiply_tiles(uint8_t *sums, const uint8_t *left, const uint8_t *right, size_t steps, bool overwrite) {
    load_sums(sums, overwrite);
    for (size_t step = 0; step < steps; step++) multiply_step(left + step * 2 * TILE, right + step * 2 * TILE);
    store_sums(sums);
}

#endif
