// The backward pass of attention for bfloat16 in the tiles of Intel's AMX, by the formulas of attention_backward.h.
//
// As in the forward pass, scores are transposed, [keys, queries], so that a register holds sixteen queries at one key.
// Weights P and slopes dS of a strip of 32 keys have the order of left tiles, for dV = P dO and dK = dS Q; slopes woven in
// pairs of keys have that of right tiles, for dQ' = K' dS. With all rows and keys at once five products are done for each
// pair of strips; gradients of some rows or some keys alone take four or three. Each gradient is summed up in the order
// of strips either way, so its bits are the same.
#include "CTensorKernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include "amx_attention.h"

enum {
    KEYS = CTK_AMX_GRADIENT_KEYS, // keys and
    ROWS = CTK_AMX_GRADIENT_ROWS, // rows whose weights are kept at once
    KEY_STRIPS = KEYS / STRIP,
    ROW_STRIPS = ROWS / STRIP,
};

// What a strip of rows needs besides tiles.
typedef struct row_facts {
    labels labels;
    float log_sum_exp[STRIP]; // times log2 e, infinite for rows that are not there
    float delta[STRIP];
} row_facts;

// Everything of a group in tiles.
typedef struct packed_group {
    uint8_t *keys, *values;              // left tiles: [strips][steps of the width][2 tiles]
    uint8_t *key_columns;                // left tiles: of each KEYS keys [steps of the width][strips][2 tiles]
    uint8_t *queries, *gradients;        // right tiles: [strips][steps of the width][2 tiles]
    uint8_t *query_rows, *gradient_rows; // right tiles: [steps of the width][strips][2 tiles]
    labels *labels;                      // of the strips of keys
    row_facts *facts;                    // of the strips of rows
    size_t row_strips;
    size_t bytes;
} packed_group;

static packed_group parts_of(const void *packed, size_t rows, size_t keys, size_t width) {
    size_t key_bytes = up(keys, KEYS) * wide(width) * 2, row_bytes = up(rows, STRIP) * wide(width) * 2;
    uint8_t *start = (uint8_t *)packed, *queries = start + 3 * key_bytes, *facts = queries + 4 * row_bytes;
    packed_group group = {
        .keys = start,
        .values = start + key_bytes,
        .key_columns = start + 2 * key_bytes,
        .queries = queries,
        .gradients = queries + row_bytes,
        .query_rows = queries + 2 * row_bytes,
        .gradient_rows = queries + 3 * row_bytes,
        .facts = (row_facts *)facts,
        .row_strips = strip_count(rows),
    };
    group.labels = (labels *)(facts + group.row_strips * sizeof(row_facts));
    group.bytes = 3 * key_bytes + 4 * row_bytes + group.row_strips * sizeof(row_facts) + strip_count(keys) * sizeof(labels);
    return group;
}

size_t ctk_amx_gradients_packed(size_t rows, size_t keys, size_t width) { return parts_of(NULL, rows, keys, width).bytes; }

size_t ctk_amx_gradients_scratch(size_t rows, size_t width) {
    size_t weights = ROWS * STRIP * 2, woven = ROWS * KEYS * 2, sums = 2 * 2 * 4 * TILE;
    return up(rows, STRIP) * wide(width) * 4 + 2 * KEYS * wide(width) * 4 + 2 * weights + woven + sums;
}

