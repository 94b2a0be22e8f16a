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

// Bytes of a tile, and of two of one step, which have 32 rows or columns.
enum { TILE = 1024, PAIR = 2 * TILE };

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

AMX_INLINE void store_tile(uint8_t *target, const __m512i r[16]) {
    for (size_t i = 0; i < 16; i++) _mm512_store_si512(target + 64 * i, r[i]);
}

// Two left tiles at `source`, of which `rows` and `depth` are there.
AMX_INLINE void pack_left_pair(uint8_t *target, const uint16_t *source, size_t row_stride, size_t column_stride, size_t rows,
                               size_t depth) {
    if (column_stride == 1) {
        // The elements have the order of the tile.
        __mmask32 mask = lanes(depth);
        for (size_t i = 0; i < 32; i++) {
            __m512i row = i < rows ? _mm512_maskz_loadu_epi16(mask, source + i * row_stride) : _mm512_setzero_si512();
            _mm512_store_si512(target + 64 * i, row);
        }
        return;
    }
    // Rows of the source are 32 columns of the tiles: the elements of two are woven together, four columns in turn in each
    // register, and then transposed.
    __m512i low[16], high[16];
    __mmask32 mask = lanes(rows);
    for (size_t i = 0; i < 16; i++) {
        __m512i even = _mm512_setzero_si512(), odd = even;
        if (2 * i < depth) even = _mm512_maskz_loadu_epi16(mask, source + 2 * i * column_stride);
        if (2 * i + 1 < depth) odd = _mm512_maskz_loadu_epi16(mask, source + (2 * i + 1) * column_stride);
        low[i] = _mm512_unpacklo_epi16(even, odd);
        high[i] = _mm512_unpackhi_epi16(even, odd);
    }
    transpose(low);
    transpose(high);
    for (size_t i = 0; i < 16; i++) {
        size_t row = i / 4 * 8 + i % 4;
        _mm512_store_si512(target + 64 * row, low[i]);
        _mm512_store_si512(target + 64 * (row + 4), high[i]);
    }
}

// The elements of the lower, or the upper, halves of two registers in turn.
AMX_INLINE __m512i weave(__m512i even, __m512i odd, bool upper) {
    const __m512i pairs = _mm512_set_epi32(0x002f000f, 0x002e000e, 0x002d000d, 0x002c000c, 0x002b000b, 0x002a000a, 0x00290009,
                                           0x00280008, 0x00270007, 0x00260006, 0x00250005, 0x00240004, 0x00230003, 0x00220002,
                                           0x00210001, 0x00200000);
    return _mm512_permutex2var_epi16(even, upper ? _mm512_add_epi16(pairs, _mm512_set1_epi16(16)) : pairs, odd);
}

// Two right tiles at `source`, of which `depth` and `columns` are there.
AMX_INLINE void pack_right_pair(uint8_t *target, const uint16_t *source, size_t row_stride, size_t column_stride,
                                size_t depth, size_t columns) {
    if (row_stride == 1) {
        for (size_t half = 0; half < 2; half++) {
            __m512i r[16];
            load_runs(r, source + 16 * half * column_stride, column_stride, columns > 16 * half ? columns - 16 * half : 0, depth);
            transpose(r);
            store_tile(target + half * TILE, r);
        }
        return;
    }
    __mmask32 mask = lanes(columns);
    for (size_t i = 0; i < 16; i++) {
        __m512i even = _mm512_setzero_si512(), odd = even;
        if (2 * i < depth) even = _mm512_maskz_loadu_epi16(mask, source + 2 * i * row_stride);
        if (2 * i + 1 < depth) odd = _mm512_maskz_loadu_epi16(mask, source + (2 * i + 1) * row_stride);
        _mm512_store_si512(target + 64 * i, weave(even, odd, false));
        _mm512_store_si512(target + TILE + 64 * i, weave(even, odd, true));
    }
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

// Adds the products of two left tiles, whose rows are `stride` bytes apart, and two right ones.
AMX_INLINE void multiply_rows(const uint8_t *left, size_t stride, const uint8_t *right) {
    _tile_loadd(4, left, stride);
    _tile_loadd(6, right, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, right + TILE, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, left + 16 * stride, stride);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

AMX_INLINE void multiply_step(const uint8_t *left, const uint8_t *right) { multiply_rows(left, 64, right); }

AMX_INLINE void store_sums(uint8_t *sums) {
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + TILE, 64);
    _tile_stored(2, sums + 2 * TILE, 64);
    _tile_stored(3, sums + 3 * TILE, 64);
}

// Multiplies 2 x 2 tiles along `steps`, and adds to `sums` or, with `overwrite`, replaces them.
AMX_INLINE void multiply_tiles(uint8_t *sums, const uint8_t *left, const uint8_t *right, size_t steps, bool overwrite) {
    load_sums(sums, overwrite);
    for (size_t step = 0; step < steps; step++) multiply_step(left + step * PAIR, right + step * PAIR);
    store_sums(sums);
}

#endif
