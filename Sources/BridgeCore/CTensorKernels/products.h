// Products of blocks of matrices that are packed in the cache: c[rows, columns] = a[rows, k] b[k, columns].
//
// Blocks hold words of 32 bits: one float32 value, or, where the processor multiplies pairs of bfloat16 values, two of
// them that are adjacent along k. a is row-major; b has a row for each word of a, so for pairs two values of each
// column are adjacent. Rows are padded to ROW_STEP, columns to 32, words along k to 16, with zeros.

INLINE size_t padded(size_t count, size_t step) { return (count + step - 1) / step * step; }

// How many elements a word holds.
INLINE size_t per_word(bool pairs) { return pairs ? 2 : 1; }

// How many words a row of `width` elements takes, so that it can be a row of any of the three matrices.
INLINE size_t row_words(size_t width, bool pairs) { return pairs ? padded((width + 1) / 2, 16) : padded(width, 32); }

INLINE vf multiply_words(vf sum, vf a, vf b, bool pairs) {
#if HAS_BF16_DOT
    if (pairs) return v_dot_pairs(sum, (vd)a, (vd)b);
#endif
    (void)pairs;
    return sum + a * b;
}

// A few rows and columns, which stay in registers.
INLINE void block_tile(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                       size_t words, size_t rows, size_t vectors, bool pairs, bool adds) {
    vf sums[8][4];
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) sums[r][v] = adds ? v_load(c + r * c_stride + v * LANES) : v_set(0);
    for (size_t word = 0; word < words; word++) {
        vf columns[4];
        for (size_t v = 0; v < vectors; v++) columns[v] = v_load(b + word * b_stride + v * LANES);
#pragma clang loop unroll(full)
        for (size_t r = 0; r < rows; r++) {
            vf row = v_word(a + r * a_stride + word);
            for (size_t v = 0; v < vectors; v++) sums[r][v] = multiply_words(sums[r][v], row, columns[v], pairs);
        }
    }
    for (size_t r = 0; r < rows; r++)
        for (size_t v = 0; v < vectors; v++) v_store(c + r * c_stride + v * LANES, sums[r][v]);
}

#if LANES == 16
enum { TILE_ROWS = 8, TILE_VECTORS = 2 };
#else
enum { TILE_ROWS = 4, TILE_VECTORS = 2 };
#endif

// What the number of rows of a product is a multiple of.
enum { ROW_STEP = HAS_AMX ? 32 : 8 };

// Strides and `words` are in words.
INLINE void block_product(float *c, size_t c_stride, const float *a, size_t a_stride, const float *b, size_t b_stride,
                          size_t rows, size_t columns, size_t words, bool pairs, bool adds) {
#if HAS_AMX
    if (pairs) return tile_product(c, c_stride, a, a_stride, b, b_stride, rows, columns, words, adds);
#endif
    for (size_t column = 0; column < columns; column += TILE_VECTORS * LANES)
        for (size_t row = 0; row < rows; row += TILE_ROWS)
            block_tile(c + row * c_stride + column, c_stride, a + row * a_stride, a_stride, b + column, b_stride, words,
                       TILE_ROWS, TILE_VECTORS, pairs, adds);
}

// Row `row` of a block from a row of a tensor, with zeros up to `words`.
INLINE void fill_row(float *block, size_t words, const void *source, ctk_type type, size_t width, bool pairs) {
    if (pairs || type == CTK_FLOAT32) {
        size_t bytes = width * byte_count(type), done = 0;
        for (; done + 4 * LANES <= bytes; done += 4 * LANES)
            v_store(block + done / 4, v_load((const float *)(const void *)((const char *)source + done)));
        if (done == words * 4) return;
        memcpy(block + done / 4, (const char *)source + done, bytes - done);
        memset((char *)block + bytes, 0, words * 4 - bytes);
        return;
    }
    size_t i = 0;
    for (; i + LANES <= width; i += LANES) v_store(block + i, v_load_as(source, type, i));
    for (; i < width; i++) block[i] = load_as(source, type, i);
    for (; i < words; i++) block[i] = 0;
}

#if LANES == 16
#define TRANSPOSE_INLINE INLINE
#include "transpose16.h"

// 16 x 16 words.
INLINE void transpose_words(float *target, size_t target_stride, const float *source, size_t source_stride) {
    __m512i r[16];
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_si512(source + i * source_stride);
    transpose(r);
    for (int i = 0; i < 16; i++) _mm512_storeu_si512(target + i * target_stride, r[i]);
}
#else
INLINE void transpose_words(float *target, size_t target_stride, const float *source, size_t source_stride) {
    for (size_t row = 0; row < 16; row++)
        for (size_t column = 0; column < 16; column++) target[column * target_stride + row] = source[row * source_stride + column];
}
#endif

// Rows [rows, words] of a block become its columns: the right matrix of a product over what the rows are long.
INLINE void transpose_block(float *target, const float *source, size_t source_stride, size_t rows, size_t words) {
    for (size_t row = 0; row < rows; row += 16)
        for (size_t word = 0; word < words; word += 16)
            transpose_words(target + word * rows + row, rows, source + row * source_stride + word, source_stride);
}

// Two rows of bfloat16 values become one row of pairs: the right matrix of a product over the rows.
INLINE void interleave_rows(float *target, const float *first, const float *second, size_t words) {
    const vu low = (vu){0} + 0xffffu;
    for (size_t word = 0; word < words; word += LANES) {
        vu a = (vu)v_load(first + word), b = (vu)v_load(second + word);
        vf even = (vf)((a & low) | b << 16), odd = (vf)(a >> 16 | (b & ~low));
        v_store_zipped(target + 2 * word, even, odd);
    }
}

// A block as the right matrix of a product over its rows. Float32 rows are that already.
INLINE const float *as_right(float *target, const float *source, size_t rows, size_t words, bool pairs) {
    if (!pairs) return source;
    for (size_t row = 0; row < rows; row += 2)
        interleave_rows(target + row * words, source + row * words, source + (row + 1) * words, words);
    return target;
}

// Float32 values as the left matrix of a product: rounded to pairs where those are multiplied.
INLINE void as_left(float *target, const float *source, size_t count, bool pairs) {
    if (!pairs) {
        if (target != source) memcpy(target, source, count * 4);
        return;
    }
    for (size_t i = 0; i < count; i += LANES) v_store_bf16((uint16_t *)target + i, v_load(source + i));
}
