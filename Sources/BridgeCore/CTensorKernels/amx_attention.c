// Attention for bfloat16 in the tiles of Intel's AMX.
//
// Scores are computed transposed, K Q', so that a register holds sixteen queries at one key: the softmax over keys is
// then plain arithmetic on registers, and its result has the order that the next product, V' P', needs. Keys and values
// are copied into tiles once for all queries of a head. The method is that of attention.h.
#include "CTensorKernels.h"

#include <math.h>

#if defined(__x86_64__) && defined(__linux__)
#include "amx_tiles.h"

enum { QUERIES = CTK_AMX_ATTENTION_ROWS, KEYS = CTK_AMX_ATTENTION_KEYS };

static size_t wide(size_t width) { return up(width, 32); }

size_t ctk_amx_attention_packed(size_t keys, size_t width) { return 2 * up(keys, KEYS) * wide(width) * 2; }

size_t ctk_amx_attention_scratch(size_t width) {
    return QUERIES * wide(width) * 2 + KEYS * QUERIES * 4 + KEYS * QUERIES * 2 + QUERIES * wide(width) * 4;
}

// Where a head of a token begins.
static const uint16_t *at(const ctk_rows *rows, size_t token, size_t head) {
    return (const uint16_t *)rows->data + (ptrdiff_t)token * rows->token_stride + (ptrdiff_t)head * rows->head_stride;
}

AMX void ctk_amx_attention_pack(void *packed, const ctk_attention *p, size_t group, size_t first) {
    size_t steps = wide(p->width) / 32, count = least(KEYS, p->keys - first);
    uint8_t *keys = (uint8_t *)packed + first * wide(p->width) * 2;
    uint8_t *values = (uint8_t *)packed + (up(p->keys, KEYS) + first) * wide(p->width) * 2;
    size_t key_stride = (size_t)p->key.token_stride, value_stride = (size_t)p->value.token_stride;
    const uint16_t *key = at(&p->key, first, group), *value = at(&p->value, first, group);
    for (size_t row = 0; row < KEYS; row += 16) {
        size_t there = row < count ? count - row : 0;
        for (size_t step = 0; step < steps; step++)
            pack_left(keys + (row / 32 * steps + step) * 2 * TILE + row / 16 % 2 * TILE,
                      key + row * key_stride + 32 * step, key_stride, 1, there, p->width - 32 * step);
    }
    for (size_t d = 0; d < wide(p->width); d += 16) {
        size_t there = d < p->width ? p->width - d : 0;
        for (size_t step = 0; step < KEYS / 32; step++)
            pack_left(values + (d / 32 * (KEYS / 32) + step) * 2 * TILE + d / 16 % 2 * TILE,
                      value + 32 * step * value_stride + d, 1, value_stride, there,
                      32 * step < count ? count - 32 * step : 0);
    }
}

// e^x for x of 0 or less (Cephes, expf); NaN stays NaN.
AMX_INLINE __m512 exponential(__m512 x) {
    x = _mm512_max_ps(_mm512_set1_ps(-100), x);
    __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(x, _mm512_set1_ps(1.44269504088896341f)), 8);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), x);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(p, r), r, _mm512_add_ps(r, _mm512_set1_ps(1)));
    return _mm512_scalef_ps(p, n);
}

// What sixteen queries see.
typedef struct lanes_of_queries {
    __m512i first, last, segments, blocks;
} lanes_of_queries;

// The queries of `rows` rows, the rest seeing nothing; bounds in `range`: the largest and smallest first and last key.
AMX_INLINE lanes_of_queries look(const ctk_attention *p, size_t row, size_t rows, int32_t range[4]) {
    int32_t first[16], last[16], segments[16], blocks[16];
    for (size_t i = 0; i < 16; i++) {
        size_t token = (row + i < rows ? row + i : rows - 1) / p->heads_per_group;
        int64_t position = p->mask.query_positions[token];
        int64_t from = p->mask.window >= 0 ? position - p->mask.window + 1 : INT32_MIN;
        first[i] = (int32_t)(from < INT32_MIN ? INT32_MIN : from);
        last[i] = p->mask.causal ? (int32_t)position : INT32_MAX;
        segments[i] = p->mask.query_segments ? p->mask.query_segments[token] : 0;
        blocks[i] = p->mask.query_blocks ? p->mask.query_blocks[token] : 0;
        if (first[i] < range[0]) range[0] = first[i];
        if (first[i] > range[1]) range[1] = first[i];
        if (last[i] < range[2]) range[2] = last[i];
        if (last[i] > range[3]) range[3] = last[i];
    }
    return (lanes_of_queries){_mm512_loadu_si512(first), _mm512_loadu_si512(last), _mm512_loadu_si512(segments),
                              _mm512_loadu_si512(blocks)};
}

