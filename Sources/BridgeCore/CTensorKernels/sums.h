// Sums over some dimensions and into some rows, in float32.

INLINE float row_sum(const void *x, ctk_type type, size_t count) {
    vf sums[4] = {0};
    size_t i = 0;
    for (; i + 4 * LANES <= count; i += 4 * LANES)
        for (size_t j = 0; j < 4; j++) sums[j] += v_load_as(x, type, i + j * LANES);
    for (; i < count; i += LANES) sums[0] += v_load_up_to(x, type, i, count);
    return v_sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Adds to `count` sums, whose elements are `kept` apart, `length` elements each, `reduced` apart.
INLINE void sum_run(float *sums, const void *x, ctk_type type, size_t count, ptrdiff_t kept, size_t length,
                    ptrdiff_t reduced) {
    const char *bytes = x;
    if (kept == 1) {
        for (size_t j = 0; j < length; j++, bytes += reduced * byte_count(type))
            for (size_t i = 0; i < count; i += LANES)
                v_store_up_to(sums, CTK_FLOAT32, i, count,
                              v_load_up_to(sums, CTK_FLOAT32, i, count) + v_load_up_to(bytes, type, i, count));
    } else if (reduced == 1) {
        for (size_t i = 0; i < count; i++, bytes += kept * byte_count(type)) sums[i] += row_sum(bytes, type, length);
    } else {
        for (size_t i = 0; i < count; i++, bytes += kept * byte_count(type))
            for (size_t j = 0; j < length; j++) sums[i] += load_as(bytes, type, (ptrdiff_t)j * reduced);
    }
}

static void level_sum(float *out, const void *x, ctk_type type, const ctk_loops *kept, size_t first, size_t count,
                      const ctk_loops *reduced, size_t first_reduced, size_t reduced_count) {
    walk k = walk_from(kept, 1, first);
    while (count > 0) {
        size_t run = walk_run(&k, kept, count < CHUNK ? count : CHUNK);
        for (size_t i = 0; i < run; i++) out[i] = 0;
        walk r = walk_from(reduced, 1, first_reduced);
        for (size_t left = reduced_count; left > 0;) {
            size_t length = walk_run(&r, reduced, left);
            const char *place = (const char *)x + (k.places[0] + r.places[0]) * byte_count(type);
            if (type == CTK_FLOAT32)
                sum_run(out, place, CTK_FLOAT32, run, walk_stride(kept, 0), length, walk_stride(reduced, 0));
            else
                sum_run(out, place, CTK_BFLOAT16, run, walk_stride(kept, 0), length, walk_stride(reduced, 0));
            left -= length;
            walk_on(&r, reduced, 1, length);
        }
        out += run;
        count -= run;
        walk_on(&k, kept, 1, run);
    }
}

INLINE void add_rows(float *table, size_t table_stride, const int32_t *rows, size_t count, const void *x, ctk_type type,
                     size_t x_stride, size_t columns) {
    for (size_t row = 0; row < count; row++) {
        float *target = table + (size_t)rows[row] * table_stride;
        const char *source = (const char *)x + row * x_stride * byte_count(type);
        for (size_t i = 0; i < columns; i += LANES)
            v_store_up_to(target, CTK_FLOAT32, i, columns,
                          v_load_up_to(target, CTK_FLOAT32, i, columns) + v_load_up_to(source, type, i, columns));
    }
}

static void level_add_rows(float *table, size_t table_stride, const int32_t *rows, size_t count, const void *x,
                           ctk_type type, size_t x_stride, size_t columns) {
    if (type == CTK_FLOAT32) add_rows(table, table_stride, rows, count, x, CTK_FLOAT32, x_stride, columns);
    else add_rows(table, table_stride, rows, count, x, CTK_BFLOAT16, x_stride, columns);
}