AMX void ctk_amx_gradients_pack(void *packed, const ctk_attention *a, size_t group, size_t part) {
    const packed_group parts = parts_of(packed, group_rows(a), a->keys, a->width);
    const size_t size = STRIP * wide(a->width) * 2, key_strips = strip_count(a->keys);
    if (part < key_strips) {
        size_t key = part * STRIP;
        labels *l = parts.labels + part;
        key_labels(l, a, key, least(STRIP, a->keys - key), STRIP);
        strip keys = find_strip(&a->key, group, key, 1, l), values = find_strip(&a->value, group, key, 1, l);
        put_rows(parts.keys + part * size, &keys, a->width);
        put_rows(parts.values + part * size, &values, a->width);
        uint8_t *columns = parts.key_columns + part / KEY_STRIPS * KEY_STRIPS * size;
        for (size_t d = 0; d < a->width; d += 32)
            put_columns(columns + (d / 32 * KEY_STRIPS + part % KEY_STRIPS) * PAIR, &keys, d, a->width, true);
        return;
    }
    size_t number = part - key_strips, row = number * STRIP, count = least(STRIP, group_rows(a) - row);
    row_facts *facts = parts.facts + number;
    query_labels(&facts->labels, a, row, count, STRIP);
    for (size_t i = 0; i < STRIP; i++) {
        size_t head = group * a->heads_per_group + (row + i) % a->heads_per_group;
        size_t place = head * a->queries + (row + i) / a->heads_per_group;
        bool is_there = facts->labels.segments[i] >= 0;
        facts->log_sum_exp[i] = is_there ? a->log_sum_exp[place] * LOG2_E : INFINITY;
        facts->delta[i] = is_there ? a->delta[place] : 0;
    }
    strip queries = find_strip(&a->query, group, row, a->heads_per_group, &facts->labels);
    strip gradients = find_strip(&a->gradient, group, row, a->heads_per_group, &facts->labels);
    put_turned_rows(parts.queries + number * size, &queries, a->width);
    put_turned_rows(parts.gradients + number * size, &gradients, a->width);
    for (size_t d = 0; d < a->width; d += 32) {
        size_t place = (d / 32 * parts.row_strips + number) * PAIR;
        put_columns(parts.query_rows + place, &queries, d, a->width, false);
        put_columns(parts.gradient_rows + place, &gradients, d, a->width, false);
    }
}

// Scores and products dO V' of a pair of strips, and where their weights and slopes belong.
typedef struct pair_of_strips {
    const uint8_t *scores, *products; // 2 x 2 tiles each; NULL when there are none
    const row_facts *rows;
    const labels *keys;
    sight seen;
    uint8_t *weights, *slopes; // left tiles
    uint8_t *woven;            // right tiles
} pair_of_strips;

// Makes weights and slopes of two keys with 32 rows, from the scores.
AMX_INLINE void weigh_keys(const pair_of_strips *pair, const ctk_attention *a, size_t key) {
    const __m512 factor = _mm512_set1_ps(a->scale * LOG2_E);
    __m512 weights[2][2], slopes[2][2];
#pragma clang loop unroll(full)
    for (size_t half = 0; half < 2; half++) {
        __m512 shift = _mm512_loadu_ps(pair->rows->log_sum_exp + 16 * half);
        __m512 delta = _mm512_loadu_ps(pair->rows->delta + 16 * half);
#pragma clang loop unroll(full)
        for (size_t i = 0; i < 2; i++) {
            size_t place = key / 16 * 2 * TILE + half * TILE + (key + i) % 16 * 64;
            __m512 weight = power_of_two(_mm512_fmsub_ps(_mm512_load_ps(pair->scores + place), factor, shift));
            if (pair->seen == SEES_SOME)
                weight = _mm512_maskz_mov_ps(see_key(&a->mask, &pair->rows->labels, half, pair->keys, key + i), weight);
            weights[i][half] = weight;
            slopes[i][half] = _mm512_mul_ps(weight, _mm512_sub_ps(_mm512_load_ps(pair->products + place), delta));
        }
    }
    size_t row = key / 16 * TILE + key % 16 * 64;
    __m512i even = (__m512i)_mm512_cvtne2ps_pbh(slopes[0][1], slopes[0][0]);
    __m512i odd = (__m512i)_mm512_cvtne2ps_pbh(slopes[1][1], slopes[1][0]);
    _mm512_store_si512(pair->weights + row, (__m512i)_mm512_cvtne2ps_pbh(weights[0][1], weights[0][0]));
    _mm512_store_si512(pair->weights + row + 64, (__m512i)_mm512_cvtne2ps_pbh(weights[1][1], weights[1][0]));
    _mm512_store_si512(pair->slopes + row, even);
    _mm512_store_si512(pair->slopes + row + 64, odd);
    // Four queries in turn are in the one and in the other tile, see put_turned_sums.
    _mm512_store_si512(pair->woven + key / 2 * 64, _mm512_unpacklo_epi16(even, odd));
    _mm512_store_si512(pair->woven + TILE + key / 2 * 64, _mm512_unpackhi_epi16(even, odd));
}

// Multiplies 2 x 2 tiles along `steps`; between the tile instructions keys of `before` from *key on become weights, up to
// `end` of them.
AMX_INLINE void multiply_and_weigh(uint8_t *sums, const uint8_t *left, const uint8_t *right, size_t steps,
                                   const pair_of_strips *before, const ctk_attention *a, size_t *key, size_t end) {
    load_sums(sums, true);
    const size_t first = *key;
    for (size_t step = 0; step < steps; step++) {
        multiply_step(left + step * PAIR, right + step * PAIR);
        const size_t until = (first + (end - first) * (step + 1) / steps) & ~(size_t)1;
        for (; before->scores && *key < until; *key += 2) weigh_keys(before, a, *key);
    }
    store_sums(sums);
}