AMX_INLINE __mmask16 sees(const ctk_attention *p, const lanes_of_queries *q, size_t key) {
    __m512i position = _mm512_set1_epi32(p->mask.key_positions[key]);
    __mmask16 seen = _mm512_cmple_epi32_mask(position, q->last);
    if (p->mask.key_blocks && p->mask.key_blocks[key] > 0)
        seen |= _mm512_cmpeq_epi32_mask(_mm512_set1_epi32(p->mask.key_blocks[key]), q->blocks);
    seen &= _mm512_cmpge_epi32_mask(position, q->first);
    int32_t segment = p->mask.key_segments ? p->mask.key_segments[key] : 0;
    return segment < 0 ? 0 : seen & _mm512_cmpeq_epi32_mask(_mm512_set1_epi32(segment), q->segments);
}

// Whether queries see none, all, or some of a range of keys: 0, 2, 1.
AMX_INLINE int view(const ctk_attention *p, size_t key, size_t count, const int32_t range[4]) {
    int32_t low = INT32_MAX, high = INT32_MIN;
    const int32_t *positions = p->mask.key_positions + key;
    for (size_t i = 0; i < count; i++) {
        low = positions[i] < low ? positions[i] : low;
        high = positions[i] > high ? positions[i] : high;
    }
    bool is_plain = !p->mask.key_segments && !p->mask.query_segments;
    if (high < range[0] || (low > range[3] && !(p->mask.query_blocks && p->mask.key_blocks))) return 0;
    return is_plain && low >= range[1] && high <= range[2] ? 2 : 1;
}

