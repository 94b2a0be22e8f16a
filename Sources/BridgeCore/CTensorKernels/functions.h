// Functions of a vector, with an error of about two units in the last place.

// 2^n for integers -126...127.
INLINE vf v_power_of_two(vf n) { return (vf)((__builtin_convertvector(n, vi) + 127) << 23); }

// Nearest integer, for magnitudes below 2^22: a sum with 1.5 * 2^23 has no bits for a fraction.
INLINE vf v_round(vf x) {
    const vf anchor = v_set(12582912.0f);
    return (x + anchor) - anchor;
}

// exp(r) - 1 for |r| <= ln 2 / 2: the Taylor series, whose next term is below 2^-27.
INLINE vf v_expm1_reduced(vf r) {
    vf p = v_set(1.0f / 5040);
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    return p * (r * r) + r;
}

// x = n ln 2 + r; ln 2 in two parts, of which the first times n is exact.
INLINE vf v_reduce(vf x, vf *n) {
    *n = v_round(x * 1.44269504f);
    vf r = x - *n * 0.693359375f;
    return r + *n * 2.12194440e-4f;
}

// x 2^n for integers -252...252.
INLINE vf v_scaled(vf x, vf n) {
#if LANES == 16
    return (vf)_mm512_scalef_ps((__m512)x, (__m512)n);
#else
    // Two factors, since 2^n has no float32 for the smallest results.
    vf half = v_round(n * 0.5f - 0.25f);
    return x * v_power_of_two(half) * v_power_of_two(n - half);
#endif
}

INLINE vf v_exp(vf x) {
    vf clamped = v_min(v_max(x, v_set(-104.0f)), v_set(89.0f));
    vf n, r = v_reduce(clamped, &n);
    return v_select(x != x, x, v_scaled(v_expm1_reduced(r) + 1.0f, n));
}

// exp for arguments that are never positive: less than 2^-125 becomes 0, and NaN stays NaN.
INLINE vf v_exp_negative(vf x) {
    vf n, r = v_reduce(v_max(v_set(-87.0f), x), &n);
    vf result = (v_expm1_reduced(r) + 1.0f) * v_power_of_two(n);
    return v_select(x < -87.0f, v_set(0), result);
}

INLINE vf v_tanh(vf x) {
    // (exp(2|x|) - 1) / (exp(2|x|) + 1), which is 1 in float32 from 10 on.
    vf n, r = v_reduce(v_min(v_abs(x), v_set(10.0f)) * 2.0f, &n);
    vf power = v_power_of_two(n);
    vf e = v_expm1_reduced(r) * power + (power - 1.0f);
    vf result = (vf)((vu)(e / (e + 2.0f)) | ((vu)x & 0x80000000u));
    return v_select(x != x, x, result);
}

// The natural logarithm: x = 2^n m with m in [sqrt 1/2, sqrt 2), ln m = 2 artanh((m - 1) / (m + 1)).
INLINE vf v_log(vf x) {
    vi is_small = x < 1.17549435e-38f;
    vf normal = v_select(is_small, x * 8388608.0f, x);
    vi bits = (vi)normal - 0x3f3504f3;
    vf n = __builtin_convertvector(bits >> 23, vf) - v_select(is_small, v_set(23.0f), v_set(0));
    vf m = (vf)((bits & 0x7fffff) + 0x3f3504f3);
    vf s = (m - 1.0f) / (m + 1.0f), z = s * s;
    vf p = v_set(2.0f / 9);
    p = p * z + 2.0f / 7;
    p = p * z + 2.0f / 5;
    p = p * z + 2.0f / 3;
    vf result = n * 0.693359375f + (p * z * s + n * -2.12194440e-4f + 2.0f * s);
    const vf infinity = v_set(__builtin_inff());
    result = v_select(x == infinity, infinity, result);
    result = v_select(x == 0.0f, -infinity, result);
    return v_select((x < 0.0f) | (x != x), v_set(__builtin_nanf("")), result);
}

INLINE vf v_sqrt(vf x) { return __builtin_elementwise_sqrt(x); }

// The normal distribution's integral up to x, erfc(-x / sqrt 2) / 2.
INLINE vf v_normal_integral(vf x) {
    // erfc(u) = t exp(-u^2) P(t) for u >= 0 with t = 1 / (1 + u / 2): P by least squares on [0, 10], relative error 2e-8.
    static const float coefficients[] = {0.012678422f,  -0.125252604f, 0.433271348f, -0.675324142f, 0.425266206f,
                                         -0.100233823f, 0.226126388f,  0.238535851f, 0.282868296f,  0.282064021f};
    vf u = v_abs(x) * 0.707106781f;
    vf t = 2.0f / (2.0f + u);
    vf p = v_set(coefficients[0]);
    for (int i = 1; i < 10; i++) p = p * t + coefficients[i];
    vf half = 0.5f * t * p * v_exp_negative(-0.5f * x * x);
    return v_select(x > 0.0f, 1.0f - half, half);
}

INLINE vf v_sigmoid(vf x) { return 1.0f / (1.0f + v_exp(-x)); }

// tanh' argument of GELU's approximation.
#define GELU_SCALE 0.797884561f
#define GELU_CUBE 0.044715f

INLINE vf v_function(ctk_function function, vf x) {
    switch (function) {
    case CTK_SILU: return x * v_sigmoid(x);
    case CTK_GELU: return x * v_normal_integral(x);
    case CTK_GELU_TANH: return 0.5f * x * (1.0f + v_tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x)));
    case CTK_RELU: return v_select(x < 0.0f, v_set(0), x);
    case CTK_TANH: return v_tanh(x);
    case CTK_EXPONENTIAL: return v_exp(x);
    case CTK_LOGARITHM: return v_log(x);
    case CTK_SQUARE_ROOT: return v_sqrt(x);
    }
    return x;
}

INLINE vf v_derivative(ctk_function function, vf x) {
    switch (function) {
    case CTK_SILU: {
        vf s = v_sigmoid(x);
        return s * (1.0f + x * (1.0f - s));
    }
    case CTK_GELU: return v_normal_integral(x) + x * 0.398942280f * v_exp_negative(-0.5f * x * x);
    case CTK_GELU_TANH: {
        vf t = v_tanh(GELU_SCALE * (x + GELU_CUBE * x * x * x));
        return 0.5f * (1.0f + t) + 0.5f * x * (1.0f - t * t) * GELU_SCALE * (1.0f + 3.0f * GELU_CUBE * x * x);
    }
    case CTK_RELU: return v_select(x > 0.0f, v_set(1), v_set(0));
    case CTK_TANH: {
        vf t = v_tanh(x);
        return 1.0f - t * t;
    }
    case CTK_EXPONENTIAL: return v_exp(x);
    case CTK_LOGARITHM: return 1.0f / x;
    case CTK_SQUARE_ROOT: return 0.5f / v_sqrt(x);
    }
    return x;
}
