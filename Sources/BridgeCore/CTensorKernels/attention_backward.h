// The backward pass of attention. With scores S = scale Q K^T, weights P = exp(S - log sum exp), out O = P V and its
// gradient dO:
//
//     dV = P^T dO    dS = P (dO V^T - delta), delta = rows' sums of dO O    dQ = scale dS K    dK = scale dS^T Q
//
// Weights are computed again, once for blocks of query rows and once for blocks of keys, so that every gradient is summed
// up by one thread in one order and nothing as large as the scores is kept.

// delta of `count` queries of a head.
static void level_attend_delta(const ctk_attention *a, size_t head, size_t first, size_t count) {
    for (size_t token = first; token < first + count; token++) {
        const char *dy = head_row(&a->gradient, a->type, token, head), *y = head_row(&a->out, a->type, token, head);
        vf sums = v_set(0);
        for (size_t i = 0; i < a->width; i += LANES)
            sums += a->type == CTK_FLOAT32
                ? v_load_up_to(dy, CTK_FLOAT32, i, a->width) * v_load_up_to(y, CTK_FLOAT32, i, a->width)
                : v_load_up_to(dy, CTK_BFLOAT16, i, a->width) * v_load_up_to(y, CTK_BFLOAT16, i, a->width);
        a->delta[head * a->queries + token] = v_sum(sums);
    }
}

// The weight for a score; where nothing is seen the sum may be anything.
INLINE vf weight_again(vf score, vf log_sum_exp, sight seen, vi mask) {
    vf weight = v_exp_negative(v_min(v_set(0), score - log_sum_exp));
    return seen == SEES_ALL ? weight : (vf)((vi)weight & mask);
}

INLINE void write_row(void *out, ctk_type type, const float *sum, float factor, size_t width) {
    for (size_t i = 0; i < width; i += LANES)
        v_store_up_to(out, type, i, width, v_load_up_to(sum, CTK_FLOAT32, i, width) * factor);
}

INLINE void query_gradients(const ctk_attention *a, ctk_type type, bool pairs, size_t group, size_t first_row, size_t rows,
                            float *scratch) {
    size_t words = row_words(a->width, pairs), columns = words * per_word(pairs), block = TILE * words;
    float *q = scratch, *dy = q + block, *k = dy + block, *v = k + block, *right = v + block, *scores = right + block;
    float *slopes = scores + TILE * TILE, *left = slopes + TILE * TILE, *sums = left + TILE * TILE;
    labels ql, kl;
    query_labels(&ql, a, first_row, rows, TILE);
    read_query_rows(q, words, a, &a->query, type, pairs, group, first_row, &ql, TILE);
    read_query_rows(dy, words, a, &a->gradient, type, pairs, group, first_row, &ql, TILE);
    memset(sums, 0, TILE * columns * 4);
    begin_tiles();
    for (size_t key = 0; key < a->keys; key += TILE) {
        size_t count = a->keys - key < TILE ? a->keys - key : TILE;
        key_labels(&kl, a, key, count, TILE);
        sight seen = tile_sight(&a->mask, &ql, &kl);
        if (seen == SEES_NONE) continue;
        read_key_rows(k, words, a, &a->key, type, pairs, group, key, &kl);
        read_key_rows(v, words, a, &a->value, type, pairs, group, key, &kl);
        transpose_block(right, k, words, TILE, words);
        block_product(scores, TILE, q, words, right, TILE, TILE, TILE, words, pairs, false);
        transpose_block(right, v, words, TILE, words);
        block_product(slopes, TILE, dy, words, right, TILE, TILE, TILE, words, pairs, false);
        for (size_t row = 0; row < rows; row++) {
            size_t place = row_place(a, group, first_row + row);
            for (size_t column = 0; column < TILE; column += LANES) {
                size_t i = row * TILE + column;
                vi mask = query_sees(&a->mask, &ql, row, &kl, column);
                vf weight = weight_again(v_load(scores + i) * a->scale, v_set(a->log_sum_exp[place]), seen, mask);
                v_store(slopes + i, weight * (v_load(slopes + i) - a->delta[place]));
            }
        }
        memset(slopes + rows * TILE, 0, (TILE - rows) * TILE * 4);
        as_left(left, slopes, TILE * TILE, pairs);
        block_product(sums, columns, left, TILE / per_word(pairs), as_right(right, k, TILE, words, pairs), columns, TILE, columns,
                      TILE / per_word(pairs), pairs, true);
    }
    end_tiles();
    for (size_t row = 0; row < rows; row++)
        write_row((void *)head_row(&a->into_query, type, row_token(a, first_row + row), row_head(a, group, first_row + row)), type,
                  sums + row * columns, a->scale, a->width);
}