// Writes the rows of 32 by 32 sums, one tile column beside the other.
AMX_INLINE void put_sums(const strip *rows, const uint8_t *sums, float factor, size_t d, size_t width) {
    for (size_t i = 0; i < STRIP; i++) {
        if (!rows->at[i]) continue;
        const uint8_t *at = sums + i / 16 * 2 * TILE + i % 16 * 64;
        __m512 low = _mm512_mul_ps(_mm512_load_ps(at), _mm512_set1_ps(factor));
        __m512 high = _mm512_mul_ps(_mm512_load_ps(at + TILE), _mm512_set1_ps(factor));
        _mm512_mask_storeu_epi16((uint16_t *)rows->at[i] + d, lanes(width - d), (__m512i)_mm512_cvtne2ps_pbh(high, low));
    }
}

// Writes the columns of 32 by 32 sums, in the order of woven queries.
AMX_INLINE void put_turned_sums(const strip *rows, const uint8_t *sums, float factor, size_t d, size_t width) {
    for (size_t half = 0; half < 2; half++) {
        __m512i low[16], high[16];
        for (size_t i = 0; i < 16; i++) {
            low[i] = _mm512_load_si512(sums + half * TILE + 64 * i);
            high[i] = _mm512_load_si512(sums + (2 + half) * TILE + 64 * i);
        }
        transpose(low);
        transpose(high);
        for (size_t i = 0; i < 16; i++) {
            const uint16_t *row = rows->at[i / 4 * 8 + 4 * half + i % 4];
            __m512 first = _mm512_mul_ps(_mm512_castsi512_ps(low[i]), _mm512_set1_ps(factor));
            __m512 second = _mm512_mul_ps(_mm512_castsi512_ps(high[i]), _mm512_set1_ps(factor));
            if (row)
                _mm512_mask_storeu_epi16((uint16_t *)row + d, lanes(width - d), (__m512i)_mm512_cvtne2ps_pbh(second, first));
        }
    }
}

// The rows of a strip, those of padding too.
AMX_INLINE strip all_rows(const ctk_rows *target, size_t group, size_t first, size_t heads_per_group, size_t end) {
    labels l;
    for (size_t i = 0; i < STRIP; i++) l.segments[i] = first + i < end ? 0 : -1;
    return find_strip(target, group, first, heads_per_group, &l);
}

// Strips from `low` to `high`; none when low is not below high.
typedef struct strip_range {
    size_t low, high;
} strip_range;

AMX_INLINE void include(strip_range *range, size_t strip) {
    range->low = least(range->low, strip);
    range->high = strip + 1;
}

