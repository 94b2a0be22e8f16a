// A few rows times many weights: the weights are read from memory once, and the memory bandwidth is the limit. Rows of weights
// without gaps are read in order, several parts of them side by side; of others some are processed at a time, to share the loads of x.

// The prefetch distance, found by measurement: in bytes along contiguous rows, and in rows where there are gaps, as
// between the keys of one head.
enum { PROJECTED_TOGETHER = 4, AHEAD_BYTES = 512, STREAMED_AHEAD_BYTES = 1024, AHEAD_ROWS = 16 };

// In elements.
INLINE size_t prefetch_distance(size_t row_stride, size_t width, ctk_type type) {
    return row_stride == width ? AHEAD_BYTES / byte_count(type) : AHEAD_ROWS * row_stride;
}

// Sums of 4 rows of weights, or 1, with `x_rows` rows of x; all sizes are compile-time constants.
INLINE void project_block(float sums[CTK_FEW_ROWS][PROJECTED_TOGETHER], const void *x, size_t x_rows, const void *weights,
                          size_t weight_row_stride, size_t count, size_t k, ctk_type type) {
    vf lanes[PROJECTED_TOGETHER][CTK_FEW_ROWS];
    for (size_t row = 0; row < count; row++)
        for (size_t r = 0; r < x_rows; r++) lanes[row][r] = v_set(0);
    size_t i = 0, ahead = prefetch_distance(weight_row_stride, k, type);
#if HAS_BF16_DOT
    if (type == CTK_BFLOAT16)
        for (; i + 2 * LANES <= k; i += 2 * LANES) {
            vd values[CTK_FEW_ROWS];
            for (size_t r = 0; r < x_rows; r++) values[r] = v_load_pairs((const uint16_t *)x + r * k + i);
            for (size_t row = 0; row < count; row++) {
                const uint16_t *weight = (const uint16_t *)weights + row * weight_row_stride + i;
                __builtin_prefetch(weight + ahead);
                for (size_t r = 0; r < x_rows; r++) lanes[row][r] = v_dot_pairs(lanes[row][r], v_load_pairs(weight), values[r]);
            }
        }
#endif
    for (; i + LANES <= k; i += LANES) {
        vf values[CTK_FEW_ROWS];
        for (size_t r = 0; r < x_rows; r++) values[r] = v_load_as(x, type, r * k + i);
        for (size_t row = 0; row < count; row++) {
            const char *weight = (const char *)weights + (row * weight_row_stride + i) * byte_count(type);
            __builtin_prefetch(weight + ahead * byte_count(type));
            vf w = v_load_as(weight, type, 0);
            for (size_t r = 0; r < x_rows; r++) lanes[row][r] += w * values[r];
        }
    }
    if (i < k)
        for (size_t row = 0; row < count; row++)
            for (size_t r = 0; r < x_rows; r++)
                lanes[row][r] += v_load_part(weights, type, row * weight_row_stride + i, k - i)
                                 * v_load_part(x, type, r * k + i, k - i);
    for (size_t r = 0; r < x_rows; r++) {
        if (count == 4) *(v4_memory *)sums[r] = v_sums(lanes[0][r], lanes[1][r], lanes[2][r], lanes[3][r]);
        else sums[r][0] = v_sum(lanes[0][r]);
    }
}

// The sums of `streams` rows of weights, `distance` bytes apart, with `x_rows` rows of x, each in four parts that do not
// wait for each other. A row of x has the same bits whatever the numbers of rows, which are compile-time constants.
//
// Of few rows of x several rows of weights far from one another are read at once: the memory gives a thread 10 to 15 % more
// bytes in a second that way.
INLINE void project_streams(float sums[PROJECTED_TOGETHER][CTK_FEW_ROWS], size_t streams, size_t distance, const void *x,
                            size_t x_rows, const char *weight, size_t k, ctk_type type) {
    enum { PARTS = 4 };
    vf lanes[PROJECTED_TOGETHER][CTK_FEW_ROWS][PARTS];
    for (size_t s = 0; s < streams; s++)
        for (size_t r = 0; r < x_rows; r++)
            for (size_t part = 0; part < PARTS; part++) lanes[s][r][part] = v_set(0);
    size_t i = 0;
#if HAS_BF16_DOT
    if (type == CTK_BFLOAT16)
        for (; i + PARTS * 2 * LANES <= k; i += PARTS * 2 * LANES)
            for (size_t s = 0; s < streams; s++)
                for (size_t part = 0; part < PARTS; part++) {
                    size_t place = i + part * 2 * LANES;
                    const char *from = weight + s * distance + place * 2;
                    __builtin_prefetch(from + STREAMED_AHEAD_BYTES);
                    for (size_t r = 0; r < x_rows; r++)
                        lanes[s][r][part] = v_dot_pairs(lanes[s][r][part], v_load_pairs((const uint16_t *)from),
                                                        v_load_pairs((const uint16_t *)x + r * k + place));
                }
#endif
    for (; i + PARTS * LANES <= k; i += PARTS * LANES)
        for (size_t s = 0; s < streams; s++)
            for (size_t part = 0; part < PARTS; part++) {
                size_t place = i + part * LANES;
                const char *from = weight + s * distance + place * byte_count(type);
                __builtin_prefetch(from + STREAMED_AHEAD_BYTES);
                vf values = v_load_as(from, type, 0);
                for (size_t r = 0; r < x_rows; r++) lanes[s][r][part] += values * v_load_as(x, type, r * k + place);
            }
    for (; i < k; i += LANES)
        for (size_t s = 0; s < streams; s++) {
            size_t count = k - i < LANES ? k - i : LANES;
            vf values = v_load_part(weight + s * distance, type, i, count);
            for (size_t r = 0; r < x_rows; r++) lanes[s][r][0] += values * v_load_part(x, type, r * k + i, count);
        }
    for (size_t s = 0; s < streams; s++)
        for (size_t r = 0; r < x_rows; r++)
            sums[s][r] = v_sum((lanes[s][r][0] + lanes[s][r][1]) + (lanes[s][r][2] + lanes[s][r][3]));
}

