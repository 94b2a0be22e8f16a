// The C kernels of the tensor runtime. Functions take pointers and sizes, allocate nothing and return nothing.
// Where a kernel has variants for several instruction sets, the fitting one is chosen at run time.
#ifndef CTENSOR_KERNELS_H
#define CTENSOR_KERNELS_H

#include <stddef.h>
#include <stdint.h>

// Element types that can be converted into one another.
typedef enum ctk_type {
    CTK_FLOAT32 = 0,
    CTK_BFLOAT16 = 1,
    CTK_FLOAT16 = 2,
    CTK_FLOAT64 = 3,
    CTK_FLOAT8_E4M3 = 4,
    CTK_FLOAT8_E5M2 = 5,
} ctk_type;

// Reads `count` elements of `type` at `source`, of any alignment, as float32. Exact for every type but float64, which
// is rounded to the nearest even.
void ctk_load_f32(float *target, const void *source, ctk_type type, size_t count);

// Writes `count` float32 values as elements of `type`, rounded to the nearest even. A value beyond the largest finite
// one becomes infinity, and NaN where the type has no infinity (E4M3), as PyTorch converts.
void ctk_store_f32(void *target, const float *source, ctk_type type, size_t count);

// Multiplies `count` values by one factor.
void ctk_scale_f32(float *values, float factor, size_t count);

// Copies a matrix of `rows` x `columns` elements of `width` bytes (1, 2, 4 or 8) transposed. Strides are in bytes and
// lead from one source row to the next and from one target row to the next; target rows are source columns.
void ctk_transpose(void *target, size_t target_stride, const void *source, size_t source_stride, size_t rows,
                   size_t columns, size_t width);

// What differs between two runs of elements.
typedef struct ctk_difference {
    size_t differing; // how many elements have other bits
    size_t first;     // the place of the first of them
    uint64_t ulps;    // the largest distance, in steps from one number of the type to the next
    double gap;       // the largest absolute difference
} ctk_difference;

// Compares `count` elements of `type`, of any alignment, bit by bit. `result` must be all zeros at the start.
void ctk_compare(ctk_difference *result, const void *left, const void *right, ctk_type type, size_t count);

// Fills `count` elements of `type` with pseudo-random numbers, uniform in [center - scale, center + scale) in steps of
// scale / 32768. Element i of a stream depends on `seed`, `center`, `scale` and `first + i` alone, so that any part of a
// tensor can be made on its own. The bytes are the same on every machine; random.c says how they are made.
void ctk_random(void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale, size_t count);

// The instruction sets for which a kernel may have variants.
typedef enum ctk_isa {
    CTK_PORTABLE = 0,
    CTK_AVX2 = 1,
    CTK_AVX512 = 2,
} ctk_isa;

// The same as ctk_random with no instructions beyond `isa`, so that a test can compare the variants.
void ctk_random_within(ctk_isa isa, void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale,
                       size_t count);

#endif
