// bfloat16 matrix products in the tiles of Intel's AMX.
//
// A tile is 16 rows of 64 bytes. The processor multiplies a left tile, 16 rows by 32 elements, and a right tile, whose
// row r holds elements 2r and 2r + 1 of the inner dimension for 16 columns, and adds to 16 x 16 float32 sums. Source:
// Intel, Architecture Instruction Set Extensions Programming Reference, TDPBF16PS.
//
// The rows of a and the columns of b are two sets of vectors, which are copied into tiles: one into right tiles, of which a
// block stays in the second-level cache of a thread while it goes over its part of the other set, the left tiles. Of these a
// panel of 32 vectors and DEPTH elements stays in the first-level cache. They are copied before they are multiplied: copies
// between the tile instructions would push the panel out of the cache, which takes longer.
#include "CTensorKernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include "amx_tiles.h"

enum {
    DEPTH = 256, // elements of a vector in a chunk
    SPAN = 1024, // and in a block; a multiple of DEPTH, so small that the rows of a prompt are one block
    BLOCK_BYTES = 1280 << 10,
    MOST_VECTORS = 1024,
    STREAMED_BYTES = 2 << 20, // a result that the second-level cache has no room for
};

// Blocks of equal height: each costs a copy of the left vectors, which a low one would not repay.
size_t ctk_amx_height(size_t count, size_t k) {
    size_t most = least(BLOCK_BYTES / (2 * least(up(k, 32), SPAN)) / 32 * 32, MOST_VECTORS);
    size_t blocks = (count + most - 1) / most;
    return blocks ? up((count + blocks - 1) / blocks, 32) : most;
}

size_t ctk_amx_packed(size_t count, size_t k) { return up(count, 32) * up(k, 32) * 2; }

// Sums of all columns are kept from one span to the next; within one, of two panels. Left tiles that were not copied before
// are those of a panel and a span.
size_t ctk_amx_scratch(size_t rights, size_t lefts, size_t k) {
    return up(rights, 32) * (k > SPAN ? up(lefts, 32) : 64) * 4 + 32 * least(up(k, 32), SPAN) * 2;
}

// Where the right tiles of a block of vectors begin at a depth; blocks have the same height but for the last.
static size_t place(size_t count, size_t k, size_t first, size_t depth) {
    return (first * up(k, 32) + depth * least(ctk_amx_height(count, k), up(count, 32) - first)) * 2;
}