INLINE void key_gradients(const ctk_attention *a, ctk_type type, bool pairs, size_t group, size_t first_key, size_t keys,
                          float *scratch) {
    size_t words = row_words(a->width, pairs), columns = words * per_word(pairs), block = TILE * words;
    float *q = scratch, *dy = q + block, *k = dy + block, *v = k + block, *right = v + block, *scores = right + block;
    float *slopes = scores + TILE * TILE, *left = slopes + TILE * TILE, *dk = left + TILE * TILE, *dv = dk + TILE * columns;
    labels ql, kl;
    key_labels(&kl, a, first_key, keys, TILE);
    read_key_rows(k, words, a, &a->key, type, pairs, group, first_key, &kl);
    read_key_rows(v, words, a, &a->value, type, pairs, group, first_key, &kl);
    memset(dk, 0, 2 * TILE * columns * 4);
    begin_tiles();
    for (size_t first = 0; first < a->queries * a->heads_per_group; first += TILE) {
        size_t rows = a->queries * a->heads_per_group - first;
        if (rows > TILE) rows = TILE;
        query_labels(&ql, a, first, rows, TILE);
        sight seen = tile_sight(&a->mask, &ql, &kl);
        if (seen == SEES_NONE) continue;
        float log_sum_exp[TILE], delta[TILE];
        for (size_t row = 0; row < TILE; row++) {
            size_t place = row_place(a, group, first + (row < rows ? row : 0));
            log_sum_exp[row] = a->log_sum_exp[place];
            delta[row] = a->delta[place];
        }
        read_query_rows(q, words, a, &a->query, type, pairs, group, first, &ql, TILE);
        read_query_rows(dy, words, a, &a->gradient, type, pairs, group, first, &ql, TILE);
        transpose_block(right, q, words, TILE, words);
        block_product(scores, TILE, k, words, right, TILE, TILE, TILE, words, pairs, false);
        transpose_block(right, dy, words, TILE, words);
        block_product(slopes, TILE, v, words, right, TILE, TILE, TILE, words, pairs, false);
        if (rows < TILE) seen = SEES_SOME;
        for (size_t row = 0; row < TILE; row++)
            for (size_t column = 0; column < TILE; column += LANES) {
                size_t i = row * TILE + column;
                vi mask = key_is_seen(&a->mask, &ql, column, &kl, row);
                vf weight = weight_again(v_load(scores + i) * a->scale, v_load(log_sum_exp + column), seen, mask);
                v_store(scores + i, weight);
                v_store(slopes + i, weight * (v_load(slopes + i) - v_load(delta + column)));
            }
        as_left(left, scores, TILE * TILE, pairs);
        block_product(dv, columns, left, TILE / per_word(pairs), as_right(right, dy, TILE, words, pairs), columns, TILE, columns,
                      TILE / per_word(pairs), pairs, true);
        as_left(left, slopes, TILE * TILE, pairs);
        block_product(dk, columns, left, TILE / per_word(pairs), as_right(right, q, TILE, words, pairs), columns, TILE, columns,
                      TILE / per_word(pairs), pairs, true);
    }
    end_tiles();
    for (size_t key = 0; key < keys; key++) {
        write_row((void *)head_row(&a->into_key, type, first_key + key, group), type, dk + key * columns, a->scale, a->width);
        write_row((void *)head_row(&a->into_value, type, first_key + key, group), type, dv + key * columns, 1, a->width);
    }
}

static void level_attend_query_gradients(const ctk_attention *a, size_t group, size_t first_row, size_t rows,
                                         float *scratch) {
    if (a->type == CTK_FLOAT32) query_gradients(a, CTK_FLOAT32, false, group, first_row, rows, scratch);
    else query_gradients(a, CTK_BFLOAT16, HAS_BF16_DOT, group, first_row, rows, scratch);
}

static void level_attend_key_gradients(const ctk_attention *a, size_t group, size_t first_key, size_t keys, float *scratch) {
    if (a->type == CTK_FLOAT32) key_gradients(a, CTK_FLOAT32, false, group, first_key, keys, scratch);
    else key_gradients(a, CTK_BFLOAT16, HAS_BF16_DOT, group, first_key, keys, scratch);
}
