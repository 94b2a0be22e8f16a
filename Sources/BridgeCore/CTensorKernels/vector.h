// Vectors of LANES float32 values, the basis of all kernels. Included by a level_*.c, which sets LANES and the
// instructions that the compiler may use, so that one source gives every variant.
//
// Plain a * b + c becomes a fused multiply-add where the level has one.
#include <stdbool.h>
#include <string.h>

#include "CTensorKernels.h"
#include "kernels.h"
#include "walk.h"

#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));
// The same in memory, of any alignment and whatever was written there.
typedef vf vf_memory __attribute__((aligned(1), may_alias));
typedef vu vu_memory __attribute__((aligned(1), may_alias));
typedef vh vh_memory __attribute__((aligned(1), may_alias));

// The compiler removes a subtraction of zero; it keeps an addition, because of -0.
INLINE vf v_set(float value) { return value - (vf){0}; }
INLINE vf v_load(const float *source) { return *(const vf_memory *)source; }
INLINE void v_store(float *target, vf value) { *(vf_memory *)target = value; }
INLINE vf v_select(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }
// The larger and the smaller; b where one of them is NaN.
INLINE vf v_max(vf a, vf b) { return v_select(a > b, a, b); }
INLINE vf v_min(vf a, vf b) { return v_select(a < b, a, b); }
INLINE vf v_abs(vf a) { return (vf)((vu)a & 0x7fffffffu); }

// The other half of each part of 16, 8, 4 and 2 lanes, for sums over all of them.
#if LANES == 16
#define EACH_FOLD(FOLD)                                                                                             \
    FOLD(8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7)                                                      \
    FOLD(4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11)                                                      \
    FOLD(2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13)                                                      \
    FOLD(1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14)
#elif LANES == 8
#define EACH_FOLD(FOLD) FOLD(4, 5, 6, 7, 0, 1, 2, 3) FOLD(2, 3, 0, 1, 6, 7, 4, 5) FOLD(1, 0, 3, 2, 5, 4, 7, 6)
#else
#define EACH_FOLD(FOLD) FOLD(2, 3, 0, 1) FOLD(1, 0, 3, 2)
#endif
#define ADD_FOLD(...) value += __builtin_shufflevector(value, value, __VA_ARGS__);
#define MAX_FOLD(...) value = v_max(value, __builtin_shufflevector(value, value, __VA_ARGS__));

INLINE float v_sum(vf value) {
    EACH_FOLD(ADD_FOLD)
    return value[0];
}

typedef float v4 __attribute__((vector_size(16)));
typedef v4 v4_memory __attribute__((aligned(1), may_alias));

// The sums of four vectors, for less than four times the work.
#if LANES == 16
#define LOW_ZIPPED 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define HIGH_ZIPPED 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define LOW_PAIRS 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define HIGH_PAIRS 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif LANES == 8
#define LOW_ZIPPED 0, 8, 1, 9, 4, 12, 5, 13
#define HIGH_ZIPPED 2, 10, 3, 11, 6, 14, 7, 15
#define LOW_PAIRS 0, 1, 8, 9, 4, 5, 12, 13
#define HIGH_PAIRS 2, 3, 10, 11, 6, 7, 14, 15
#else
#define LOW_ZIPPED 0, 4, 1, 5
#define HIGH_ZIPPED 2, 6, 3, 7
#define LOW_PAIRS 0, 1, 4, 5
#define HIGH_PAIRS 2, 3, 6, 7
#endif

INLINE v4 v_sums(vf a, vf b, vf c, vf d) {
    vf ab = __builtin_shufflevector(a, b, LOW_ZIPPED) + __builtin_shufflevector(a, b, HIGH_ZIPPED);
    vf cd = __builtin_shufflevector(c, d, LOW_ZIPPED) + __builtin_shufflevector(c, d, HIGH_ZIPPED);
    vf value = __builtin_shufflevector(ab, cd, LOW_PAIRS) + __builtin_shufflevector(ab, cd, HIGH_PAIRS);
    v4 sums = __builtin_shufflevector(value, value, 0, 1, 2, 3);
#if LANES > 4
    sums += __builtin_shufflevector(value, value, 4, 5, 6, 7);
#endif
#if LANES > 8
    sums += __builtin_shufflevector(value, value, 8, 9, 10, 11) + __builtin_shufflevector(value, value, 12, 13, 14, 15);
#endif
    return sums;
}

