// Attention by tiles of keys, with the running maximum and sum of each row's softmax; scores of one tile at a time.
//
// The rows of a key head's query heads are numbered token by token: row = token * heads_per_group + head. Keys and values
// are read once for all the rows of a block.
//
// Source of the method: Dao et al., FlashAttention (2022).

INLINE const char *head_row(const ctk_rows *rows, ctk_type type, size_t token, size_t head) {
    return (const char *)rows->data
         + ((ptrdiff_t)token * rows->token_stride + (ptrdiff_t)head * rows->head_stride) * byte_count(type);
}

INLINE size_t row_token(const ctk_attention *a, size_t row) { return row / a->heads_per_group; }
INLINE size_t row_head(const ctk_attention *a, size_t group, size_t row) {
    return group * a->heads_per_group + row % a->heads_per_group;
}

// The index of a row in an array of [heads, queries].
INLINE size_t row_place(const ctk_attention *a, size_t group, size_t row) {
    return row_head(a, group, row) * a->queries + row_token(a, row);
}

// Query rows as a block of `capacity` rows. Padding that belongs to no sequence may have any bits and is replaced by
// zeros: a weight of 0 times NaN would be NaN.
INLINE void read_query_rows(float *block, size_t words, const ctk_attention *a, const ctk_rows *source, ctk_type type,
                            bool pairs, size_t group, size_t first_row, const labels *l, size_t capacity) {
    for (size_t row = 0; row < capacity; row++) {
        if (l->segments[row] < 0) {
            memset(block + row * words, 0, words * 4);
            continue;
        }
        size_t token = row_token(a, first_row + row), head = row_head(a, group, first_row + row);
        fill_row(block + row * words, words, head_row(source, type, token, head), type, a->width, pairs);
    }
}

INLINE void read_key_rows(float *block, size_t words, const ctk_attention *a, const ctk_rows *source, ctk_type type,
                          bool pairs, size_t group, size_t first_key, const labels *l) {
    for (size_t key = 0; key < TILE; key++) {
        if (l->segments[key] < 0) memset(block + key * words, 0, words * 4);
        else fill_row(block + key * words, words, head_row(source, type, first_key + key, group), type, a->width, pairs);
    }
}

// The softmax of the rows so far: sums of weighted values, the largest scores, and the sums of weights.
typedef struct softmax_rows {
    float *sums;
    size_t stride;
    float *largest, *totals;
} softmax_rows;

INLINE void begin_softmax(softmax_rows *so, size_t rows) {
    memset(so->sums, 0, rows * so->stride * 4);
    for (size_t row = 0; row < rows; row++) {
        so->largest[row] = -__builtin_inff();
        so->totals[row] = 0;
    }
}

// Scores of a tile become weights, and what was summed up before is scaled to the new maximum.
INLINE void weigh_scores(float *scores, softmax_rows *so, const ctk_attention *a, sight seen, const labels *q,
                         const labels *k, size_t rows) {
    for (size_t row = 0; row < rows; row++) {
        float *score = scores + row * TILE;
        vf largest = v_set(-__builtin_inff());
        for (size_t column = 0; column < TILE; column += LANES) {
            vf value = v_load(score + column) * a->scale;
            if (seen != SEES_ALL)
                value = v_select(query_sees(&a->mask, q, row, k, column), value, v_set(-__builtin_inff()));
            v_store(score + column, value);
            largest = v_max(largest, value);
        }
        float old = so->largest[row], new = v_largest(largest);
        if (old > new) new = old;
        if (new == -__builtin_inff()) {
            // Nothing is seen, or only what is not a number, which the largest of them does not tell.
            for (size_t column = 0; column < TILE; column++)
                if (score[column] != score[column]) so->largest[row] = so->totals[row] = score[column];
            memset(score, 0, TILE * 4);
            continue;
        }
        vf total = v_set(0);
        for (size_t column = 0; column < TILE; column += LANES) {
            vf weight = v_exp_negative(v_load(score + column) - new);
            v_store(score + column, weight);
            total += weight;
        }
        if (new != old) {
            float factor = v_exp_negative(v_set(old - new))[0];
            so->largest[row] = new;
            so->totals[row] *= factor;
            float *sum = so->sums + row * so->stride;
            for (size_t i = 0; i < so->stride; i += LANES) v_store_up_to(sum, CTK_FLOAT32, i, so->stride,
                v_load_up_to(sum, CTK_FLOAT32, i, so->stride) * factor);
        }
        so->totals[row] += v_sum(total);
    }
}

