// Which keys queries see, for tiles of them: the rule of AttentionMask, which documents it.

enum { TILE = 64, LABELS = 128 };

#include "attention_labels.h"

INLINE vi v_load_labels(const int32_t *source) { return (vi)v_load((const float *)(const void *)source); }
INLINE vi v_label(int32_t label) { return (vi){0} + label; }

// For each lane, whether its query sees its key.
INLINE vi v_sees(const ctk_mask *mask, vi q_position, vi q_segment, vi q_block, vi k_position, vi k_segment, vi k_block) {
    vi seen = (q_segment == k_segment) & (k_segment >= 0);
    if (mask->window >= 0) {
        int32_t window = mask->window < INT32_MAX ? (int32_t)mask->window : INT32_MAX;
        seen &= q_position - k_position < window;
    }
    if (mask->causal) seen &= (k_position <= q_position) | ((q_block > 0) & (q_block == k_block));
    return seen;
}

// Whether query `row` sees the keys from `column` on.
INLINE vi query_sees(const ctk_mask *mask, const labels *q, size_t row, const labels *k, size_t column) {
    return v_sees(mask, v_label(q->positions[row]), v_label(q->segments[row]), v_label(q->blocks[row]),
                  v_load_labels(k->positions + column), v_load_labels(k->segments + column),
                  v_load_labels(k->blocks + column));
}

// Whether the queries from `column` on see key `row`.
INLINE vi key_is_seen(const ctk_mask *mask, const labels *q, size_t column, const labels *k, size_t row) {
    return v_sees(mask, v_load_labels(q->positions + column), v_load_labels(q->segments + column),
                  v_load_labels(q->blocks + column), v_label(k->positions[row]), v_label(k->segments[row]),
                  v_label(k->blocks[row]));
}
