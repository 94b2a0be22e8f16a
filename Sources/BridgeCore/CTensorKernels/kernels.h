// The kernels that have variants, one table for each instruction set.
#ifndef KERNELS_H
#define KERNELS_H

#include <stdbool.h>

#include "CTensorKernels.h"

// Every kernel: its name, its parameters after the instruction set, and the same as arguments.
#define EACH_KERNEL(KERNEL)                                                                                         \
    KERNEL(elements, (const ctk_element_work *work, const ctk_loops *loops, size_t first, size_t count),            \
           (work, loops, first, count))                                                                             \
    KERNEL(sum, (float *out, const void *x, ctk_type type, const ctk_loops *kept, size_t first, size_t count,       \
                 const ctk_loops *reduced, size_t first_reduced, size_t reduced_count),                             \
           (out, x, type, kept, first, count, reduced, first_reduced, reduced_count))                               \
    KERNEL(add_rows, (float *sums, size_t sums_stride, const int32_t *rows, size_t count, const void *x,          \
                      ctk_type type, size_t x_stride, size_t columns),                                              \
           (sums, sums_stride, rows, count, x, type, x_stride, columns))                                          \
    KERNEL(rms_norm, (void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, float epsilon, bool rounds,\
                      size_t rows, size_t width, float *inverse_root),                                              \
           (out, x, x_type, out_type, weight, epsilon, rounds, rows, width, inverse_root))                            \
    KERNEL(rms_norm_backward, (void *out, float *into_gain, const void *x, const void *gradient, ctk_type x_type, ctk_type out_type,\
                               const float *weight, const float *inverse_root, size_t rows, size_t width),            \
           (out, into_gain, x, gradient, x_type, out_type, weight, inverse_root, rows, width))                        \
    KERNEL(layer_norm, (void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, const float *bias,\
                        float epsilon, size_t rows, size_t width, float *moments),                                  \
           (out, x, x_type, out_type, weight, bias, epsilon, rows, width, moments))                                   \
    KERNEL(layer_norm_backward, (void *out, float *into_gain, float *into_bias, const void *x,                      \
                                 const void *gradient, ctk_type x_type, ctk_type out_type, const float *weight, const float *moments,\
                                 size_t rows, size_t width),                                                        \
           (out, into_gain, into_bias, x, gradient, x_type, out_type, weight, moments, rows, width))                  \
    KERNEL(rotate, (void *out, const ptrdiff_t *out_strides, const void *x, const ptrdiff_t *x_strides,             \
                    ctk_type type, const float *cosines, const float *sines, bool inverse, size_t tokens,           \
                    size_t heads, size_t half),                                                                     \
           (out, out_strides, x, x_strides, type, cosines, sines, inverse, tokens, heads, half))                    \
    KERNEL(project_rows, (void *out, ctk_type out_type, size_t out_row_stride, const void *x, size_t x_rows,        \
                          const void *weights, size_t weight_row_stride, size_t rows, size_t k, ctk_type type),     \
           (out, out_type, out_row_stride, x, x_rows, weights, weight_row_stride, rows, k, type))                   \
    KERNEL(quantize, (uint8_t *values, uint16_t *scales, const ctk_quantized *w, const void *x, ctk_type type,      \
                      size_t x_stride, size_t rows),                                                                \
           (values, scales, w, x, type, x_stride, rows))                                                            \
    KERNEL(dequantize, (void *out, ctk_type type, size_t out_stride, const ctk_quantized *w, size_t first_row,      \
                        size_t rows, size_t first_column, size_t columns),                                          \
           (out, type, out_stride, w, first_row, rows, first_column, columns))                                      \
    KERNEL(prepare_row, (void *prepared, const void *x, ctk_type type, const ctk_quantized *w),                     \
           (prepared, x, type, w))                                                                                  \
    KERNEL(project_quantized, (void *out, ctk_type out_type, size_t out_row_stride, const void *prepared,           \
                               size_t x_rows, const ctk_quantized *w, size_t first, size_t rows),                   \
           (out, out_type, out_row_stride, prepared, x_rows, w, first, rows))                                       \
    KERNEL(attend, (const ctk_attention *a, size_t first_group, size_t groups, size_t first_row, size_t rows,       \
                    size_t first_key, size_t keys, float *partial, size_t partial_stride, float *scratch),          \
           (a, first_group, groups, first_row, rows, first_key, keys, partial, partial_stride, scratch))            \
    KERNEL(attend_merge, (const ctk_attention *a, size_t group, size_t first_row, size_t rows,                      \
                          const float *partials, size_t parts, size_t part_stride, float *scratch),                 \
           (a, group, first_row, rows, partials, parts, part_stride, scratch))                                      \
    KERNEL(attend_delta, (const ctk_attention *a, size_t head, size_t first, size_t count), (a, head, first, count)) \
    KERNEL(attend_query_gradients, (const ctk_attention *a, size_t group, size_t first_row, size_t rows,            \
                                    float *scratch),                                                                \
           (a, group, first_row, rows, scratch))                                                                    \
    KERNEL(attend_key_gradients, (const ctk_attention *a, size_t group, size_t first_key, size_t keys,              \
                                  float *scratch),                                                                  \
           (a, group, first_key, keys, scratch))                                                                    \
    KERNEL(softmax_sums, (float *largest, float *sums, float *chosen, const float *logits, size_t stride,           \
                          const int32_t *targets, size_t first, size_t rows, size_t width),                         \
           (largest, sums, chosen, logits, stride, targets, first, rows, width))                                    \
    KERNEL(softmax_gradient, (void *out, ctk_type type, size_t out_stride, const float *logits, size_t stride,      \
                              const float *log_sums, const float *weights, const int32_t *targets, size_t first,    \
                              size_t rows, size_t width),                                                           \
           (out, type, out_stride, logits, stride, log_sums, weights, targets, first, rows, width))                 \
    KERNEL(square_sum, (double *sum, const float *x, size_t count), (sum, x, count))                                \
    KERNEL(adamw, (float *values, float *first, float *second, const float *gradient, void *model,                  \
                   ctk_type model_type, size_t count, const ctk_adamw_step *step),                                  \
           (values, first, second, gradient, model, model_type, count, step))                                       \
    KERNEL(sgd, (float *values, float *velocity, const float *gradient, void *model, ctk_type model_type,           \
                 size_t count, const ctk_sgd_step *step),                                                           \
           (values, velocity, gradient, model, model_type, count, step))                                            \
    KERNEL(dropout, (void *out, const void *x, ctk_type type, size_t first, size_t count, uint32_t first_key,       \
                     uint32_t second_key, uint32_t limit, float scale),                                             \
           (out, x, type, first, count, first_key, second_key, limit, scale))

// Columns of a quantized matrix that share one factor of x: a group, or a part of a long one.
static inline size_t block_width(const ctk_quantized *w) {
    return w->group < CTK_QUANTIZED_BLOCK ? w->group : CTK_QUANTIZED_BLOCK;
}

static inline size_t block_count(const ctk_quantized *w) { return (w->columns + block_width(w) - 1) / block_width(w); }

// The same in whole vectors of factors.
static inline size_t padded_blocks(const ctk_quantized *w) { return (block_count(w) + 15) / 16 * 16; }

#define KERNEL_FIELD(name, parameters, arguments) void(*name) parameters;
typedef struct kernels {
    EACH_KERNEL(KERNEL_FIELD)
} kernels;
#undef KERNEL_FIELD

// Whether the processor multiplies tiles of bfloat16 and the system lets this process do so.
bool ctk_has_amx(void);

extern const kernels kernels_portable;
#if defined(__x86_64__)
extern const kernels kernels_avx2, kernels_avx512, kernels_avx512_bf16, kernels_amx;
#endif

#endif
