// bfloat16 matrix products in the tiles of Intel's AMX.
//
// A tile is 16 rows of 64 bytes. The processor multiplies a left tile, 16 rows by 32 elements, and a right tile, whose
// row r holds elements 2r and 2r + 1 of the inner dimension for 16 columns, and adds to 16 x 16 float32 sums. Source:
// Intel, Architecture Instruction Set Extensions Programming Reference, TDPBF16PS.
//
// The rows of a and the columns of b are two sets of vectors. One is copied into right tiles for all threads; a block of
// it stays in the second-level cache while a thread goes over its part of the other set, 32 vectors at a time, whose left
// tiles stay in the first-level cache. The tile unit is the limit: whatever else there is to do, the sums of the tiles
// before, the left tiles that come next and prefetching, is done between its instructions.
#include "CTensorKernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include "amx_tiles.h"

enum {
    DEPTH = 256, // elements of a vector in a chunk
    SPAN = 2048, // and in a block; a multiple of DEPTH
    BLOCK_BYTES = 1280 << 10,
    MOST_VECTORS = 1024,
    PANEL_BYTES = 32 * DEPTH * 2,
    PANEL_TILES = PANEL_BYTES / TILE,
};

size_t ctk_amx_height(size_t k) {
    size_t height = BLOCK_BYTES / (2 * least(up(k, 32), SPAN)) / 32 * 32;
    return least(height, MOST_VECTORS);
}

size_t ctk_amx_packed(size_t count, size_t k) { return up(count, 32) * up(k, 32) * 2; }

// Sums of all columns are kept from one span to the next; within one, of two panels.
size_t ctk_amx_scratch(size_t rows, size_t columns, size_t k) {
    return 2 * PANEL_BYTES + up(rows, 32) * (k > SPAN ? up(columns, 32) : 64) * 4;
}

// Where the tiles of a block of vectors begin at a depth; blocks have the same height but for the last.
static size_t place(size_t count, size_t k, size_t first, size_t depth) {
    return (first * up(k, 32) + depth * least(ctk_amx_height(k), up(count, 32) - first)) * 2;
}

// Where a chunk of the streamed vectors is: 32 vectors from `vector` on and up to DEPTH elements from `depth` on.
typedef struct chunk {
    size_t vector, depth;
    size_t vectors, inner; // how many there are
    const uint16_t *source;
} chunk;

// The chunks of a piece of work, in the order in which they are multiplied: by spans, panels of 32 vectors, and depths.
typedef struct chunk_list {
    const ctk_amx_product *product;
    size_t from, count, panels, length;
} chunk_list;

static chunk_list make_list(const ctk_amx_product *p, size_t from, size_t count) {
    size_t panels = up(count, 32) / 32;
    return (chunk_list){p, from, count, panels, panels * (up(p->k, DEPTH) / DEPTH)};
}

static chunk chunk_at(const chunk_list *list, size_t index) {
    const ctk_amx_product *p = list->product;
    size_t whole = list->panels * (SPAN / DEPTH), span = index / whole * SPAN, within = index % whole;
    size_t depths = up(least(SPAN, p->k - span), DEPTH) / DEPTH;
    size_t vector = within / depths * 32, depth = span + within % depths * DEPTH;
    return (chunk){
        vector, depth, least(32, list->count - vector), least(DEPTH, p->k - depth),
        (const uint16_t *)p->streamed + (list->from + vector) * p->vector_stride + depth * p->element_stride,
    };
}

// Copies some of the left tiles of a chunk.
AMX_INLINE void pack_tiles(uint8_t *left, const chunk *next, const ctk_amx_product *p, size_t first, size_t end) {
    for (size_t tile = first; tile < end; tile++) {
        size_t step = tile / 2, vector = 16 * (tile % 2);
        if (32 * step >= next->inner) return;
        pack_left(left + tile * TILE, next->source + vector * p->vector_stride + 32 * step * p->element_stride,
                  p->vector_stride, p->element_stride, next->vectors > vector ? next->vectors - vector : 0,
                  next->inner - 32 * step);
    }
}

// Prefetches one of `parts` parts of a chunk: its lines are on more pages than the hardware prefetcher follows.
AMX_INLINE void prefetch(const chunk *next, const ctk_amx_product *p, size_t part, size_t parts) {
    bool is_deep = p->element_stride == 1;
    size_t runs = is_deep ? next->vectors : next->inner, stride = is_deep ? p->vector_stride : p->element_stride;
    size_t length = is_deep ? next->inner : next->vectors;
    for (size_t run = runs * part / parts; run < runs * (part + 1) / parts; run++)
        for (size_t i = 0; i < length; i += 32)
            _mm_prefetch((const char *)(next->source + run * stride + i), _MM_HINT_T0);
}

