// Attention for bfloat16 in the tiles of Intel's AMX.
//
// Scores are computed transposed, K Q', so that a register holds sixteen queries at one key: the softmax over keys is
// then plain arithmetic on registers, and its result has the order that the next product, V' P', needs. Keys and values
// are copied into tiles once for all queries of a head. The method is that of attention.h.
#include "CTensorKernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include "amx_attention.h"

enum { QUERIES = CTK_AMX_ATTENTION_ROWS, KEYS = CTK_AMX_ATTENTION_KEYS, STRIPS = KEYS / STRIP };

// Keys and values of a group in tiles.
typedef struct packed_keys {
    uint8_t *keys;   // [strips][steps of the width][2 tiles]
    uint8_t *values; // of each panel of KEYS keys: [steps of the width][strips][2 tiles]
    labels *labels;  // of the strips
} packed_keys;

static packed_keys parts_of(const void *packed, size_t keys, size_t width) {
    size_t half = up(keys, KEYS) * wide(width) * 2;
    uint8_t *start = (uint8_t *)packed;
    return (packed_keys){start, start + half, (labels *)(start + 2 * half)};
}

size_t ctk_amx_attention_packed(size_t keys, size_t width) {
    return 2 * up(keys, KEYS) * wide(width) * 2 + strip_count(keys) * sizeof(labels);
}

size_t ctk_amx_attention_scratch(size_t width) {
    return QUERIES * wide(width) * 2 + KEYS * QUERIES * 4 + KEYS * QUERIES * 2 + QUERIES * wide(width) * 4;
}

AMX void ctk_amx_attention_pack(void *packed, const ctk_attention *p, size_t group, size_t first) {
    const packed_keys parts = parts_of(packed, p->keys, p->width);
    const size_t size = STRIP * wide(p->width) * 2;
    for (size_t key = first; key < least(first + KEYS, p->keys); key += STRIP) {
        labels *l = parts.labels + key / STRIP;
        key_labels(l, p, key, least(STRIP, p->keys - key), STRIP);
        strip keys = find_strip(&p->key, group, key, 1, l), values = find_strip(&p->value, group, key, 1, l);
        put_rows(parts.keys + key / STRIP * size, &keys, p->width);
        uint8_t *panel = parts.values + key / KEYS * STRIPS * size;
        for (size_t d = 0; d < p->width; d += 32)
            put_columns(panel + (d / 32 * STRIPS + key % KEYS / STRIP) * PAIR, &values, d, p->width, true);
    }
}

// Sixteen queries' softmax so far.
typedef struct softmax {
    __m512 largest, totals;
} softmax;

// Where key i's scores, or weighted sums' column i, are in 2 x 2 tiles one after the other: those of a half of the queries.
AMX_INLINE uint8_t *sum_at(uint8_t *sums, size_t i, size_t half) {
    return sums + i / 32 * 4 * TILE + i / 16 % 2 * 2 * TILE + half * TILE + i % 16 * 64;
}

// Scores of half the queries with the strips from `low` to `high`, of which they see `seen`, become weights, and the sums
// so far are scaled to the new maximum.
AMX_INLINE void weigh(uint8_t *weights, uint8_t *scores, softmax *so, const ctk_attention *p, const labels *queries,
                      const labels *keys, size_t half, const sight *seen, size_t low, size_t high, uint8_t *sums) {
    const __m512 nothing = _mm512_set1_ps(-INFINITY), scale = _mm512_set1_ps(p->scale);
    __m512 top = so->largest, other = nothing;
    for (size_t s = low; s < high; s++) {
        if (seen[s] == SEES_NONE) continue;
        for (size_t i = 0; i < STRIP; i += 2) {
            uint8_t *at = sum_at(scores, s * STRIP + i, half);
            __m512 even = _mm512_load_ps(at), odd = _mm512_load_ps(at + 64);
            if (seen[s] == SEES_SOME) {
                even = _mm512_mask_mov_ps(nothing, see_key(&p->mask, queries, half, keys + s, i), even);
                odd = _mm512_mask_mov_ps(nothing, see_key(&p->mask, queries, half, keys + s, i + 1), odd);
                _mm512_store_ps(at, even);
                _mm512_store_ps(at + 64, odd);
            }
            top = _mm512_max_ps(top, _mm512_mul_ps(even, scale));
            other = _mm512_max_ps(other, _mm512_mul_ps(odd, scale));
        }
    }
    top = _mm512_max_ps(top, other);
    // A query that has seen nothing yet subtracts 0, so that minus infinity stays what it is.
    __m512 base = _mm512_mask_mov_ps(top, _mm512_cmp_ps_mask(top, nothing, _CMP_EQ_OQ), _mm512_setzero_ps());
    const __m512 factor = _mm512_set1_ps(p->scale * LOG2_E), shift = _mm512_mul_ps(base, _mm512_set1_ps(LOG2_E));
    __m512 even_sum = _mm512_setzero_ps(), odd_sum = _mm512_setzero_ps();
    for (size_t s = low; s < high; s++) {
        uint8_t *tile = weights + (s * 2 + half) * TILE;
        if (seen[s] == SEES_NONE) {
            memset(tile, 0, TILE);
            continue;
        }
        for (size_t i = 0; i < STRIP; i += 2) {
            const uint8_t *at = sum_at(scores, s * STRIP + i, half);
            __m512 even = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(at), factor, shift));
            __m512 odd = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(at + 64), factor, shift));
            even_sum = _mm512_add_ps(even_sum, even);
            odd_sum = _mm512_add_ps(odd_sum, odd);
            // Two keys woven together.
            __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
            __m512i upper = _mm512_shuffle_i64x2(both, both, 0xee);
            _mm512_store_si512(tile + i / 2 * 64, weave(both, upper, false));
        }
    }
    __mmask16 is_first = _mm512_cmp_ps_mask(so->largest, nothing, _CMP_EQ_OQ);
    __m512 change = _mm512_mul_ps(_mm512_sub_ps(so->largest, base), _mm512_set1_ps(LOG2_E));
    __m512 shrink = _mm512_maskz_mov_ps((__mmask16)~is_first, power_of_two(change));
    so->totals = _mm512_fmadd_ps(so->totals, shrink, _mm512_add_ps(even_sum, odd_sum));
    if (_mm512_cmp_ps_mask(shrink, _mm512_set1_ps(1), _CMP_NEQ_UQ))
        for (size_t d = 0; d < wide(p->width); d++) {
            uint8_t *at = sum_at(sums, d, half);
            _mm512_store_ps(at, _mm512_mul_ps(_mm512_load_ps(at), shrink));
        }
    so->largest = top;
}

