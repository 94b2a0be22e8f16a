// bfloat16 matrix products in the tiles of Intel's AMX.
//
// A tile is 16 rows of 64 bytes. The processor multiplies a left tile, 16 rows by 32 elements, and a right tile, whose
// row r holds elements 2r and 2r + 1 of the inner dimension for 16 columns, and adds to 16 x 16 float32 sums. Source:
// Intel, Architecture Instruction Set Extensions Programming Reference, TDPBF16PS.
//
// c = a b is computed transposed, c' = b' a': the weights of a linear layer, b', then have the memory order of left
// tiles. Both sides are copied into tiles, a' once for all threads. During the product a block of a' and the sums stay
// in the second-level cache and a panel of 32 rows of b' in the first-level one.
#include "CTensorKernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include "amx_tiles.h"

enum {
    DEPTH = 256, // elements of the inner dimension in a block
    HEIGHT = CTK_AMX_HEIGHT,
};

size_t ctk_amx_packed(size_t m, size_t k) { return up(m, 32) * up(k, 32) * 2; }

size_t ctk_amx_scratch(size_t rows, size_t columns) { return 32 * DEPTH * 2 + up(rows, 32) * up(columns, 32) * 4; }

// Where the tiles of a block of rows begin at a depth; blocks are HEIGHT rows high but for the last.
static size_t place(size_t m, size_t k, size_t row, size_t depth) {
    size_t height = least(HEIGHT, up(m, 32) - row);
    return (row * up(k, 32) + depth * height) * 2;
}

// Moves two tiles of sums, 32 columns of c by 16 rows, to where they belong.
AMX_INLINE void put(void *target, size_t stride, const uint8_t *sums, size_t rows, size_t columns, bool is_float32,
                    bool adds) {
    __m512i first[16], second[16];
    for (size_t i = 0; i < 16; i++) {
        first[i] = _mm512_load_si512(sums + 64 * i);
        second[i] = _mm512_load_si512(sums + 2 * TILE + 64 * i);
    }
    transpose(first);
    transpose(second);
    __mmask32 mask = lanes(columns);
    for (size_t i = 0; i < 16; i++) {
        if (i >= rows) break;
        __m512 low = _mm512_castsi512_ps(first[i]), high = _mm512_castsi512_ps(second[i]);
        if (is_float32) {
            float *out = (float *)target + i * stride;
            __mmask16 low_mask = (__mmask16)mask, high_mask = (__mmask16)(mask >> 16);
            if (adds) {
                low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(low_mask, out));
                high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(high_mask, out + 16));
            }
            _mm512_mask_storeu_ps(out, low_mask, low);
            _mm512_mask_storeu_ps(out + 16, high_mask, high);
        } else {
            uint16_t *out = (uint16_t *)target + i * stride;
            if (adds) {
                __m512i old = _mm512_maskz_loadu_epi16(mask, out);
                __m512i even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(old));
                __m512i odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(old, 1));
                low = _mm512_add_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(even, 16)));
                high = _mm512_add_ps(high, _mm512_castsi512_ps(_mm512_slli_epi32(odd, 16)));
            }
            _mm512_mask_storeu_epi16(out, mask, (__m512i)_mm512_cvtne2ps_pbh(high, low));
        }
    }
}

// Prefetches one of `parts` parts of a panel of b, 32 columns wide and `inner` deep: its lines are on more pages than
// the hardware prefetcher follows.
AMX_INLINE void prefetch(const uint16_t *source, size_t row_stride, size_t column_stride, size_t inner, size_t columns,
                         size_t part, size_t parts) {
    bool is_deep = row_stride == 1;
    size_t runs = is_deep ? columns : inner, stride = is_deep ? column_stride : row_stride;
    size_t length = is_deep ? inner : columns;
    for (size_t run = runs * part / parts; run < runs * (part + 1) / parts; run++)
        for (size_t i = 0; i < length; i += 32)
            _mm_prefetch((const char *)(source + run * stride + i), _MM_HINT_T0);
}

