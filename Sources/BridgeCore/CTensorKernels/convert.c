#include "CTensorKernels.h"

#include <math.h>
#include <string.h>

static inline float bits_to_float(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline uint32_t float_to_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

// Widens a small float of `mantissa` fraction bits and `bias`, by scaling so that subnormals come out right.
static inline float widen(uint32_t sign, uint32_t magnitude, int mantissa, int bias) {
    const float scale = bits_to_float((uint32_t)(127 + 127 - bias) << 23);
    return bits_to_float(float_to_bits(bits_to_float(magnitude << (23 - mantissa)) * scale) | sign << 31);
}

static inline float half_to_float(uint16_t bits) {
    uint32_t magnitude = bits & 0x7fffu;
    if (magnitude >= 0x7c00u) return bits_to_float((uint32_t)(bits & 0x8000u) << 16 | 0x7f800000u | (magnitude & 0x3ffu) << 13);
    return widen(bits >> 15, magnitude, 10, 15);
}

static inline float e4m3_to_float(uint8_t bits) {
    uint32_t magnitude = bits & 0x7fu;
    if (magnitude == 0x7fu) return bits_to_float((uint32_t)(bits & 0x80u) << 24 | 0x7fc00000u);
    return widen(bits >> 7, magnitude, 3, 7);
}

static inline float e5m2_to_float(uint8_t bits) { return half_to_float((uint16_t)(bits << 8)); }

// Rounds to nearest even to a float of `mantissa` fraction bits; `overflow` is the magnitude for what is too large,
// `largest` the largest finite magnitude, `nan` the magnitude of NaN.
static inline uint32_t narrow(float value, int mantissa, int bias, uint32_t largest, uint32_t overflow, uint32_t nan) {
    uint32_t bits = float_to_bits(value);
    uint32_t magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u) return nan;
    int shift = 23 - mantissa;
    uint32_t smallest_normal = (uint32_t)(127 - bias + 1) << 23;
    uint32_t rounded;
    if (magnitude < smallest_normal) {
        // Adding a power of two whose last place is the target's smallest step lets the adder round.
        float anchor = bits_to_float((uint32_t)(127 - bias + 1 + shift) << 23);
        rounded = float_to_bits(bits_to_float(magnitude) + anchor) - float_to_bits(anchor);
    } else {
        rounded = magnitude + ((1u << (shift - 1)) - 1) + (magnitude >> shift & 1);
        rounded = (rounded >> shift) - ((uint32_t)(127 - bias) << mantissa);
    }
    return rounded > largest ? overflow : rounded;
}

__attribute__((target("avx2,f16c,fma"))) static void load_half_f16c(float *target, const uint8_t *source, size_t count) {
    for (size_t i = 0; i < count; i++) {
        _Float16 value;
        memcpy(&value, source + 2 * i, 2);
        target[i] = (float)value;
    }
}

__attribute__((target("avx2,f16c,fma"))) static void store_half_f16c(uint8_t *target, const float *source, size_t count) {
    for (size_t i = 0; i < count; i++) {
        _Float16 value = (_Float16)source[i];
        memcpy(target + 2 * i, &value, 2);
    }
}

static inline int has_f16c(void) { return ctk_best_isa() >= CTK_AVX2; }

void ctk_load_f32(float *target, const void *source, ctk_type type, size_t count) {
    const uint8_t *bytes = source;
    switch (type) {
    case CTK_FLOAT32: memcpy(target, source, count * 4); break;
    case CTK_BFLOAT16:
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, bytes + 2 * i, 2);
            target[i] = bits_to_float((uint32_t)value << 16);
        }
        break;
    case CTK_FLOAT16:
        if (has_f16c()) {
            load_half_f16c(target, bytes, count);
            break;
        }
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, bytes + 2 * i, 2);
            target[i] = half_to_float(value);
        }
        break;
    case CTK_FLOAT64:
        for (size_t i = 0; i < count; i++) {
            double value;
            memcpy(&value, bytes + 8 * i, 8);
            target[i] = (float)value;
        }
        break;
    case CTK_FLOAT8_E4M3:
        for (size_t i = 0; i < count; i++) target[i] = e4m3_to_float(bytes[i]);
        break;
    case CTK_FLOAT8_E5M2:
        for (size_t i = 0; i < count; i++) target[i] = e5m2_to_float(bytes[i]);
        break;
    }
}