// Adds `keys` values with the weights [rows, TILE] to sums of up to 4 vectors, which stay in registers.
INLINE void add_weighted_columns(float *sums, size_t stride, const float *weights, size_t rows, const char *values,
                                 ptrdiff_t token_bytes, ptrdiff_t ahead, const labels *l, size_t keys, size_t vectors,
                                 size_t width, ctk_type type) {
    vf parts[CTK_FEW_ROWS][4];
#pragma clang loop unroll(full)
    for (size_t row = 0; row < rows; row++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < vectors; v++)
            parts[row][v] = v_load_up_to(sums + row * stride, CTK_FLOAT32, v * LANES, width);
    for (size_t key = 0; key < keys; key++) {
        const char *value = values + (ptrdiff_t)key * token_bytes;
        if (l->segments[key] < 0) continue;
#pragma clang loop unroll(full)
        for (size_t v = 0; v < vectors; v++) {
            __builtin_prefetch(value + v * LANES * byte_count(type) + ahead);
            vf x = v_load_up_to(value, type, v * LANES, width);
#pragma clang loop unroll(full)
            for (size_t row = 0; row < rows; row++) parts[row][v] += x * weights[row * TILE + key];
        }
    }
#pragma clang loop unroll(full)
    for (size_t row = 0; row < rows; row++)
#pragma clang loop unroll(full)
        for (size_t v = 0; v < vectors; v++)
            v_store_up_to(sums + row * stride, CTK_FLOAT32, v * LANES, width, parts[row][v]);
}

// The same for the whole width: for the few rows of decoding, which do not fill a block. Values are read once.
INLINE void add_weighted(float *sums, size_t stride, const float *weights, size_t rows, const char *values,
                         ptrdiff_t token_stride, const labels *l, size_t keys, size_t width, ctk_type type) {
    ptrdiff_t token_bytes = token_stride * byte_count(type);
    ptrdiff_t ahead = (ptrdiff_t)prefetch_distance(token_stride, width, type) * byte_count(type);
    size_t column = 0;
    for (; column + 4 * LANES <= width; column += 4 * LANES)
        add_weighted_columns(sums + column, stride, weights, rows, values + column * byte_count(type), token_bytes, ahead, l, keys,
                             4, 4 * LANES, type);
    for (; column + LANES <= width; column += LANES)
        add_weighted_columns(sums + column, stride, weights, rows, values + column * byte_count(type), token_bytes, ahead, l, keys,
                             1, LANES, type);
    if (column < width)
        add_weighted_columns(sums + column, stride, weights, rows, values + column * byte_count(type), token_bytes, ahead, l, keys,
                             1, width - column, type);
}

// The end of a block: the result, or the state for further keys.
INLINE void finish_softmax(const softmax_rows *so, const ctk_attention *a, ctk_type type, size_t group, size_t first_row,
                           size_t rows, float *partial) {
    for (size_t row = 0; row < rows; row++) {
        const float *sum = so->sums + row * so->stride;
        if (partial) {
            float *target = partial + row * (a->width + 2);
            memcpy(target, sum, a->width * 4);
            target[a->width] = so->largest[row];
            target[a->width + 1] = so->totals[row];
            continue;
        }
        float total = so->totals[row], factor = total > 0 ? 1 / total : total;
        size_t token = row_token(a, first_row + row), head = row_head(a, group, first_row + row);
        void *out = (void *)head_row(&a->out, type, token, head);
        for (size_t i = 0; i < a->width; i += LANES)
            v_store_up_to(out, type, i, a->width, v_load_up_to(sum, CTK_FLOAT32, i, a->width) * factor);
        if (a->log_sum_exp)
            a->log_sum_exp[row_place(a, group, first_row + row)] = so->largest[row] + v_log(v_set(total))[0];
    }
}

