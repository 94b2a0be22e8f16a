#include "CTensorKernels.h"

#include <math.h>
#include <string.h>

// Maps floating-point bits to integers so that neighbours are one apart; both zeros are 0.
static inline int64_t ordered(uint64_t bits, int width) {
    uint64_t sign = (uint64_t)1 << (width - 1);
    return bits & sign ? -(int64_t)(bits ^ sign) : (int64_t)bits;
}

void ctk_compare(ctk_difference *result, const void *left, const void *right, ctk_type type, size_t count) {
    static const size_t widths[] = {4, 2, 2, 8, 1, 1};
    size_t width = widths[type];
    const uint8_t *a = left, *b = right;
    for (size_t i = 0; i < count; i++, a += width, b += width) {
        if (memcmp(a, b, width) == 0) continue;
        if (result->differing++ == 0) result->first = i;
        uint64_t x = 0, y = 0;
        memcpy(&x, a, width);
        memcpy(&y, b, width);
        int64_t p = ordered(x, 8 * (int)width), q = ordered(y, 8 * (int)width);
        uint64_t distance = p > q ? (uint64_t)p - (uint64_t)q : (uint64_t)q - (uint64_t)p;
        if (distance > result->ulps) result->ulps = distance;
        float u, v;
        ctk_load_f32(&u, a, type, 1);
        ctk_load_f32(&v, b, type, 1);
        double gap = fabs((double)u - (double)v);
        if (gap > result->gap || isnan(gap)) result->gap = gap;
    }
}