AMX void ctk_amx_pack(void *packed, const void *a, size_t row_stride, size_t column_stride, size_t m, size_t k,
                      size_t row) {
    size_t block = row / HEIGHT * HEIGHT, pair = row % HEIGHT / 32;
    for (size_t depth = 0; depth < k; depth += DEPTH) {
        size_t inner = least(DEPTH, k - depth), steps = up(inner, 32) / 32;
        uint8_t *target = (uint8_t *)packed + place(m, k, block, depth) + pair * steps * 2 * TILE;
        for (size_t half = 0; half < 2; half++) {
            size_t first = row + 16 * half, there = first < m ? m - first : 0;
            const uint16_t *source = (const uint16_t *)a + first * row_stride + depth * column_stride;
            for (size_t step = 0; step < steps; step++)
                pack_right(target + (2 * step + half) * TILE, source + 32 * step * column_stride, column_stride,
                           row_stride, inner - 32 * step, there);
        }
    }
}

AMX void ctk_amx_multiply(void *c, size_t c_stride, bool is_float32, bool adds, const void *packed, const void *b,
                          size_t b_row_stride, size_t b_column_stride, size_t m, size_t n, size_t k, size_t row,
                          void *scratch) {
    configure();

    size_t rows = least(HEIGHT, m - row), pairs = up(rows, 32) / 32;
    uint8_t *left = scratch, *sums = left + 32 * DEPTH * 2;
    for (size_t depth = 0; depth < k; depth += DEPTH) {
        size_t inner = least(DEPTH, k - depth), steps = up(inner, 32) / 32;
        const uint8_t *right = (const uint8_t *)packed + place(m, k, row, depth);
        const uint16_t *source = (const uint16_t *)b + depth * b_row_stride;
        for (size_t column = 0; column < n; column += 32) {
            for (size_t half = 0; half < 2; half++) {
                size_t first = column + 16 * half, there = first < n ? n - first : 0;
                for (size_t step = 0; step < steps; step++)
                    pack_left(left + (2 * step + half) * TILE,
                              source + 32 * step * b_row_stride + first * b_column_stride, b_column_stride, b_row_stride,
                              there, inner - 32 * step);
            }
            bool is_last = column + 32 >= n;
            const uint16_t *next = is_last ? source + DEPTH * b_row_stride : source + (column + 32) * b_column_stride;
            size_t next_inner = is_last ? (depth + DEPTH < k ? least(DEPTH, k - depth - DEPTH) : 0) : inner;
            size_t next_columns = least(32, is_last ? n : n - column - 32);
            for (size_t pair = 0; pair < pairs; pair++) {
                prefetch(next, b_row_stride, b_column_stride, next_inner, next_columns, pair, pairs);
                uint8_t *sum = sums + (column / 32 * pairs + pair) * 4 * TILE;
                multiply_tiles(sum, left, right + pair * steps * 2 * TILE, steps, depth == 0);
                if (depth + DEPTH < k) continue;
                for (size_t half = 0; half < 2; half++) {
                    size_t first = 32 * pair + 16 * half;
                    if (first >= rows) break;
                    size_t offset = (row + first) * c_stride + column;
                    put((uint8_t *)c + offset * (is_float32 ? 4 : 2), c_stride, sum + half * TILE, rows - first,
                        n - column, is_float32, adds);
                }
            }
        }
    }
    _tile_release();
}

#else

size_t ctk_amx_packed(size_t m, size_t k) { return 0; }
size_t ctk_amx_scratch(size_t rows, size_t columns) { return 0; }
void ctk_amx_pack(void *packed, const void *a, size_t row_stride, size_t column_stride, size_t m, size_t k, size_t row) {}
void ctk_amx_multiply(void *c, size_t c_stride, bool is_float32, bool adds, const void *packed, const void *b,
                      size_t b_row_stride, size_t b_column_stride, size_t m, size_t n, size_t k, size_t row,
                      void *scratch) {}

#endif