// Rows without gaps: `streams` parts of them side by side, and the rest one after the other.
INLINE void project_dense(void *out, ctk_type out_type, size_t out_row_stride, const void *x, size_t x_rows,
                          const char *weights, size_t rows, size_t k, ctk_type type, size_t streams) {
    float sums[PROJECTED_TOGETHER][CTK_FEW_ROWS];
    size_t part = rows / streams, row_bytes = k * byte_count(type);
    for (size_t row = 0; row < part; row++) {
        project_streams(sums, streams, part * row_bytes, x, x_rows, weights + row * row_bytes, k, type);
        for (size_t s = 0; s < streams; s++)
            for (size_t r = 0; r < x_rows; r++) store_as(out, out_type, r * out_row_stride + s * part + row, sums[s][r]);
    }
    for (size_t row = streams * part; row < rows; row++) {
        project_streams(sums, 1, 0, x, x_rows, weights + row * row_bytes, k, type);
        for (size_t r = 0; r < x_rows; r++) store_as(out, out_type, r * out_row_stride + row, sums[0][r]);
    }
}

INLINE void project(void *out, ctk_type out_type, size_t out_row_stride, const void *x, size_t x_rows, const void *weights,
                    size_t weight_row_stride, size_t rows, size_t k, ctk_type type) {
    if (weight_row_stride == k) {
        // Sixteen sums fit in registers beside what is multiplied.
        size_t streams = x_rows == 1 ? 4 : x_rows == 2 ? 2 : 1;
        return project_dense(out, out_type, out_row_stride, x, x_rows, weights, rows, k, type, streams);
    }
    float sums[CTK_FEW_ROWS][PROJECTED_TOGETHER];
    size_t row = 0;
    while (row < rows) {
        const char *weight = (const char *)weights + row * weight_row_stride * byte_count(type);
        size_t count = row + PROJECTED_TOGETHER <= rows ? PROJECTED_TOGETHER : 1;
        if (count > 1) project_block(sums, x, x_rows, weight, weight_row_stride, PROJECTED_TOGETHER, k, type);
        else project_block(sums, x, x_rows, weight, weight_row_stride, 1, k, type);
        for (size_t r = 0; r < x_rows; r++)
            for (size_t i = 0; i < count; i++) store_as(out, out_type, r * out_row_stride + row + i, sums[r][i]);
        row += count;
    }
}

#define PROJECT(count, type)                                                                                        \
    project(out, out_type, out_row_stride, x, count, weights, weight_row_stride, rows, k, type)

static void level_project_rows(void *out, ctk_type out_type, size_t out_row_stride, const void *x, size_t x_rows,
                               const void *weights, size_t weight_row_stride, size_t rows, size_t k, ctk_type type) {
    if (type == CTK_FLOAT32) switch (x_rows) {
        case 1: PROJECT(1, CTK_FLOAT32); break;
        case 2: PROJECT(2, CTK_FLOAT32); break;
        case 3: PROJECT(3, CTK_FLOAT32); break;
        case 4: PROJECT(4, CTK_FLOAT32); break;
        }
    else switch (x_rows) {
        case 1: PROJECT(1, CTK_BFLOAT16); break;
        case 2: PROJECT(2, CTK_BFLOAT16); break;
        case 3: PROJECT(3, CTK_BFLOAT16); break;
        case 4: PROJECT(4, CTK_BFLOAT16); break;
        }
}