AMX void ctk_amx_attention(const ctk_attention *p, size_t group, const void *packed, size_t row, void *scratch) {
    size_t width = wide(p->width), steps = width / 32, share_count = p->heads_per_group, first_head = group * share_count;
    size_t rows = p->queries * share_count, all = up(p->keys, KEYS);
    uint8_t *queries = scratch, *scores = queries + QUERIES * width * 2, *shares = scores + KEYS * QUERIES * 4,
            *sums = shares + KEYS * QUERIES * 2;
    configure();
    for (size_t half = 0; half < 2; half++) {
        for (size_t step = 0; step < steps; step++) {
            __m512i r[16];
            __mmask32 mask = lanes(p->width - 32 * step);
            for (size_t i = 0; i < 16; i++) {
                size_t index = row + 16 * half + i;
                r[i] = index < rows ? _mm512_maskz_loadu_epi16(
                                          mask, at(&p->query, index / share_count, first_head + index % share_count)
                                                    + 32 * step)
                                    : _mm512_setzero_si512();
            }
            transpose(r);
            store_tile(queries + (2 * step + half) * TILE, r);
        }
    }
    int32_t range[4] = {INT32_MAX, INT32_MIN, INT32_MAX, INT32_MIN};
    lanes_of_queries q[2] = {look(p, row, rows, range), look(p, row + 16, rows, range)};
    __m512 largest[2], totals[2], scale = _mm512_set1_ps(p->scale), nothing = _mm512_set1_ps(-INFINITY);
    largest[0] = largest[1] = nothing;
    totals[0] = totals[1] = _mm512_setzero_ps();
    memset(sums, 0, QUERIES * width * 4);

    for (size_t key = 0; key < p->keys; key += KEYS) {
        size_t count = least(KEYS, p->keys - key), pairs = up(count, 32) / 32;
        int seen = view(p, key, count, range);
        if (seen == 0) continue;
        const uint8_t *left = (const uint8_t *)packed + key * width * 2;
        for (size_t pair = 0; pair < pairs; pair++)
            multiply_tiles(scores + pair * 4 * TILE, left + pair * steps * 2 * TILE, queries, steps, true);
        // Row i of the scores of half h: its sixteen queries at key i.
#define SCORE(i, h) (scores + (i) / 32 * 4 * TILE + (i) / 16 % 2 * 2 * TILE + (h) * TILE + (i) % 16 * 64)
        for (size_t half = 0; half < 2; half++) {
            __m512 top = largest[half];
            for (size_t i = 0; i < count; i++) {
                __m512 s = _mm512_mul_ps(_mm512_load_ps(SCORE(i, half)), scale);
                if (seen == 1) s = _mm512_mask_mov_ps(nothing, sees(p, &q[half], key + i), s);
                _mm512_store_ps(SCORE(i, half), s);
                top = _mm512_max_ps(top, s);
            }
            for (size_t i = count; i < pairs * 32; i++) _mm512_store_ps(SCORE(i, half), nothing);
            // A query that has seen nothing yet subtracts 0, so that minus infinity stays what it is.
            __m512 base = _mm512_mask_mov_ps(top, _mm512_cmp_ps_mask(top, nothing, _CMP_EQ_OQ), _mm512_setzero_ps());
            __m512 sum = _mm512_setzero_ps();
            for (size_t i = 0; i < pairs * 32; i += 2) {
                __m512 even = _mm512_load_ps(SCORE(i, half)), odd = _mm512_load_ps(SCORE(i + 1, half));
                __mmask16 sees_even = _mm512_cmp_ps_mask(even, nothing, _CMP_NEQ_UQ),
                          sees_odd = _mm512_cmp_ps_mask(odd, nothing, _CMP_NEQ_UQ);
                even = _mm512_maskz_mov_ps(sees_even, exponential(_mm512_sub_ps(even, base)));
                odd = _mm512_maskz_mov_ps(sees_odd, exponential(_mm512_sub_ps(odd, base)));
                sum = _mm512_add_ps(sum, _mm512_add_ps(even, odd));
                // Two keys woven together, each rounded to the nearest bfloat16.
                __m512i round = _mm512_set1_epi32(0x8000);
                __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), round), 16);
                __m512i high = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(odd), round),
                                                _mm512_set1_epi32((int)0xffff0000));
                _mm512_store_si512(shares + (i / 32 * 2 + half) * TILE + i % 32 / 2 * 64, _mm512_or_si512(low, high));
            }
            __mmask16 is_first = _mm512_cmp_ps_mask(largest[half], nothing, _CMP_EQ_OQ);
            __m512 shrink = _mm512_maskz_mov_ps((__mmask16)~is_first, exponential(_mm512_sub_ps(largest[half], base)));
            totals[half] = _mm512_fmadd_ps(totals[half], shrink, sum);
            if (_mm512_cmp_ps_mask(shrink, _mm512_set1_ps(1), _CMP_NEQ_UQ))
                for (size_t d = 0; d < width; d++) {
                    uint8_t *at = sums + d / 32 * 4 * TILE + d / 16 % 2 * 2 * TILE + half * TILE + d % 16 * 64;
                    _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), shrink));
                }
            largest[half] = top;
        }
        const uint8_t *values = (const uint8_t *)packed + (all + key) * width * 2;
        for (size_t pair = 0; pair < steps; pair++)
            multiply_tiles(sums + pair * 4 * TILE, values + pair * (KEYS / 32) * 2 * TILE, shares, pairs, false);
    }
    _tile_release();

    for (size_t half = 0; half < 2; half++) {
        // Not a number either, which makes the result one that is none.
        __mmask16 any = _mm512_cmp_ps_mask(totals[half], _mm512_setzero_ps(), _CMP_NEQ_UQ);
        __m512 share = _mm512_maskz_div_ps(any, _mm512_set1_ps(1), totals[half]);
        for (size_t d = 0; d < p->width; d += 16) {
            __m512i r[16];
            for (size_t i = 0; i < 16; i++)
                r[i] = _mm512_castps_si512(_mm512_mul_ps(
                    _mm512_load_ps(sums + d / 32 * 4 * TILE + d / 16 % 2 * 2 * TILE + half * TILE + i * 64), share));
            transpose(r);
            __mmask16 mask = (__mmask16)lanes(p->width - d);
            for (size_t i = 0; i < 16; i++) {
                size_t index = row + 16 * half + i;
                if (index >= rows) break;
                uint16_t *out = (uint16_t *)at(&p->out, index / share_count, first_head + index % share_count) + d;
                _mm256_mask_storeu_epi16(out, mask, (__m256i)_mm512_cvtneps_pbh(_mm512_castsi512_ps(r[i])));
            }
        }
        if (!p->log_sum_exp) continue;
        float tops[16], sums_of[16];
        _mm512_storeu_ps(tops, largest[half]);
        _mm512_storeu_ps(sums_of, totals[half]);
        for (size_t i = 0; i < 16 && row + 16 * half + i < rows; i++) {
            size_t index = row + 16 * half + i;
            p->log_sum_exp[(first_head + index % share_count) * p->queries + index / share_count] =
                sums_of[i] == 0 ? INFINITY : tops[i] + logf(sums_of[i]);
        }
    }
}

#else

size_t ctk_amx_attention_packed(size_t keys, size_t width) { return 0; }
size_t ctk_amx_attention_scratch(size_t width) { return 0; }
void ctk_amx_attention_pack(void *packed, const ctk_attention *p, size_t group, size_t first) {}
void ctk_amx_attention(const ctk_attention *p, size_t group, const void *packed, size_t row, void *scratch) {}

#endif
