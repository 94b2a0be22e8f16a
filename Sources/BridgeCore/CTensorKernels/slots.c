#include "CTensorKernels.h"

#include <string.h>

// Elements at a time: their sums stay in the first level of the cache.
enum { BLOCK = 1024 };

static float widened(uint16_t bits) {
    uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return value;
}

// To the nearest, ties to even; a NaN stays one.
static uint16_t narrowed(float value) {
    uint32_t word;
    memcpy(&word, &value, sizeof word);
    uint32_t rounded = (word + 0x7fff + ((word >> 16) & 1)) >> 16;
    return (uint16_t)((word & 0x7fffffff) > 0x7f800000 ? (word >> 16) | 0x40 : rounded);
}

void ctk_sum_slots(const void *const *slots, int64_t slot_count, int64_t count, int is_bf16, void *out) {
    float sums[BLOCK];
    for (int64_t first = 0; first < count; first += BLOCK) {
        int64_t length = count - first < BLOCK ? count - first : BLOCK;
        for (int64_t slot = 0; slot < slot_count; slot++) {
            if (is_bf16) {
                const uint16_t *values = (const uint16_t *)slots[slot] + first;
                if (slot == 0)
                    for (int64_t i = 0; i < length; i++) sums[i] = widened(values[i]);
                else
                    for (int64_t i = 0; i < length; i++) sums[i] += widened(values[i]);
            } else {
                const float *values = (const float *)slots[slot] + first;
                if (slot == 0)
                    memcpy(sums, values, (size_t)length * sizeof *sums);
                else
                    for (int64_t i = 0; i < length; i++) sums[i] += values[i];
            }
        }
        if (is_bf16) {
            uint16_t *values = (uint16_t *)out + first;
            for (int64_t i = 0; i < length; i++) values[i] = narrowed(sums[i]);
        } else {
            memcpy((float *)out + first, sums, (size_t)length * sizeof *sums);
        }
    }
}

void ctk_max_slots(const void *const *slots, int64_t slot_count, int64_t count, int is_bf16, void *out) {
    for (int64_t i = 0; i < count; i++) {
        float largest = 0;
        for (int64_t slot = 0; slot < slot_count; slot++) {
            float value =
                is_bf16 ? widened(((const uint16_t *)slots[slot])[i]) : ((const float *)slots[slot])[i];
            if (slot == 0 || value > largest || value != value) largest = value;
        }
        if (is_bf16)
            ((uint16_t *)out)[i] = narrowed(largest);
        else
            ((float *)out)[i] = largest;
    }
}
