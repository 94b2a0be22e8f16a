// Norms over rows without gaps. Sums of one row are float32.

INLINE void rms_norm_rows(void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, float epsilon, bool rounds,
                          size_t rows, size_t width, float *inverse_root) {
    for (size_t row = 0; row < rows; row++) {
        const char *in = (const char *)x + row * width * byte_count(x_type);
        char *target = (char *)out + row * width * byte_count(out_type);
        vf squares = v_set(0);
        for (size_t i = 0; i < width; i += LANES) {
            vf value = v_load_up_to(in, x_type, i, width);
            squares += value * value;
        }
        float root = 1.0f / __builtin_sqrtf(v_sum(squares) / (float)width + epsilon);
        inverse_root[row] = root;
        for (size_t i = 0; i < width; i += LANES) {
            vf value = v_load_up_to(in, x_type, i, width) * root;
            if (rounds && out_type == CTK_BFLOAT16) value = v_round_bf16(value);
            v_store_up_to(target, out_type, i, width, value * v_load_up_to(weight, CTK_FLOAT32, i, width));
        }
    }
}

static void level_rms_norm(void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, float epsilon, bool rounds,
                           size_t rows, size_t width, float *inverse_root) {
    if (out_type == CTK_FLOAT32)
        rms_norm_rows(out, x, CTK_FLOAT32, CTK_FLOAT32, weight, epsilon, rounds, rows, width, inverse_root);
    else if (x_type == CTK_FLOAT32)
        rms_norm_rows(out, x, CTK_FLOAT32, CTK_BFLOAT16, weight, epsilon, rounds, rows, width, inverse_root);
    else
        rms_norm_rows(out, x, CTK_BFLOAT16, CTK_BFLOAT16, weight, epsilon, rounds, rows, width, inverse_root);
}

INLINE void rms_norm_backward_rows(void *out, float *into_gain, const void *x, const void *gradient, ctk_type x_type, ctk_type out_type,
                                   const float *weight, const float *inverse_root, size_t rows, size_t width) {
    for (size_t row = 0; row < rows; row++) {
        size_t start = row * width * byte_count(x_type);
        const char *in = (const char *)x + start;
        const char *dy = (const char *)gradient + row * width * byte_count(out_type);
        char *target = (char *)out + start;
        float root = inverse_root[row];
        vf sums = v_set(0);
        for (size_t i = 0; i < width; i += LANES) {
            vf product = v_load_up_to(in, x_type, i, width) * v_load_up_to(dy, out_type, i, width);
            sums += product * v_load_up_to(weight, CTK_FLOAT32, i, width);
            if (into_gain)
                v_store_up_to(into_gain, CTK_FLOAT32, i, width,
                              v_load_up_to(into_gain, CTK_FLOAT32, i, width) + product * root);
        }
        float factor = v_sum(sums) / (float)width * root * root;
        for (size_t i = 0; i < width; i += LANES) {
            vf value = v_load_up_to(dy, out_type, i, width) * v_load_up_to(weight, CTK_FLOAT32, i, width);
            v_store_up_to(target, x_type, i, width, (value - v_load_up_to(in, x_type, i, width) * factor) * root);
        }
    }
}

static void level_rms_norm_backward(void *out, float *into_gain, const void *x, const void *gradient, ctk_type x_type, ctk_type out_type,
                                    const float *weight, const float *inverse_root, size_t rows, size_t width) {
    if (out_type == CTK_FLOAT32)
        rms_norm_backward_rows(out, into_gain, x, gradient, CTK_FLOAT32, CTK_FLOAT32, weight, inverse_root, rows, width);
    else if (x_type == CTK_FLOAT32)
        rms_norm_backward_rows(out, into_gain, x, gradient, CTK_FLOAT32, CTK_BFLOAT16, weight, inverse_root, rows, width);
    else
        rms_norm_backward_rows(out, into_gain, x, gradient, CTK_BFLOAT16, CTK_BFLOAT16, weight, inverse_root, rows, width);
}

