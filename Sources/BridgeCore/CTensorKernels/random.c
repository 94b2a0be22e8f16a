#include "CTensorKernels.h"

#include <string.h>

// A fused multiply-add would round once where the others round twice, and the variants would differ.
#pragma STDC FP_CONTRACT OFF

// The stream, which is the same on every machine:
//
// - Draw d is a 32-bit number. Its two halves, low first, as signed 16-bit integers h are the elements 2d and 2d + 1:
//   center + h * (scale / 32768), computed in float32 and rounded to the nearest even of the type.
// - Draws come in runs of 2^32. Run r has two 32-bit keys, the halves of SplitMix64's output r for the seed (Steele, Lea,
//   Flood: Fast splittable pseudorandom number generators, OOPSLA 2014).
// - Draw d is the 32-bit finaliser "lowbias32" (Chris Wellons, hash-prospector) of d mod 2^32, with one key added before
//   its first and the other before its second product. With one key alone two streams would be the same one, shifted.
//
// Sixteen bits an element are what bfloat16 can show, and 32-bit products are what every vector unit has. It is meant
// for weights that only have to look like weights.
static inline uint64_t splitmix64(uint64_t seed, uint64_t index) {
    uint64_t z = seed + (index + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

typedef struct stream {
    uint32_t first_key, second_key;
    float center, step;
} stream;

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t draw(stream s, uint32_t counter) {
    uint32_t x = counter + s.first_key;
    x = (x ^ x >> 16) * 0x7feb352du;
    x = ((x ^ x >> 15) + s.second_key) * 0x846ca68bu;
    return x ^ x >> 16;
}

INLINE float low_element(stream s, uint32_t draw) { return s.center + (float)((int32_t)(draw << 16) >> 16) * s.step; }
INLINE float high_element(stream s, uint32_t draw) { return s.center + (float)((int32_t)draw >> 16) * s.step; }

// The bits of a bfloat16 in the upper half, rounded to the nearest even; below it is dirt.
INLINE uint32_t rounded(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    return bits + 0x7fffu + (bits >> 16 & 1);
}

// Both elements of a draw make one 32-bit word, so nothing has to be packed.
INLINE void fill_bf16(uint8_t *target, stream s, uint32_t counter, size_t draws) {
    for (size_t i = 0; i < draws; i++) {
        uint32_t bits = draw(s, counter + (uint32_t)i);
        uint32_t word = rounded(low_element(s, bits)) >> 16 | (rounded(high_element(s, bits)) & 0xffff0000u);
        memcpy(target + 4 * i, &word, 4);
    }
}

INLINE void fill_f32(uint8_t *target, stream s, uint32_t counter, size_t draws) {
    for (size_t i = 0; i < draws; i++) {
        uint32_t bits = draw(s, counter + (uint32_t)i);
        float pair[2] = {low_element(s, bits), high_element(s, bits)};
        memcpy(target + 8 * i, pair, 8);
    }
}

#define VARIANT(name, attributes)                                                                                   \
    attributes static void bf16_##name(uint8_t *target, stream s, uint32_t counter, size_t draws) {                 \
        fill_bf16(target, s, counter, draws);                                                                       \
    }                                                                                                               \
    attributes static void f32_##name(uint8_t *target, stream s, uint32_t counter, size_t draws) {                  \
        fill_f32(target, s, counter, draws);                                                                        \
    }

VARIANT(portable, )
#if defined(__x86_64__)
VARIANT(avx2, __attribute__((target("avx2"))))
VARIANT(avx512, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))))
#endif

typedef void (*fill)(uint8_t *, stream, uint32_t, size_t);

static fill choose(ctk_isa isa, int is_bf16) {
#if defined(__x86_64__)
    if (isa >= CTK_AVX512 && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl"))
        return is_bf16 ? bf16_avx512 : f32_avx512;
    if (isa >= CTK_AVX2 && __builtin_cpu_supports("avx2")) return is_bf16 ? bf16_avx2 : f32_avx2;
#endif
    (void)isa;
    return is_bf16 ? bf16_portable : f32_portable;
}

void ctk_random_within(ctk_isa isa, void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale,
                       size_t count) {
    static const size_t widths[] = {4, 2, 2, 8, 1, 1};
    fill write = choose(isa, type == CTK_BFLOAT16);
    uint8_t *bytes = target;
    size_t done = 0;
    while (done < count) {
        uint64_t element = first + done, left = count - done;
        uint64_t keys = splitmix64(seed, element >> 33);
        stream s = {(uint32_t)keys, (uint32_t)(keys >> 32), center, scale / 32768.0f};
        uint32_t counter = (uint32_t)(element >> 1);
        uint8_t *place = bytes + done * widths[type];
        if (element & 1 || left == 1) {
            uint32_t bits = draw(s, counter);
            float value = element & 1 ? high_element(s, bits) : low_element(s, bits);
            ctk_store_f32(place, &value, type, 1);
            done += 1;
            continue;
        }
        uint64_t draws = ((uint64_t)1 << 32) - counter;
        if (draws > left / 2) draws = left / 2;
        if (type == CTK_BFLOAT16 || type == CTK_FLOAT32) {
            write(place, s, counter, draws);
        } else {
            _Alignas(64) uint8_t staging[4096];
            if (draws > sizeof staging / 8) draws = sizeof staging / 8;
            write(staging, s, counter, draws);
            ctk_store_f32(place, (const float *)(const void *)staging, type, 2 * draws);
        }
        done += 2 * draws;
    }
}

void ctk_random(void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale, size_t count) {
    ctk_random_within(ctk_best_isa(), target, type, seed, first, center, scale, count);
}