INLINE void attend_block(const ctk_attention *a, ctk_type type, bool pairs, size_t group, size_t first_row, size_t rows,
                         size_t first_key, size_t keys, float *partial, float *scratch) {
    size_t words = row_words(a->width, pairs), columns = words * per_word(pairs), capacity = padded(rows, ROW_STEP);
    float *q = scratch, *block = q + capacity * words, *right = block + TILE * words, *scores = right + TILE * words;
    float *left = scores + capacity * TILE, *sums = left + capacity * TILE;
    softmax_rows so = {sums, columns, sums + capacity * columns, sums + capacity * columns + capacity};
    labels ql, kl;
    query_labels(&ql, a, first_row, rows, capacity);
    read_query_rows(q, words, a, &a->query, type, pairs, group, first_row, &ql, capacity);
    begin_softmax(&so, capacity);
    begin_tiles();
    for (size_t key = first_key; key < first_key + keys; key += TILE) {
        size_t count = first_key + keys - key < TILE ? first_key + keys - key : TILE;
        key_labels(&kl, a, key, count, TILE);
        sight seen = tile_sight(&a->mask, &ql, &kl);
        if (seen == SEES_NONE) continue;
        read_key_rows(block, words, a, &a->key, type, pairs, group, key, &kl);
        transpose_block(right, block, words, TILE, words);
        block_product(scores, TILE, q, words, right, TILE, capacity, TILE, words, pairs, false);
        weigh_scores(scores, &so, a, seen, &ql, &kl, capacity);
        as_left(left, scores, capacity * TILE, pairs);
        read_key_rows(block, words, a, &a->value, type, pairs, group, key, &kl);
        block_product(sums, columns, left, TILE / per_word(pairs), as_right(right, block, TILE, words, pairs), columns, capacity,
                      columns, TILE / per_word(pairs), pairs, true);
    }
    end_tiles();
    finish_softmax(&so, a, type, group, first_row, rows, partial);
}

// The same for up to CTK_FEW_ROWS rows, without blocks: keys and values are read in place. Tile by tile all groups are
// processed in turn, since their keys are adjacent in memory.
INLINE void attend_few(const ctk_attention *a, ctk_type type, size_t first_group, size_t groups, size_t first_row, size_t rows,
                       size_t first_key, size_t keys, float *partial, size_t partial_stride, float *scratch) {
    float *scores = scratch;
    scratch += CTK_FEW_ROWS * TILE;
    size_t row_size = CTK_FEW_ROWS * a->width;
    softmax_rows states[CTK_GROUPS_TOGETHER];
    float *q[CTK_GROUPS_TOGETHER];
    labels ql, kl;
    query_labels(&ql, a, first_row, rows, rows);
    for (size_t g = 0; g < groups; g++) {
        q[g] = scratch + g * (2 * row_size + 2 * CTK_FEW_ROWS);
        float *sums = q[g] + row_size;
        states[g] = (softmax_rows){sums, a->width, sums + row_size, sums + row_size + CTK_FEW_ROWS};
        begin_softmax(&states[g], rows);
        for (size_t row = 0; row < rows; row++)
            memcpy((char *)q[g] + row * a->width * byte_count(type),
                   head_row(&a->query, type, row_token(a, first_row + row), row_head(a, first_group + g, first_row + row)),
                   a->width * byte_count(type));
    }
    for (size_t key = first_key; key < first_key + keys; key += TILE) {
        size_t count = first_key + keys - key < TILE ? first_key + keys - key : TILE;
        key_labels(&kl, a, key, count, TILE);
        sight seen = tile_sight(&a->mask, &ql, &kl);
        if (seen == SEES_NONE) continue;
        for (size_t g = 0; g < groups; g++) {
            if (count < TILE) memset(scores, 0, rows * TILE * 4);
            level_project_rows(scores, CTK_FLOAT32, TILE, q[g], rows, head_row(&a->key, type, key, first_group + g),
                               a->key.token_stride, count, a->width, type);
            weigh_scores(scores, &states[g], a, seen, &ql, &kl, rows);
            const char *values = head_row(&a->value, type, key, first_group + g);
            ptrdiff_t stride = a->value.token_stride;
            float *sums = states[g].sums;
            switch (rows) {
            case 1: add_weighted(sums, a->width, scores, 1, values, stride, &kl, count, a->width, type); break;
            case 2: add_weighted(sums, a->width, scores, 2, values, stride, &kl, count, a->width, type); break;
            case 3: add_weighted(sums, a->width, scores, 3, values, stride, &kl, count, a->width, type); break;
            case 4: add_weighted(sums, a->width, scores, 4, values, stride, &kl, count, a->width, type); break;
            }
        }
    }
    for (size_t g = 0; g < groups; g++)
        finish_softmax(&states[g], a, type, first_group + g, first_row, rows, partial ? partial + g * partial_stride : NULL);
}