INLINE void layer_norm_rows(void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, const float *bias, float epsilon,
                            size_t rows, size_t width, float *moments) {
    for (size_t row = 0; row < rows; row++) {
        const char *in = (const char *)x + row * width * byte_count(x_type);
        char *target = (char *)out + row * width * byte_count(out_type);
        float mean = row_sum(in, x_type, width) / (float)width;
        vf squares = v_set(0);
        for (size_t i = 0; i < width; i += LANES) {
            vf value = v_load_up_to(in, x_type, i, width) - mean;
            // Lanes beyond the row hold -mean, which must not enter the variance.
            squares += i + LANES <= width ? value * value : v_first(value * value, width - i);
        }
        float root = 1.0f / __builtin_sqrtf(v_sum(squares) / (float)width + epsilon);
        moments[2 * row] = mean;
        moments[2 * row + 1] = root;
        for (size_t i = 0; i < width; i += LANES) {
            vf value = (v_load_up_to(in, x_type, i, width) - mean) * root;
            v_store_up_to(target, out_type, i, width,
                          value * v_load_up_to(weight, CTK_FLOAT32, i, width) + v_load_up_to(bias, CTK_FLOAT32, i, width));
        }
    }
}

static void level_layer_norm(void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, const float *bias, float epsilon,
                             size_t rows, size_t width, float *moments) {
    if (out_type == CTK_FLOAT32)
        layer_norm_rows(out, x, CTK_FLOAT32, CTK_FLOAT32, weight, bias, epsilon, rows, width, moments);
    else if (x_type == CTK_FLOAT32)
        layer_norm_rows(out, x, CTK_FLOAT32, CTK_BFLOAT16, weight, bias, epsilon, rows, width, moments);
    else
        layer_norm_rows(out, x, CTK_BFLOAT16, CTK_BFLOAT16, weight, bias, epsilon, rows, width, moments);
}

INLINE void layer_norm_backward_rows(void *out, float *into_gain, float *into_bias, const void *x, const void *gradient,
                                     ctk_type x_type, ctk_type out_type, const float *weight, const float *moments, size_t rows, size_t width) {
    for (size_t row = 0; row < rows; row++) {
        size_t start = row * width * byte_count(x_type);
        const char *in = (const char *)x + start;
        const char *dy = (const char *)gradient + row * width * byte_count(out_type);
        char *target = (char *)out + start;
        float mean = moments[2 * row], root = moments[2 * row + 1];
        vf sums = v_set(0), products = v_set(0);
        for (size_t i = 0; i < width; i += LANES) {
            vf normal = (v_load_up_to(in, x_type, i, width) - mean) * root, d = v_load_up_to(dy, out_type, i, width);
            vf value = d * v_load_up_to(weight, CTK_FLOAT32, i, width);
            sums += value;
            products += value * normal;
            if (into_gain)
                v_store_up_to(into_gain, CTK_FLOAT32, i, width,
                              v_load_up_to(into_gain, CTK_FLOAT32, i, width) + d * normal);
            if (into_bias)
                v_store_up_to(into_bias, CTK_FLOAT32, i, width, v_load_up_to(into_bias, CTK_FLOAT32, i, width) + d);
        }
        float sum = v_sum(sums) / (float)width, product = v_sum(products) / (float)width;
        for (size_t i = 0; i < width; i += LANES) {
            vf normal = (v_load_up_to(in, x_type, i, width) - mean) * root;
            vf value = v_load_up_to(dy, out_type, i, width) * v_load_up_to(weight, CTK_FLOAT32, i, width);
            v_store_up_to(target, x_type, i, width, (value - sum - normal * product) * root);
        }
    }
}

static void level_layer_norm_backward(void *out, float *into_gain, float *into_bias, const void *x, const void *gradient,
                                      ctk_type x_type, ctk_type out_type, const float *weight, const float *moments, size_t rows, size_t width) {
    if (out_type == CTK_FLOAT32)
        layer_norm_backward_rows(out, into_gain, into_bias, x, gradient, CTK_FLOAT32, CTK_FLOAT32, weight, moments, rows, width);
    else if (x_type == CTK_FLOAT32)
        layer_norm_backward_rows(out, into_gain, into_bias, x, gradient, CTK_FLOAT32, CTK_BFLOAT16, weight, moments, rows, width);
    else
        layer_norm_backward_rows(out, into_gain, into_bias, x, gradient, CTK_BFLOAT16, CTK_BFLOAT16, weight, moments, rows, width);
}