// Moves 32 elements of a row of c to where they belong, or those in the mask; past the caches with `streams`.
AMX_INLINE void put_row(void *target, __m512 low, __m512 high, __mmask32 mask, bool is_float32, bool adds, bool streams) {
    if (is_float32) {
        float *out = target;
        if (streams && mask == 0xffffffffu && (uintptr_t)target % 64 == 0) {
            _mm512_stream_ps(out, low);
            _mm512_stream_ps(out + 16, high);
            return;
        }
        __mmask16 low_mask = (__mmask16)mask, high_mask = (__mmask16)(mask >> 16);
        if (adds) {
            low = _mm512_add_ps(low, _mm512_maskz_loadu_ps(low_mask, out));
            high = _mm512_add_ps(high, _mm512_maskz_loadu_ps(high_mask, out + 16));
        }
        _mm512_mask_storeu_ps(out, low_mask, low);
        _mm512_mask_storeu_ps(out + 16, high_mask, high);
        return;
    }
    if (adds) {
        __m512i old = _mm512_maskz_loadu_epi16(mask, target);
        __m512i even = _mm512_cvtepu16_epi32(_mm512_castsi512_si256(old));
        __m512i odd = _mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64(old, 1));
        low = _mm512_add_ps(low, _mm512_castsi512_ps(_mm512_slli_epi32(even, 16)));
        high = _mm512_add_ps(high, _mm512_castsi512_ps(_mm512_slli_epi32(odd, 16)));
    }
    _mm512_mask_storeu_epi16(target, mask, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

// Whether c is written past the caches, which a large one would only take from other data. Activations in bfloat16 are read
// again at once.
static bool is_streamed(const ctk_amx_product *p) {
    return p->is_float32 && !p->adds && p->left->count * p->right_count * 4 >= STREAMED_BYTES;
}

// Finished sums of 2 x 2 tiles: those of left vectors from `row` on with right ones from `column` on.
typedef struct finished {
    const uint8_t *sums; // NULL when there are none
    size_t row, row_end, column, column_end;
} finished;

// Moves one half of them, 16 rows of c by 32 columns.
AMX_INLINE void put(const finished *f, size_t half, const ctk_amx_product *p) {
    // The rows of the tiles are left vectors; when these are the columns of b, the tiles are transposed.
    bool turns = p->left_is_columns, streams = is_streamed(p);
    size_t row = (turns ? f->column : f->row) + 16 * half, row_end = turns ? f->column_end : f->row_end;
    size_t column = turns ? f->row : f->column, column_end = turns ? f->row_end : f->column_end;
    if (row >= row_end) return;
    size_t rows = least(16, row_end - row), size = p->is_float32 ? 4 : 2;
    __mmask32 mask = lanes(column_end - column);
    char *target = (char *)p->c + (row * p->c_stride + column) * size;
    const uint8_t *first = f->sums + (turns ? half : 2 * half) * TILE, *second = first + (turns ? 2 : 1) * TILE;
    if (!turns) {
        for (size_t i = 0; i < rows; i++)
            put_row(target + i * p->c_stride * size, _mm512_load_ps(first + 64 * i), _mm512_load_ps(second + 64 * i), mask,
                    p->is_float32, p->adds, streams);
        return;
    }
    __m512i low[16], high[16];
    for (size_t i = 0; i < 16; i++) {
        low[i] = _mm512_load_si512(first + 64 * i);
        high[i] = _mm512_load_si512(second + 64 * i);
    }
    transpose(low);
    transpose(high);
    for (size_t i = 0; i < 16; i++) {
        if (i >= rows) break;
        put_row(target + i * p->c_stride * size, _mm512_castsi512_ps(low[i]), _mm512_castsi512_ps(high[i]), mask,
                p->is_float32, p->adds, streams);
    }
}

AMX void ctk_amx_pack_right(void *tiles, const ctk_amx_vectors *v, size_t k, size_t start, ctk_amx_part part) {
    const size_t height = ctk_amx_height(v->count, k);
    for (size_t depth = part.depth; depth < part.depth_end; depth += 32) {
        const size_t whole = start + depth, chunk = whole / DEPTH * DEPTH, steps = up(least(DEPTH, k - chunk), 32) / 32;
        for (size_t first = part.first; first < part.end; first += 32) {
            const size_t pair = first % height / 32, step = (whole - chunk) / 32;
            uint8_t *target = (uint8_t *)tiles + place(v->count, k, first - first % height, chunk) + (pair * steps + step) * PAIR;
            const uint16_t *from = (const uint16_t *)v->data + first * v->vector_stride + depth * v->element_stride;
            pack_right_pair(target, from, v->element_stride, v->vector_stride, v->length - depth, v->count - first);
        }
    }
}

AMX void ctk_amx_pack_left(void *tiles, const ctk_amx_vectors *v, ctk_amx_part part) {
    for (size_t depth = part.depth; depth < part.depth_end; depth += 32)
        for (size_t first = part.first; first < part.end; first += 32)
            pack_left_pair((uint8_t *)tiles + (first * up(v->length, 32) + depth * 32) * 2,
                           (const uint16_t *)v->data + first * v->vector_stride + depth * v->element_stride, v->vector_stride,
                           v->element_stride, least(32, v->count - first), v->length - depth);
}

// Copies 32 of the left vectors from `first` on, and their elements from `depth` to `end`.
AMX_INLINE void pack_panel(uint8_t *target, const ctk_amx_product *p, size_t first, size_t depth, size_t end) {
    size_t start = 0;
    for (size_t part = 0; start < end; start += up(p->left[part++].length, 32)) {
        const ctk_amx_vectors *v = &p->left[part];
        const size_t part_end = start + v->length, count = least(32, v->count - first);
        const uint16_t *from = (const uint16_t *)v->data + first * v->vector_stride;
        for (; depth < least(end, part_end); depth += 32, target += PAIR)
            pack_left_pair(target, from + (depth - start) * v->element_stride, v->vector_stride, v->element_stride, count,
                           part_end - depth);
    }
}

AMX void ctk_amx_multiply(const ctk_amx_product *p, size_t first, size_t from, size_t count, void *scratch) {
    if (count == 0 || p->k == 0) return;
    configure();
    const size_t end = least(first + ctk_amx_height(p->right_count, p->k), p->right_count), pairs = up(end - first, 32) / 32;
    const size_t panels = up(count, 32) / 32;
    uint8_t *panel_tiles = scratch, *sums = panel_tiles + 32 * least(up(p->k, 32), SPAN) * 2;
    finished before = {NULL};
    for (size_t span = 0; span < p->k; span += SPAN) {
        const size_t span_end = least(span + SPAN, p->k);
        for (size_t panel = 0; panel < panels; panel++) {
            const size_t vector = from + 32 * panel;
            const uint8_t *left = panel_tiles;
            size_t row_bytes = 64, step_bytes = PAIR;
            if (p->left_tiles) {
                left = (const uint8_t *)p->left_tiles + vector * up(p->k, 32) * 2 + span / 32 * PAIR;
            } else if (pairs <= 2 && p->left->element_stride == 1 && vector + 32 <= p->left->count && p->left->length == p->k
                       && p->k % 32 == 0) {
                // Rows that are used once or twice are not worth a copy.
                left = (const uint8_t *)((const uint16_t *)p->left->data + vector * p->left->vector_stride + span);
                row_bytes = 2 * p->left->vector_stride;
                step_bytes = 64;
            } else {
                pack_panel(panel_tiles, p, vector, span, span_end);
            }
            for (size_t depth = span; depth < span_end; depth += DEPTH) {
                const size_t steps = up(least(DEPTH, span_end - depth), 32) / 32;
                const uint8_t *right = (const uint8_t *)p->right_tiles + place(p->right_count, p->k, first, depth);
                for (size_t pair = 0; pair < pairs; pair++, right += steps * PAIR) {
                    uint8_t *sum = sums + ((p->k > SPAN ? panel : panel % 2) * pairs + pair) * 4 * TILE;
                    load_sums(sum, depth == 0);
                    for (size_t step = 0; step < steps; step++) {
                        // Rows in place are far from one another, which the processor does not foresee.
                        for (size_t i = 0; step_bytes == 64 && i < 32; i++)
                            __builtin_prefetch(left + (step + 1) * 64 + i * row_bytes);
                        multiply_rows(left + step * step_bytes, row_bytes, right + step * PAIR);
                        // The sums before are finished by now.
                        if (step < 2 && before.sums) put(&before, step, p);
                    }
                    if (steps == 1 && before.sums) put(&before, 1, p);
                    store_sums(sum);
                    before.sums = NULL;
                    if (depth + DEPTH < p->k) continue;
                    before = (finished){sum, vector, from + count, first + 32 * pair, end};
                }
                left += steps * step_bytes;
            }
        }
    }
    if (before.sums) {
        put(&before, 0, p);
        put(&before, 1, p);
    }
    _tile_release();
    if (is_streamed(p)) _mm_sfence();
}

#else

size_t ctk_amx_height(size_t count, size_t k) { return 32; }
size_t ctk_amx_packed(size_t count, size_t k) { return 0; }
size_t ctk_amx_scratch(size_t rights, size_t lefts, size_t k) { return 0; }
void ctk_amx_pack_right(void *tiles, const ctk_amx_vectors *v, size_t k, size_t start, ctk_amx_part part) {}
void ctk_amx_pack_left(void *tiles, const ctk_amx_vectors *v, ctk_amx_part part) {}
void ctk_amx_multiply(const ctk_amx_product *p, size_t first, size_t from, size_t count, void *scratch) {}

#endif