static void level_attend(const ctk_attention *a, size_t first_group, size_t groups, size_t first_row, size_t rows,
                         size_t first_key, size_t keys, float *partial, size_t partial_stride, float *scratch) {
    if (rows <= CTK_FEW_ROWS) {
        if (a->type == CTK_FLOAT32)
            attend_few(a, CTK_FLOAT32, first_group, groups, first_row, rows, first_key, keys, partial, partial_stride, scratch);
        else
            attend_few(a, CTK_BFLOAT16, first_group, groups, first_row, rows, first_key, keys, partial, partial_stride, scratch);
        return;
    }
    for (size_t g = 0; g < groups; g++) {
        float *part = partial ? partial + g * partial_stride : NULL;
        if (a->type == CTK_FLOAT32)
            attend_block(a, CTK_FLOAT32, false, first_group + g, first_row, rows, first_key, keys, part, scratch);
        else
            attend_block(a, CTK_BFLOAT16, HAS_BF16_DOT, first_group + g, first_row, rows, first_key, keys, part, scratch);
    }
}

// Parts of the keys become one result.
static void level_attend_merge(const ctk_attention *a, size_t group, size_t first_row, size_t rows, const float *partials,
                               size_t parts, size_t part_stride, float *scratch) {
    for (size_t row = 0; row < rows; row++) {
        const float *first = partials + row * (a->width + 2);
        float largest = -__builtin_inff(), total = 0;
        for (size_t part = 0; part < parts; part++) {
            float one = first[part * part_stride + a->width];
            if (one > largest) largest = one;
        }
        softmax_rows so = {scratch, a->width, &largest, &total};
        memset(scratch, 0, a->width * 4);
        for (size_t part = 0; part < parts; part++) {
            const float *source = first + part * part_stride;
            if (source[a->width] == -__builtin_inff()) continue;
            float factor = v_exp_negative(v_set(source[a->width] - largest))[0];
            total += source[a->width + 1] * factor;
            for (size_t i = 0; i < a->width; i += LANES)
                v_store_up_to(scratch, CTK_FLOAT32, i, a->width,
                              v_load_up_to(scratch, CTK_FLOAT32, i, a->width)
                                  + v_load_up_to(source, CTK_FLOAT32, i, a->width) * factor);
        }
        if (a->type == CTK_FLOAT32) finish_softmax(&so, a, CTK_FLOAT32, group, first_row + row, 1, NULL);
        else finish_softmax(&so, a, CTK_BFLOAT16, group, first_row + row, 1, NULL);
    }
}