// Writes half the queries' results.
AMX_INLINE void finish(const ctk_attention *p, size_t group, size_t row, size_t rows, const softmax *so, uint8_t *sums,
                       size_t half) {
    size_t share_count = p->heads_per_group, first_head = group * share_count;
    // Not a number either, which makes the result one that is none.
    __mmask16 any = _mm512_cmp_ps_mask(so->totals, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    __m512 share = _mm512_maskz_div_ps(any, _mm512_set1_ps(1), so->totals);
    for (size_t d = 0; d < p->width; d += 16) {
        __m512i r[16];
        for (size_t i = 0; i < 16; i++)
            r[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_load_ps(sum_at(sums, d + i, half)), share));
        transpose(r);
        __mmask16 mask = (__mmask16)lanes(p->width - d);
        for (size_t i = 0; i < 16; i++) {
            size_t index = row + 16 * half + i;
            if (index >= rows) break;
            uint16_t *out = (uint16_t *)head_at(&p->out, index / share_count, first_head + index % share_count) + d;
            _mm256_mask_storeu_epi16(out, mask, (__m256i)_mm512_cvtneps_pbh(_mm512_castsi512_ps(r[i])));
        }
    }
    if (!p->log_sum_exp) return;
    float tops[16], totals[16];
    _mm512_storeu_ps(tops, so->largest);
    _mm512_storeu_ps(totals, so->totals);
    for (size_t i = 0; i < 16 && row + 16 * half + i < rows; i++) {
        size_t index = row + 16 * half + i;
        p->log_sum_exp[(first_head + index % share_count) * p->queries + index / share_count] =
            totals[i] == 0 ? INFINITY : tops[i] + logf(totals[i]);
    }
}

AMX void ctk_amx_attention(const ctk_attention *p, size_t group, const void *packed, size_t row, void *scratch) {
    const size_t width = wide(p->width), steps = width / 32, rows = group_rows(p);
    const packed_keys parts = parts_of(packed, p->keys, p->width);
    uint8_t *queries = scratch, *scores = queries + QUERIES * width * 2, *weights = scores + KEYS * QUERIES * 4,
            *sums = weights + KEYS * QUERIES * 2;
    const unsigned control = begin_attention();
    labels q;
    query_labels(&q, p, row, least(QUERIES, rows - row), QUERIES);
    strip from = find_strip(&p->query, group, row, p->heads_per_group, &q);
    put_turned_rows(queries, &from, p->width);
    softmax so[2];
    for (size_t half = 0; half < 2; half++) so[half] = (softmax){_mm512_set1_ps(-INFINITY), _mm512_setzero_ps()};
    memset(sums, 0, QUERIES * width * 4);

    for (size_t key = 0; key < p->keys; key += KEYS) {
        const labels *k = parts.labels + key / STRIP;
        const size_t strips = strip_count(least(KEYS, p->keys - key));
        sight seen[STRIPS];
        size_t low = STRIPS, high = 0;
        for (size_t s = 0; s < strips; s++) {
            seen[s] = tile_sight(&p->mask, &q, k + s);
            if (seen[s] == SEES_NONE) continue;
            low = least(low, s);
            high = s + 1;
        }
        if (high == 0) continue;
        const uint8_t *left = parts.keys + key * width * 2;
        for (size_t s = low; s < high; s++)
            if (seen[s] != SEES_NONE) multiply_tiles(scores + s * 4 * TILE, left + s * steps * PAIR, queries, steps, true);
        for (size_t half = 0; half < 2; half++)
            weigh(weights, scores, &so[half], p, &q, k, half, seen, low, high, sums);
        const uint8_t *values = parts.values + key * width * 2;
        for (size_t d = 0; d < steps; d++)
            multiply_tiles(sums + d * 4 * TILE, values + (d * STRIPS + low) * PAIR, weights + low * PAIR, high - low,
                           false);
    }
    end_attention(control);
    for (size_t half = 0; half < 2; half++) finish(p, group, row, rows, &so[half], sums, half);
}

#else

size_t ctk_amx_attention_packed(size_t keys, size_t width) { return 0; }
size_t ctk_amx_attention_scratch(size_t width) { return 0; }
void ctk_amx_attention_pack(void *packed, const ctk_attention *p, size_t group, size_t first) {}
void ctk_amx_attention(const ctk_attention *p, size_t group, const void *packed, size_t row, void *scratch) {}

#endif
