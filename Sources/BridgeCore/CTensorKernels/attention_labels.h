// What queries see of keys, as far as the ranges of their labels tell: the rule of AttentionMask, which documents it.
//
// The including file defines INLINE, how functions are declared, and LABELS, the most rows that are labeled together.

// What some neighbouring rows are, and the range of it.
typedef struct labels {
    int32_t positions[LABELS], segments[LABELS], blocks[LABELS];
    int32_t first_position, last_position, first_segment, last_segment, last_block;
    bool is_full;
} labels;

// Labels of rows `first` on, `repeats` of which share those of a token; beyond `count` rows see and are seen by nothing.
INLINE void read_labels(labels *l, const int32_t *positions, const int32_t *segments, const int32_t *blocks, size_t first,
                        size_t count, size_t repeats, size_t capacity) {
    size_t token = first / repeats, repeat = first % repeats;
    for (size_t i = 0; i < count; i++) {
        l->positions[i] = positions[token];
        l->segments[i] = segments ? segments[token] : 0;
        l->blocks[i] = blocks ? blocks[token] : 0;
        if (++repeat == repeats) {
            repeat = 0;
            token++;
        }
    }
    l->first_position = l->last_position = l->positions[0];
    l->first_segment = l->last_segment = l->segments[0];
    l->last_block = l->blocks[0];
    for (size_t i = 1; i < count; i++) {
        l->first_position = l->positions[i] < l->first_position ? l->positions[i] : l->first_position;
        l->last_position = l->positions[i] > l->last_position ? l->positions[i] : l->last_position;
        l->first_segment = l->segments[i] < l->first_segment ? l->segments[i] : l->first_segment;
        l->last_segment = l->segments[i] > l->last_segment ? l->segments[i] : l->last_segment;
        l->last_block = l->blocks[i] > l->last_block ? l->blocks[i] : l->last_block;
    }
    l->is_full = count == capacity;
    for (size_t i = count; i < capacity; i++) {
        l->positions[i] = l->blocks[i] = 0;
        l->segments[i] = -1;
    }
}

INLINE void query_labels(labels *l, const ctk_attention *a, size_t first_row, size_t count, size_t capacity) {
    const ctk_mask *m = &a->mask;
    read_labels(l, m->query_positions, m->query_segments, m->query_blocks, first_row, count, a->heads_per_group, capacity);
}

INLINE void key_labels(labels *l, const ctk_attention *a, size_t first_key, size_t count, size_t capacity) {
    const ctk_mask *m = &a->mask;
    read_labels(l, m->key_positions, m->key_segments, m->key_blocks, first_key, count, 1, capacity);
}

typedef enum sight { SEES_NONE, SEES_SOME, SEES_ALL } sight;

// What some queries see of some keys, as far as the ranges of their labels tell.
INLINE sight tile_sight(const ctk_mask *mask, const labels *q, const labels *k) {
    if (k->last_segment < 0 || k->last_segment < q->first_segment || k->first_segment > q->last_segment) return SEES_NONE;
    bool all = k->is_full && k->first_segment == k->last_segment && q->first_segment == q->last_segment;
    if (mask->window >= 0) {
        if (k->last_position <= q->first_position - mask->window) return SEES_NONE;
        if (k->first_position <= q->last_position - mask->window) all = false;
    }
    if (mask->causal) {
        if (k->first_position > q->last_position && (q->last_block <= 0 || k->last_block <= 0)) return SEES_NONE;
        if (k->last_position > q->first_position) all = false;
    }
    return all ? SEES_ALL : SEES_SOME;
}