AMX void ctk_amx_gradients(const ctk_attention *a, size_t group, const void *packed, size_t first_key, size_t keys,
                           size_t first_row, size_t rows, bool into_keys, bool into_rows, void *scratch) {
    const packed_group parts = parts_of(packed, group_rows(a), a->keys, a->width);
    const size_t width = wide(a->width), steps = width / 32, size = STRIP * width * 2;
    uint8_t *row_sums = scratch, *key_sums = row_sums + up(rows, STRIP) * width * 4, *value_sums = key_sums + KEYS * width * 4,
            *weights = value_sums + KEYS * width * 4, *slopes = weights + ROWS * STRIP * 2, *woven = slopes + ROWS * STRIP * 2,
            *scores = woven + ROWS * KEYS * 2;
    const unsigned control = begin_attention();
    if (into_rows) memset(row_sums, 0, up(rows, STRIP) * width * 4);
    for (size_t key = first_key; key < first_key + keys; key += KEYS) {
        const size_t key_strips = strip_count(least(KEYS, first_key + keys - key)), key_strip = key / STRIP;
        if (into_keys) memset(key_sums, 0, 2 * KEYS * width * 4);
        for (size_t row = first_row; row < first_row + rows; row += ROWS) {
            const size_t row_strips = strip_count(least(ROWS, first_row + rows - row)), row_strip = row / STRIP;
            const row_facts *facts = parts.facts + row_strip;
            strip_range seen_by[ROW_STRIPS];
            sight sights[KEY_STRIPS][ROW_STRIPS];
            for (size_t j = 0; j < row_strips; j++) seen_by[j] = (strip_range){KEY_STRIPS, 0};
            for (size_t s = 0; s < key_strips; s++) {
                const labels *k = parts.labels + key_strip + s;
                sight *seen = sights[s];
                strip_range range = {ROW_STRIPS, 0};
                for (size_t j = 0; j < row_strips; j++) {
                    seen[j] = tile_sight(&a->mask, &facts[j].labels, k);
                    if (seen[j] == SEES_NONE) continue;
                    include(&range, j);
                    include(&seen_by[j], s);
                }
                // Scores of one pair of strips are made while those of the pair before become weights.
                pair_of_strips before = {NULL};
                uint8_t *here = scores, *other = scores + 8 * TILE;
                for (size_t j = range.low; j < range.high; j++) {
                    if (seen[j] == SEES_NONE) {
                        memset(weights + j * PAIR, 0, PAIR);
                        memset(slopes + j * PAIR, 0, PAIR);
                        continue;
                    }
                    size_t done = 0;
                    multiply_and_weigh(here, parts.keys + (key_strip + s) * size, parts.queries + (row_strip + j) * size, steps,
                                       &before, a, &done, STRIP / 2);
                    multiply_and_weigh(here + 4 * TILE, parts.values + (key_strip + s) * size,
                                       parts.gradients + (row_strip + j) * size, steps, &before, a, &done, STRIP);
                    before = (pair_of_strips){
                        here, here + 4 * TILE, facts + j, k, seen[j], weights + j * PAIR, slopes + j * PAIR,
                        woven + (j * KEY_STRIPS + s) * PAIR,
                    };
                    uint8_t *last = here;
                    here = other;
                    other = last;
                }
                for (size_t i = 0; before.scores && i < STRIP; i += 2) weigh_keys(&before, a, i);
                if (!into_keys || range.high == 0) continue;
                const size_t count = range.high - range.low, at = range.low * PAIR;
                for (size_t d = 0; d < steps; d++) {
                    const size_t place = (d * parts.row_strips + row_strip) * PAIR + at;
                    multiply_tiles(value_sums + (s * steps + d) * 4 * TILE, weights + at, parts.gradient_rows + place, count, false);
                    multiply_tiles(key_sums + (s * steps + d) * 4 * TILE, slopes + at, parts.query_rows + place, count, false);
                }
            }
            for (size_t j = 0; into_rows && j < row_strips; j++) {
                const strip_range range = seen_by[j];
                if (range.high == 0) continue;
                for (size_t s = range.low; s < range.high; s++)
                    if (sights[s][j] == SEES_NONE) memset(woven + (j * KEY_STRIPS + s) * PAIR, 0, PAIR);
                uint8_t *sums = row_sums + ((row - first_row) / STRIP + j) * steps * 4 * TILE;
                const uint8_t *left = parts.key_columns + key_strip * size;
                for (size_t d = 0; d < steps; d++)
                    multiply_tiles(sums + d * 4 * TILE, left + (d * KEY_STRIPS + range.low) * PAIR,
                                   woven + (j * KEY_STRIPS + range.low) * PAIR, range.high - range.low, false);
            }
        }
        for (size_t s = 0; into_keys && s < key_strips; s++) {
            strip into_key = all_rows(&a->into_key, group, key + s * STRIP, 1, a->keys);
            strip into_value = all_rows(&a->into_value, group, key + s * STRIP, 1, a->keys);
            for (size_t d = 0; d < steps; d++) {
                put_sums(&into_key, key_sums + (s * steps + d) * 4 * TILE, a->scale, 32 * d, a->width);
                put_sums(&into_value, value_sums + (s * steps + d) * 4 * TILE, 1, 32 * d, a->width);
            }
        }
    }
    end_attention(control);
    for (size_t row = 0; into_rows && row < rows; row += STRIP) {
        strip into = all_rows(&a->into_query, group, first_row + row, a->heads_per_group, group_rows(a));
        for (size_t d = 0; d < steps; d++)
            put_turned_sums(&into, row_sums + (row / STRIP * steps + d) * 4 * TILE, a->scale, 32 * d, a->width);
    }
}

#else

size_t ctk_amx_gradients_packed(size_t rows, size_t keys, size_t width) { return 0; }
size_t ctk_amx_gradients_scratch(size_t rows, size_t width) { return 0; }
void ctk_amx_gradients_pack(void *packed, const ctk_attention *a, size_t group, size_t part) {}
void ctk_amx_gradients(const ctk_attention *a, size_t group, const void *packed, size_t first_key, size_t keys,
                       size_t first_row, size_t rows, bool into_keys, bool into_rows, void *scratch) {}

#endif