// Moves 32 elements of a row of c to where they belong, or those in the mask.
AMX_INLINE void put_row(void *target, __m512 low, __m512 high, __mmask32 mask, bool is_float32, bool adds) {
    if (is_float32) {
        float *out = target;
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

// Finished sums of 2 x 2 tiles: those of streamed vectors from `row` on with packed ones from `column` on.
typedef struct finished {
    const uint8_t *sums; // NULL when there are none
    size_t row, row_end, column, column_end;
} finished;

// Moves one half of them, 16 rows of c by 32 columns.
AMX_INLINE void put(const finished *f, size_t half, const ctk_amx_product *p) {
    // The rows of the tiles are streamed vectors; when these are the columns of b, the tiles are transposed.
    bool turns = !p->packs_columns;
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
                    p->is_float32, p->adds);
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
                p->is_float32, p->adds);
    }
}

AMX void ctk_amx_pack(void *packed, const void *source, size_t vector_stride, size_t element_stride, size_t count, size_t k,
                      size_t first) {
    size_t height = ctk_amx_height(k), block = first / height * height, pair = first % height / 32;
    for (size_t depth = 0; depth < k; depth += DEPTH) {
        size_t inner = least(DEPTH, k - depth), steps = up(inner, 32) / 32;
        uint8_t *target = (uint8_t *)packed + place(count, k, block, depth) + pair * steps * 2 * TILE;
        for (size_t half = 0; half < 2; half++) {
            size_t vector = first + 16 * half, there = vector < count ? count - vector : 0;
            const uint16_t *from = (const uint16_t *)source + vector * vector_stride + depth * element_stride;
            for (size_t step = 0; step < steps; step++)
                pack_right(target + (2 * step + half) * TILE, from + 32 * step * element_stride, element_stride,
                           vector_stride, inner - 32 * step, there);
        }
    }
}

AMX void ctk_amx_multiply(const ctk_amx_product *p, size_t first, size_t from, size_t count, void *scratch) {
    const chunk_list list = make_list(p, from, count);
    if (list.length == 0) return;
    configure();
    const size_t end = least(first + ctk_amx_height(p->k), p->packed_count), pairs = up(end - first, 32) / 32;
    uint8_t *lefts[2] = {scratch, (uint8_t *)scratch + PANEL_BYTES}, *sums = lefts[1] + PANEL_BYTES;
    finished before = {NULL};
    chunk now = chunk_at(&list, 0), next = now, later = list.length > 1 ? chunk_at(&list, 1) : now;
    pack_tiles(lefts[0], &now, p, 0, PANEL_TILES);
    for (size_t index = 0; index < list.length; index++, now = next) {
        const bool has_next = index + 1 < list.length, has_later = index + 2 < list.length;
        next = later;
        if (has_later) later = chunk_at(&list, index + 2);
        const size_t steps = up(now.inner, 32) / 32, panel = now.vector / 32;
        const uint8_t *right = (const uint8_t *)p->packed + place(p->packed_count, p->k, first, now.depth);
        const uint8_t *left = lefts[index % 2];
        uint8_t *other = lefts[(index + 1) % 2];
        for (size_t pair = 0; pair < pairs; pair++, right += steps * 2 * TILE) {
            uint8_t *sum = sums + ((p->k > SPAN ? panel : panel % 2) * pairs + pair) * 4 * TILE;
            const size_t tile = PANEL_TILES * pair / pairs, tile_end = PANEL_TILES * (pair + 1) / pairs;
            load_sums(sum, now.depth == 0);
            for (size_t step = 0; step < steps; step++) {
                multiply_step(left + step * 2 * TILE, right + step * 2 * TILE);
                if (step < 2 && before.sums) put(&before, step, p);
                // A part of the tiles that come next.
                if (has_next)
                    pack_tiles(other, &next, p, tile + (tile_end - tile) * step / steps,
                               tile + (tile_end - tile) * (step + 1) / steps);
            }
            if (steps == 1 && before.sums) put(&before, 1, p);
            if (has_later) prefetch(&later, p, pair, pairs);
            store_sums(sum);
            before.sums = NULL;
            if (now.depth + DEPTH < p->k) continue;
            before = (finished){
                sum, from + now.vector, from + count, first + 32 * pair, end,
            };
        }
    }
    if (before.sums) {
        put(&before, 0, p);
        put(&before, 1, p);
    }
    _tile_release();
}

#else

size_t ctk_amx_height(size_t k) { return 32; }
size_t ctk_amx_packed(size_t count, size_t k) { return 0; }
size_t ctk_amx_scratch(size_t rows, size_t columns, size_t k) { return 0; }
void ctk_amx_pack(void *packed, const void *source, size_t vector_stride, size_t element_stride, size_t count, size_t k,
                  size_t first) {}
void ctk_amx_multiply(const ctk_amx_product *p, size_t first, size_t from, size_t count, void *scratch) {}

#endif