void ctk_store_f32(void *target, const float *source, ctk_type type, size_t count) {
    uint8_t *bytes = target;
    switch (type) {
    case CTK_FLOAT32: memcpy(target, source, count * 4); break;
    case CTK_BFLOAT16:
        for (size_t i = 0; i < count; i++) {
            uint32_t bits = float_to_bits(source[i]);
            uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1)) >> 16;
            uint16_t value = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc0u | (bits >> 16 & 0x8000u) : rounded);
            memcpy(bytes + 2 * i, &value, 2);
        }
        break;
    case CTK_FLOAT16:
        if (has_f16c()) {
            store_half_f16c(bytes, source, count);
            break;
        }
        for (size_t i = 0; i < count; i++) {
            uint16_t sign = (uint16_t)(float_to_bits(source[i]) >> 16 & 0x8000u);
            uint16_t value = (uint16_t)(sign | narrow(source[i], 10, 15, 0x7bffu, 0x7c00u, 0x7e00u));
            memcpy(bytes + 2 * i, &value, 2);
        }
        break;
    case CTK_FLOAT64:
        for (size_t i = 0; i < count; i++) {
            double value = source[i];
            memcpy(bytes + 8 * i, &value, 8);
        }
        break;
    case CTK_FLOAT8_E4M3:
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)((float_to_bits(source[i]) >> 24 & 0x80u) | narrow(source[i], 3, 7, 0x7eu, 0x7fu, 0x7fu));
        break;
    case CTK_FLOAT8_E5M2:
        for (size_t i = 0; i < count; i++)
            bytes[i] = (uint8_t)((float_to_bits(source[i]) >> 24 & 0x80u) | narrow(source[i], 2, 15, 0x7bu, 0x7cu, 0x7fu));
        break;
    }
}

void ctk_scale_f32(float *values, float factor, size_t count) {
    for (size_t i = 0; i < count; i++) values[i] *= factor;
}

#define BLOCK 32

// The factor of a block as float16.
static inline void store_factor(uint8_t *target, float factor) { ctk_store_f32(target, &factor, CTK_FLOAT16, 1); }

void ctk_store_q8_0(void *target, const float *source, size_t blocks) {
    uint8_t *bytes = target;
    for (size_t block = 0; block < blocks; block++, bytes += 2 + BLOCK, source += BLOCK) {
        float largest = 0;
        for (int i = 0; i < BLOCK; i++) largest = fabsf(source[i]) > largest ? fabsf(source[i]) : largest;
        float factor = largest / 127;
        float inverse = factor != 0 ? 1 / factor : 0;
        store_factor(bytes, factor);
        for (int i = 0; i < BLOCK; i++) bytes[2 + i] = (uint8_t)(int8_t)roundf(source[i] * inverse);
    }
}

void ctk_store_q4_0(void *target, const float *source, size_t blocks) {
    uint8_t *bytes = target;
    for (size_t block = 0; block < blocks; block++, bytes += 2 + BLOCK / 2, source += BLOCK) {
        float largest = 0, extreme = 0;
        for (int i = 0; i < BLOCK; i++) {
            if (fabsf(source[i]) > largest) {
                largest = fabsf(source[i]);
                extreme = source[i];
            }
        }
        float factor = extreme / -8;
        float inverse = factor != 0 ? 1 / factor : 0;
        store_factor(bytes, factor);
        for (int i = 0; i < BLOCK / 2; i++) {
            // Statements of their own, so that no product and sum are rounded together.
            float low = source[i] * inverse;
            float high = source[i + BLOCK / 2] * inverse;
            low += 8.5f;
            high += 8.5f;
            uint8_t first = (uint8_t)(low < 15 ? low : 15), second = (uint8_t)(high < 15 ? high : 15);
            bytes[2 + i] = (uint8_t)(first | second << 4);
        }
    }
}

#define TILE 32

#define TRANSPOSE(type)                                                                                             \
    for (size_t row0 = 0; row0 < rows; row0 += TILE)                                                                \
        for (size_t column0 = 0; column0 < columns; column0 += TILE)                                                \
            for (size_t column = column0; column < columns && column < column0 + TILE; column++)                    \
                for (size_t row = row0; row < rows && row < row0 + TILE; row++)                                     \
                    memcpy((uint8_t *)target + column * target_stride + row * sizeof(type),                         \
                           (const uint8_t *)source + row * source_stride + column * sizeof(type), sizeof(type));

void ctk_transpose(void *target, size_t target_stride, const void *source, size_t source_stride, size_t rows,
                   size_t columns, size_t width) {
    switch (width) {
    case 1: TRANSPOSE(uint8_t) break;
    case 2: TRANSPOSE(uint16_t) break;
    case 4: TRANSPOSE(uint32_t) break;
    case 8: TRANSPOSE(uint64_t) break;
    }
}

void ctk_unpack(void *target, const void *source, size_t first, size_t count, unsigned bits) {
    const uint8_t *bytes = source;
    uint16_t *out = target;
    for (size_t i = 0; i < count; i++) {
        size_t place = first + i;
        int number = bits == 4 ? (bytes[place / 2] >> (place & 1) * 4 & 15) - 8 : bytes[place] - 128;
        uint16_t element = (uint16_t)(float_to_bits((float)number) >> 16);
        memcpy(out + i, &element, sizeof element);
    }
}
