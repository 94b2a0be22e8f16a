// Kernels of training: the loss over a vocabulary, dropout, and the steps of optimizers.

// Updates the largest logit of each row and the sum of exp(logit - largest) over the columns seen so far.
static void level_softmax_sums(float *largest, float *sums, float *chosen, const float *logits, size_t stride,
                               const int32_t *targets, size_t first, size_t rows, size_t width) {
    for (size_t row = 0; row < rows; row++) {
        const float *x = logits + row * stride;
        size_t column = (size_t)targets[row] - first;
        if (column < width) chosen[row] = x[column];
        vf most[2] = {v_set(largest[row]), v_set(largest[row])};
        size_t i = 0;
        for (; i + 2 * LANES <= width; i += 2 * LANES)
            for (size_t j = 0; j < 2; j++) most[j] = v_max(most[j], v_load(x + i + j * LANES));
        for (; i < width; i++) most[0] = v_max(most[0], v_set(x[i]));
        float top = v_largest(v_max(most[0], most[1]));
        vf parts[2] = {0};
        i = 0;
        for (; i + 2 * LANES <= width; i += 2 * LANES)
            for (size_t j = 0; j < 2; j++) parts[j] += v_exp_negative(v_load(x + i + j * LANES) - top);
        for (; i < width; i += LANES) {
            size_t count = width - i < LANES ? width - i : LANES;
            parts[0] += v_first(v_exp_negative(v_load_part(x, CTK_FLOAT32, i, count) - top), count);
        }
        sums[row] = sums[row] * v_exp_negative(v_set(largest[row] - top))[0] + v_sum(parts[0] + parts[1]);
        largest[row] = top;
    }
}

INLINE void softmax_gradient(void *out, ctk_type type, size_t out_stride, const float *logits, size_t stride,
                             const float *log_sums, const float *weights, const int32_t *targets, size_t first, size_t rows,
                             size_t width) {
    for (size_t row = 0; row < rows; row++) {
        const float *x = logits + row * stride;
        char *target = (char *)out + row * out_stride * byte_count(type);
        for (size_t i = 0; i < width; i += LANES)
            v_store_up_to(target, type, i, width,
                          v_exp_negative(v_load_up_to(x, CTK_FLOAT32, i, width) - log_sums[row]) * weights[row]);
        size_t column = (size_t)targets[row] - first;
        if (column < width)
            store_as(target, type, column, (v_exp_negative(v_set(x[column] - log_sums[row]))[0] - 1) * weights[row]);
    }
}

static void level_softmax_gradient(void *out, ctk_type type, size_t out_stride, const float *logits, size_t stride,
                                   const float *log_sums, const float *weights, const int32_t *targets, size_t first,
                                   size_t rows, size_t width) {
    if (type == CTK_FLOAT32)
        softmax_gradient(out, CTK_FLOAT32, out_stride, logits, stride, log_sums, weights, targets, first, rows, width);
    else softmax_gradient(out, CTK_BFLOAT16, out_stride, logits, stride, log_sums, weights, targets, first, rows, width);
}

// Squares are added up in float32 over short stretches and in float64 over all.
static void level_square_sum(double *sum, const float *x, size_t count) {
    double total = 0;
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t end = count - start < CHUNK ? count : start + CHUNK;
        vf parts = v_set(0);
        for (size_t i = start; i < end; i += LANES) {
            vf value = v_load_up_to(x, CTK_FLOAT32, i, end);
            parts += value * value;
        }
        total += v_sum(parts);
    }
    *sum = total;
}

INLINE void adamw(float *values, float *first, float *second, const float *gradient, void *model, ctk_type model_type,
                  size_t count, const ctk_adamw_step *step) {
    float beta1 = step->beta1, beta2 = step->beta2;
    for (size_t i = 0; i < count; i += LANES) {
        vf g = v_load_up_to(gradient, CTK_FLOAT32, i, count) * step->gradient_scale;
        vf m = v_load_up_to(first, CTK_FLOAT32, i, count);
        vf v = v_load_up_to(second, CTK_FLOAT32, i, count);
        vf p = v_load_up_to(values, CTK_FLOAT32, i, count);
        m = m * beta1 + g * (1 - beta1);
        v = v * beta2 + g * g * (1 - beta2);
        p = p * step->decay - m / (v_sqrt(v) * step->second_scale + step->epsilon) * step->rate;
        v_store_up_to(first, CTK_FLOAT32, i, count, m);
        v_store_up_to(second, CTK_FLOAT32, i, count, v);
        v_store_up_to(values, CTK_FLOAT32, i, count, p);
        if (model) v_store_up_to(model, model_type, i, count, p);
    }
}

static void level_adamw(float *values, float *first, float *second, const float *gradient, void *model,
                        ctk_type model_type, size_t count, const ctk_adamw_step *step) {
    if (model_type == CTK_FLOAT32) adamw(values, first, second, gradient, model, CTK_FLOAT32, count, step);
    else adamw(values, first, second, gradient, model, CTK_BFLOAT16, count, step);
}

INLINE void sgd(float *values, float *velocity, const float *gradient, void *model, ctk_type model_type, size_t count,
                const ctk_sgd_step *step) {
    for (size_t i = 0; i < count; i += LANES) {
        vf p = v_load_up_to(values, CTK_FLOAT32, i, count);
        vf g = v_load_up_to(gradient, CTK_FLOAT32, i, count) * step->gradient_scale + p * step->decay;
        vf v = v_load_up_to(velocity, CTK_FLOAT32, i, count) * step->momentum + g;
        p -= v * step->rate;
        v_store_up_to(velocity, CTK_FLOAT32, i, count, v);
        v_store_up_to(values, CTK_FLOAT32, i, count, p);
        if (model) v_store_up_to(model, model_type, i, count, p);
    }
}

static void level_sgd(float *values, float *velocity, const float *gradient, void *model, ctk_type model_type, size_t count,
                      const ctk_sgd_step *step) {
    if (model_type == CTK_FLOAT32) sgd(values, velocity, gradient, model, CTK_FLOAT32, count, step);
    else sgd(values, velocity, gradient, model, CTK_BFLOAT16, count, step);
}

// Element i stays when its random number, which depends on the keys and i alone, is not below the limit.
INLINE void dropout(void *out, const void *x, ctk_type type, size_t first, size_t count, uint32_t first_key,
                    uint32_t second_key, uint32_t limit, float scale) {
    vu lanes;
    for (uint32_t lane = 0; lane < LANES; lane++) lanes[lane] = lane;
    for (size_t i = 0; i < count; i += LANES) {
        // The finaliser "lowbias32" (Chris Wellons, hash-prospector) of the index, with a key before each product.
        vu bits = lanes + (uint32_t)(first + i) + first_key;
        bits = (bits ^ bits >> 16) * 0x7feb352du;
        bits = ((bits ^ bits >> 15) + second_key) * 0x846ca68bu;
        bits ^= bits >> 16;
        v_store_up_to(out, type, i, count,
                      v_select((vi)(bits >= limit), v_load_up_to(x, type, i, count) * scale, v_set(0)));
    }
}

static void level_dropout(void *out, const void *x, ctk_type type, size_t first, size_t count, uint32_t first_key,
                          uint32_t second_key, uint32_t limit, float scale) {
    if (type == CTK_FLOAT32) dropout(out, x, CTK_FLOAT32, first, count, first_key, second_key, limit, scale);
    else dropout(out, x, CTK_BFLOAT16, first, count, first_key, second_key, limit, scale);
}
