// What the forward and the backward pass of attention in tiles share: rows of a group as tiles, and exponentials.
//
// Rows are processed in strips of 32, two tiles.
#ifndef AMX_ATTENTION_H
#define AMX_ATTENTION_H

#include <math.h>

#include "amx_tiles.h"

enum { STRIP = 32, LABELS = STRIP };
#define INLINE AMX_INLINE
#include "attention_labels.h"
#undef INLINE

static inline size_t wide(size_t width) { return up(width, 32); }
static inline size_t strip_count(size_t rows) { return up(rows, STRIP) / STRIP; }
static inline size_t group_rows(const ctk_attention *a) { return a->queries * a->heads_per_group; }

// Where a head of a token begins.
AMX_INLINE const uint16_t *head_at(const ctk_rows *rows, size_t token, size_t head) {
    return (const uint16_t *)rows->data + (ptrdiff_t)token * rows->token_stride + (ptrdiff_t)head * rows->head_stride;
}

// The rows of a strip, which begin at row `first` of a group; NULL for those that are not there. Padding that belongs to
// no sequence may have any bits, and a weight of 0 times NaN would be NaN, so it is not there either.
typedef struct strip {
    const uint16_t *at[STRIP];
} strip;

AMX_INLINE strip find_strip(const ctk_rows *source, size_t group, size_t first, size_t heads_per_group, const labels *l) {
    strip rows;
    for (size_t i = 0; i < STRIP; i++) {
        size_t row = first + i, head = group * heads_per_group + row % heads_per_group;
        rows.at[i] = l->segments[i] < 0 ? NULL : head_at(source, row / heads_per_group, head);
    }
    return rows;
}

// 32 elements of a row from column d on, of which `mask` are there.
AMX_INLINE __m512i row_part(const uint16_t *row, size_t d, __mmask32 mask) {
    return row ? _mm512_maskz_loadu_epi16(mask, row + d) : _mm512_setzero_si512();
}

// Left tiles of the strip's rows along their width, by steps of 32 columns: [steps][2 tiles].
AMX_INLINE void put_rows(uint8_t *target, const strip *rows, size_t width) {
    for (size_t d = 0; d < width; d += 32)
        for (size_t i = 0; i < STRIP; i++)
            _mm512_store_si512(target + d / 32 * PAIR + 64 * i, row_part(rows->at[i], d, lanes(width - d)));
}

// Right tiles of the strip's rows along their width: [steps][2 tiles].
AMX_INLINE void put_turned_rows(uint8_t *target, const strip *rows, size_t width) {
    for (size_t d = 0; d < width; d += 32)
        for (size_t half = 0; half < 2; half++) {
            __m512i r[16];
            for (size_t i = 0; i < 16; i++) r[i] = row_part(rows->at[16 * half + i], d, lanes(width - d));
            transpose(r);
            store_tile(target + (d / 32 * 2 + half) * TILE, r);
        }
}

// Tiles whose depth is the strip's rows and whose other side is 32 columns from d on: right tiles, or left ones.
AMX_INLINE void put_columns(uint8_t *target, const strip *rows, size_t d, size_t width, bool left) {
    for (size_t half = 0; half < 2; half++) {
        __m512i r[16];
        for (size_t i = 0; i < 16; i++) {
            __mmask32 mask = lanes(width - d);
            r[i] = weave(row_part(rows->at[2 * i], d, mask), row_part(rows->at[2 * i + 1], d, mask), half);
        }
        if (left) transpose(r);
        store_tile(target + half * TILE, r);
    }
}

// 2^x; NaN stays NaN. The polynomial has the least relative error on [0, 1), 2.6e-6, a thousandth of what rounding to
// bfloat16 costs. Results that are not normal are 0, see begin_attention.
AMX_INLINE __m512 power_of_two(__m512 x) {
    __m512 r = _mm512_reduce_ps(x, 1);
    __m512 p = _mm512_set1_ps(1.3534167616e-2f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.2011461188e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4144275655e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9300383453e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0000025934f));
    return _mm512_scalef_ps(p, x);
}

// Before and after the kernels: numbers that are not normal take the processor a hundred cycles and more, so they are 0.
AMX_INLINE unsigned begin_attention(void) {
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
    configure();
    return before;
}

AMX_INLINE void end_attention(unsigned before) {
    _tile_release();
    _mm_setcsr(before);
}

#define LOG2_E 1.44269504088896341f

// Which queries of one half of a strip see key i of another.
AMX_INLINE __mmask16 see_key(const ctk_mask *mask, const labels *queries, size_t half, const labels *keys, size_t i) {
    __m512i position = _mm512_loadu_si512(queries->positions + 16 * half), key = _mm512_set1_epi32(keys->positions[i]);
    if (keys->segments[i] < 0) return 0;
    __mmask16 seen = _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(queries->segments + 16 * half),
                                             _mm512_set1_epi32(keys->segments[i]));
    if (mask->window >= 0) {
        int32_t window = mask->window < INT32_MAX ? (int32_t)mask->window : INT32_MAX;
        seen &= _mm512_cmplt_epi32_mask(_mm512_sub_epi32(position, key), _mm512_set1_epi32(window));
    }
    if (!mask->causal) return seen;
    __mmask16 before = _mm512_cmple_epi32_mask(key, position);
    if (keys->blocks[i] > 0)
        before |= _mm512_cmpeq_epi32_mask(_mm512_loadu_si512(queries->blocks + 16 * half), _mm512_set1_epi32(keys->blocks[i]));
    return seen & before;
}

#endif
