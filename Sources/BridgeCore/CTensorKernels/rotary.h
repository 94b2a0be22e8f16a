// Rotary embedding: the pairs (i, i + half) of each head rotated by an angle.

INLINE void rotate_heads(void *out, ptrdiff_t out_stride, const void *x, ptrdiff_t x_stride, ctk_type type,
                         const float *cosines, const float *sines, float sign, size_t heads, size_t half) {
    for (size_t head = 0; head < heads; head++) {
        const char *in = (const char *)x + (ptrdiff_t)head * x_stride * byte_count(type);
        char *target = (char *)out + (ptrdiff_t)head * out_stride * byte_count(type);
        for (size_t i = 0; i < half; i += LANES) {
            vf cosine = v_load_up_to(cosines, CTK_FLOAT32, i, half);
            vf sine = v_load_up_to(sines, CTK_FLOAT32, i, half) * sign;
            vf a = v_load_up_to(in, type, i, half);
            vf b = v_load_up_to(in + half * byte_count(type), type, i, half);
            v_store_up_to(target, type, i, half, a * cosine - b * sine);
            v_store_up_to(target + half * byte_count(type), type, i, half, b * cosine + a * sine);
        }
    }
}

static void level_rotate(void *out, const ptrdiff_t *out_strides, const void *x, const ptrdiff_t *x_strides, ctk_type type,
                         const float *cosines, const float *sines, bool inverse, size_t tokens, size_t heads, size_t half) {
    float sign = inverse ? -1 : 1;
    for (size_t token = 0; token < tokens; token++, cosines += half, sines += half) {
        char *target = (char *)out + (ptrdiff_t)token * out_strides[0] * byte_count(type);
        const char *in = (const char *)x + (ptrdiff_t)token * x_strides[0] * byte_count(type);
        if (type == CTK_FLOAT32)
            rotate_heads(target, out_strides[1], in, x_strides[1], CTK_FLOAT32, cosines, sines, sign, heads, half);
        else
            rotate_heads(target, out_strides[1], in, x_strides[1], CTK_BFLOAT16, cosines, sines, sign, heads, half);
    }
}