INLINE float v_largest(vf value) {
    EACH_FOLD(MAX_FOLD)
    return value[0];
}

// bfloat16, the upper half of a float32.
INLINE vf v_load_bf16(const uint16_t *source) {
    return (vf)(__builtin_convertvector(*(const vh_memory *)source, vu) << 16);
}

INLINE void v_store_bf16(uint16_t *target, vf value) {
    vu bits = (vu)value;
    vu rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
    vu nan = bits >> 16 | 0x40;
    vu is_nan = (vu)(value != value);
    *(vh_memory *)target = __builtin_convertvector((is_nan & nan) | (~is_nan & rounded), vh);
}

INLINE float from_bf16(uint16_t bits) {
    uint32_t wide = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &wide, 4);
    return value;
}

INLINE uint16_t to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if (value != value) return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// The same word in every lane, whatever its bits mean.
INLINE vf v_word(const float *source) {
    uint32_t bits;
    memcpy(&bits, source, 4);
    return (vf)((vu){0} + bits);
}

// Stores a[0], b[0], a[1], b[1], ...
INLINE void v_store_zipped(float *target, vf a, vf b) {
#if LANES == 16
    v_store(target, __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    v_store(target + 16, __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
#elif LANES == 8
    v_store(target, __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    v_store(target + 8, __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
#else
    v_store(target, __builtin_shufflevector(a, b, 0, 4, 1, 5));
    v_store(target + 4, __builtin_shufflevector(a, b, 2, 6, 3, 7));
#endif
}

#if HAS_BF16_DOT
// Pairs of adjacent bfloat16 values, whose products are added to a float32 value.
typedef __m512bh vd;

INLINE vd v_load_pairs(const void *source) { return (vd)_mm512_loadu_si512(source); }
INLINE vf v_dot_pairs(vf sum, vd a, vd b) { return (vf)_mm512_dpbf16_ps((__m512)sum, a, b); }
#endif

// Elements of a type that is known when the code around is compiled: float32 or bfloat16.
INLINE vf v_load_as(const void *source, ctk_type type, size_t i) {
    return type == CTK_FLOAT32 ? v_load((const float *)source + i) : v_load_bf16((const uint16_t *)source + i);
}

INLINE void v_store_as(void *target, ctk_type type, size_t i, vf value) {
    if (type == CTK_FLOAT32) v_store((float *)target + i, value);
    else v_store_bf16((uint16_t *)target + i, value);
}

INLINE float load_as(const void *source, ctk_type type, size_t i) {
    return type == CTK_FLOAT32 ? ((const float *)source)[i] : from_bf16(((const uint16_t *)source)[i]);
}

INLINE void store_as(void *target, ctk_type type, size_t i, float value) {
    if (type == CTK_FLOAT32) ((float *)target)[i] = value;
    else ((uint16_t *)target)[i] = to_bf16(value);
}

// The first `count` lanes, the others 0: the end of a row.
INLINE vf v_load_part(const void *source, ctk_type type, size_t i, size_t count) {
    float parts[LANES] = {0};
    for (size_t lane = 0; lane < count; lane++) parts[lane] = load_as(source, type, i + lane);
    return v_load(parts);
}

INLINE void v_store_part(void *target, ctk_type type, size_t i, size_t count, vf value) {
    float parts[LANES];
    v_store(parts, value);
    for (size_t lane = 0; lane < count; lane++) store_as(target, type, i + lane, parts[lane]);
}

INLINE vf v_load_up_to(const void *source, ctk_type type, size_t i, size_t end) {
    return i + LANES <= end ? v_load_as(source, type, i) : v_load_part(source, type, i, end - i);
}

INLINE void v_store_up_to(void *target, ctk_type type, size_t i, size_t end, vf value) {
    if (i + LANES <= end) v_store_as(target, type, i, value);
    else v_store_part(target, type, i, end - i, value);
}

// The first `count` lanes, the others 0.
INLINE vf v_first(vf value, size_t count) {
    float parts[LANES];
    v_store(parts, value);
    return v_load_part(parts, CTK_FLOAT32, 0, count);
}

// Rounded to bfloat16.
INLINE vf v_round_bf16(vf value) {
    vu bits = (vu)value;
    vf rounded = (vf)((bits + 0x7fffu + (bits >> 16 & 1)) & 0xffff0000u);
    return v_select(value != value, value, rounded);
}
