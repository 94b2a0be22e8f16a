// The C kernels of the tensor runtime. Functions take pointers and sizes, allocate nothing and return nothing.
// Where a kernel has variants for several instruction sets, the fitting one is chosen at run time.
#ifndef CTENSOR_KERNELS_H
#define CTENSOR_KERNELS_H

#include <stdbool.h>
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

// Numbers of 4 or 8 bits that are stored one after the other, larger by half their range, as bfloat16: `count` from number
// `first` on.
void ctk_unpack(void *target, const void *source, size_t first, size_t count, unsigned bits);

// Writes `blocks` blocks of 32 values in ggml's formats Q8_0 (34 bytes) and Q4_0 (18 bytes): a factor in float16, then the
// quotients as integers of 8 and 4 bits, rounded as ggml's own code rounds them.
void ctk_store_q8_0(void *target, const float *source, size_t blocks);
void ctk_store_q4_0(void *target, const float *source, size_t blocks);

// Multiplies `count` values by one factor.
void ctk_scale_f32(float *values, float factor, size_t count);

// Copies a matrix of `rows` x `columns` elements of `width` bytes (1, 2, 4 or 8) transposed. Strides are in bytes and
// lead from one source row to the next and from one target row to the next; target rows are source columns.
void ctk_transpose(void *target, size_t target_stride, const void *source, size_t source_stride, size_t rows,
                   size_t columns, size_t width);

// What differs between two runs of elements.
typedef struct ctk_difference {
    size_t differing; // how many elements have other bits
    size_t first;     // the index of the first of them
    uint64_t ulps;    // the largest distance, in steps from one number of the type to the next
    double gap;       // the largest absolute difference
} ctk_difference;

// Compares `count` elements of `type`, of any alignment, bit by bit. `result` must be all zeros at the start.
void ctk_compare(ctk_difference *result, const void *left, const void *right, ctk_type type, size_t count);

// Fills `count` elements of `type` with pseudo-random values, uniform in [center - scale, center + scale) in steps of
// scale / 32768. Element i of a stream depends on `seed`, `center`, `scale` and `first + i` alone, so that any part of
// a tensor can be generated separately. The bytes are the same on every machine; see random.c.
void ctk_random(void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale, size_t count);

// The instruction sets for which a kernel may have variants.
typedef enum ctk_isa {
    CTK_PORTABLE = 0,
    CTK_AVX2 = 1,
    CTK_AVX512 = 2,
    CTK_AVX512_BF16 = 3,
    CTK_AMX = 4,
} ctk_isa;

// The same as ctk_random with no instructions beyond `isa`, so that a test can compare the variants.
void ctk_random_within(ctk_isa isa, void *target, ctk_type type, uint64_t seed, uint64_t first, float center, float scale,
                       size_t count);

// The best of them that this processor has.
ctk_isa ctk_processor_isa(void);
// Sets the most that `ctk_best_isa` gives, for the whole process.
void ctk_limit_isa(ctk_isa isa);
// The highest level that this processor has and the limit allows, and its name. The kernels below use no higher level.
ctk_isa ctk_best_isa(void);
const char *ctk_isa_name(ctk_isa isa);
// The name of the processor's feature `index`, and whether it has it; NULL after the last one.
const char *ctk_feature(size_t index, bool *is_present);

#define CTK_MAX_RANK 16
#define CTK_MAX_OPERANDS 5

// Nested loops over the same indices of several operands, outermost first.
typedef struct ctk_loops {
    size_t rank; // 1...CTK_MAX_RANK
    const size_t *sizes;
    const ptrdiff_t *strides; // [operands][rank], in elements
} ctk_loops;

// Copies `count` elements of `width` bytes from the `first` of the loops on. Operands: target, source.
void ctk_copy(void *target, const void *source, size_t width, const ctk_loops *loops, size_t first, size_t count);

// Functions of one number.
typedef enum ctk_function {
    CTK_SILU,
    CTK_GELU,
    CTK_GELU_TANH,
    CTK_RELU,
    CTK_TANH,
    CTK_EXPONENTIAL,
    CTK_LOGARITHM,
    CTK_SQUARE_ROOT,
} ctk_function;

// Operations on each element: results first, then inputs.
typedef enum ctk_element_operation {
    CTK_CONVERT,        // out = a
    CTK_ADD,            // out = a + b
    CTK_SUBTRACT,       // out = a - b
    CTK_MULTIPLY,       // out = a b
    CTK_DIVIDE,         // out = a / b
    CTK_AFFINE,         // out = a scale + shift
    CTK_APPLY,          // out = f(a)
    CTK_APPLY_BACKWARD, // out = f'(a) b
    CTK_GATED,          // out = f(a) b
    CTK_GATED_BACKWARD, // out = f'(a) b c, second = f(a) c
} ctk_element_operation;

typedef struct ctk_element_work {
    ctk_element_operation operation;
    ctk_function function;
    float scale, shift;
    void *data[CTK_MAX_OPERANDS];
    ctk_type types[CTK_MAX_OPERANDS];
} ctk_element_work;

// Works on `count` elements from the `first` of the loops on, in float32.
void ctk_elements(ctk_isa isa, const ctk_element_work *work, const ctk_loops *loops, size_t first, size_t count);

// out[i] = the sum of x over `reduced_count` indices of the reduced loops from `first_reduced` on, for `count` indices
// of the kept loops from `first` on.
void ctk_sum(ctk_isa isa, float *out, const void *x, ctk_type type, const ctk_loops *kept, size_t first, size_t count,
             const ctk_loops *reduced, size_t first_reduced, size_t reduced_count);

// Adds row i of x to row rows[i] of the table, for `count` rows in their order; the same one may come several times.
void ctk_add_rows(ctk_isa isa, float *table, size_t table_stride, const int32_t *rows, size_t count, const void *x,
                  ctk_type type, size_t x_stride, size_t columns);

// Norms of `rows` contiguous rows of `width` elements, as TensorEngine defines them. x may be float32 where the result
// is bfloat16. In the backward functions the gradient has the type of the result, and `out` that of x; gradients of
// weight and bias are added to, and may be NULL.
void ctk_rms_norm(ctk_isa isa, void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, float epsilon, bool rounds,
                  size_t rows, size_t width, float *inverse_root);
void ctk_rms_norm_backward(ctk_isa isa, void *out, float *into_gain, const void *x, const void *gradient, ctk_type x_type, ctk_type out_type,
                           const float *weight, const float *inverse_root, size_t rows, size_t width);
void ctk_layer_norm(ctk_isa isa, void *out, const void *x, ctk_type x_type, ctk_type out_type, const float *weight, const float *bias,
                    float epsilon, size_t rows, size_t width, float *moments);
void ctk_layer_norm_backward(ctk_isa isa, void *out, float *into_gain, float *into_bias, const void *x,
                             const void *gradient, ctk_type x_type, ctk_type out_type, const float *weight, const float *moments, size_t rows,
                             size_t width);

// Turns the pairs (i, i + half) of the heads of `tokens` tokens. Strides: from token to token and from head to head.
// Cosines and sines: [tokens, half].
void ctk_rotate(ctk_isa isa, void *out, const ptrdiff_t *out_strides, const void *x, const ptrdiff_t *x_strides,
                ctk_type type, const float *cosines, const float *sines, bool inverse, size_t tokens, size_t heads,
                size_t half);

// out[r * out_row_stride + i] = dot(row r of x, row i of the weights); x is [x_rows, k] without gaps, x_rows from 1 to 4.
#define CTK_FEW_ROWS 4
void ctk_project_rows(ctk_isa isa, void *out, ctk_type out_type, size_t out_row_stride, const void *x, size_t x_rows,
                      const void *weights, size_t weight_row_stride, size_t rows, size_t k, ctk_type type);

// Rows of whole numbers of 4 or 8 bits, each times the factor of its group of columns. They are stored larger by 8 or by
// 128, so from 0 on, in the order of the columns, those of 4 bits from the low half of a byte on. Factors are bfloat16.
typedef struct ctk_quantized {
    const uint8_t *values;
    size_t row_bytes;
    const uint16_t *scales;
    size_t scale_stride;
    size_t columns;
    unsigned bits; // 4 or 8
    size_t group;  // 32, 64, a multiple of 128, or at least `columns`
} ctk_quantized;

// The most columns whose products are summed as whole numbers.
#define CTK_QUANTIZED_BLOCK 128

// Makes `rows` rows of numbers and factors from rows of x, `x_stride` elements apart. Each number is the nearest one, half to
// even. The factor of a group of 8 bits is its largest magnitude / 127; of 4 bits the value of that magnitude / -8. A group
// with NaN or infinity gets the factor NaN. Without `values`, which may be NULL, only factors are made.
void ctk_quantize(ctk_isa isa, uint8_t *values, uint16_t *scales, const ctk_quantized *w, const void *x, ctk_type type,
                  size_t x_stride, size_t rows);
// Writes columns of rows as float32 or bfloat16; `first_column` is the first of a group or block, or even.
void ctk_dequantize(ctk_isa isa, void *out, ctk_type type, size_t out_stride, const ctk_quantized *w, size_t first_row,
                    size_t rows, size_t first_column, size_t columns);
// How many bytes a row of x takes that is prepared for products with w; it is aligned to 4 bytes.
size_t ctk_prepared_size(const ctk_quantized *w);
// Prepares a row of x, float32 or bfloat16: each block of it is rounded to 1/32639 of its largest magnitude or less.
void ctk_prepare_row(ctk_isa isa, void *prepared, const void *x, ctk_type type, const ctk_quantized *w);
// out[r * out_row_stride + i] = dot(prepared row r, row i of w), for rows from `first` on; x_rows from 1 to CTK_FEW_ROWS.
void ctk_project_quantized(ctk_isa isa, void *out, ctk_type out_type, size_t out_row_stride, const void *prepared,
                           size_t x_rows, const ctk_quantized *w, size_t first, size_t rows);

// Which keys a query sees: the rule of AttentionMask. Arrays that are NULL count as zeros.
typedef struct ctk_mask {
    bool causal;
    int64_t window; // negative for none
    const int32_t *query_positions, *query_segments, *query_blocks;
    const int32_t *key_positions, *key_segments, *key_blocks;
} ctk_mask;

// The heads of the tokens of one sample.
typedef struct ctk_rows {
    void *data;
    ptrdiff_t token_stride, head_stride; // in elements
} ctk_rows;

// Attention of one sample.
typedef struct ctk_attention {
    ctk_type type;
    size_t queries, keys, groups, heads_per_group, width;
    float scale;
    ctk_mask mask;
    ctk_rows query, key, value, out;
    float *log_sum_exp; // [heads, queries], may be NULL in the forward pass
    // For the backward pass: the gradient of `out`, the sums of its products with `out`, [heads, queries], and the
    // results.
    ctk_rows gradient;
    float *delta;
    ctk_rows into_query, into_key, into_value;
} ctk_attention;

// The rows of a group are those of its query heads, token by token: row = token * heads_per_group + head. At most this
// many of them are processed at once in the forward pass, and this many rows or keys in the backward pass.
#define CTK_ATTENTION_ROWS 128
#define CTK_ATTENTION_TILE 64

// The float32 elements of scratch memory that attention to heads of a width takes, forward or backward.
size_t ctk_attention_scratch(size_t width);

// With few rows this many groups can be worked on together, which reads memory in its order.
#define CTK_GROUPS_TOGETHER 8

// Rows of the result, or, where `partial` is not NULL, [rows, width + 2] for ctk_attend_merge: the partial result over
// the given keys. Those of the groups are `partial_stride` apart.
void ctk_attend(ctk_isa isa, const ctk_attention *a, size_t first_group, size_t groups, size_t first_row, size_t rows,
                size_t first_key, size_t keys, float *partial, size_t partial_stride, float *scratch);
// Rows of the result from `parts` of the keys, which are `part_stride` apart.
void ctk_attend_merge(ctk_isa isa, const ctk_attention *a, size_t group, size_t first_row, size_t rows,
                      const float *partials, size_t parts, size_t part_stride, float *scratch);
// Fills in `delta`, which the gradients need.
void ctk_attend_delta(ctk_isa isa, const ctk_attention *a, size_t head, size_t first, size_t count);
// The gradients of rows of queries.
void ctk_attend_query_gradients(ctk_isa isa, const ctk_attention *a, size_t group, size_t first_row, size_t rows,
                                float *scratch);
// The gradients of keys and values.
void ctk_attend_key_gradients(ctk_isa isa, const ctk_attention *a, size_t group, size_t first_key, size_t keys,
                              float *scratch);

// Updates the largest logit of each row, -infinity at first, and the sum of exp(logit - largest), 0 at first, with
// `width` more columns of logits from `first` on, whose rows are `stride` apart. `chosen` gets the logits of the
// targets that are among the columns.
void ctk_softmax_sums(ctk_isa isa, float *largest, float *sums, float *chosen, const float *logits, size_t stride,
                      const int32_t *targets, size_t first, size_t rows, size_t width);
// out = (exp(logit - log_sum) - (1 in the target's column, which counts from `first`)) * weight, row by row.
void ctk_softmax_gradient(ctk_isa isa, void *out, ctk_type type, size_t out_stride, const float *logits, size_t stride,
                          const float *log_sums, const float *weights, const int32_t *targets, size_t first, size_t rows,
                          size_t width);

// The sum of squares.
void ctk_square_sum(ctk_isa isa, double *sum, const float *x, size_t count);

// A step of AdamW (Loshchilov and Hutter, arXiv 1711.05101): m and v are the running means of gradient and square,
// value = value * decay - rate * m / (sqrt(v) * second_scale + epsilon).
typedef struct ctk_adamw_step {
    float gradient_scale, beta1, beta2, epsilon;
    float decay;        // 1 - learning rate * weight decay
    float rate;         // learning rate / (1 - beta1^n)
    float second_scale; // 1 / sqrt(1 - beta2^n)
} ctk_adamw_step;
// `model`, which may be NULL, gets the values as its type.
void ctk_adamw(ctk_isa isa, float *values, float *first, float *second, const float *gradient, void *model,
               ctk_type model_type, size_t count, const ctk_adamw_step *step);

// A step of gradient descent: velocity = velocity * momentum + gradient + decay * value, value -= rate * velocity.
typedef struct ctk_sgd_step {
    float gradient_scale, momentum, decay, rate;
} ctk_sgd_step;
void ctk_sgd(ctk_isa isa, float *values, float *velocity, const float *gradient, void *model, ctk_type model_type,
             size_t count, const ctk_sgd_step *step);

// out = x * scale where the random value of the element's index, from `first` on, is not below `limit`, 0 elsewhere.
void ctk_dropout(ctk_isa isa, void *out, const void *x, ctk_type type, size_t first, size_t count, uint32_t first_key,
                 uint32_t second_key, uint32_t limit, float scale);

// Vectors of bfloat16 elements: rows or columns of a matrix.
typedef struct ctk_amx_vectors {
    const void *data;
    size_t count, length;                 // how many, and the elements of each
    size_t vector_stride, element_stride; // in elements; one of them is 1
} ctk_amx_vectors;

// A product c[m, n] = a[m, k] b[k, n] of bfloat16 matrices, c bfloat16 or float32 and row-major. Its elements are the
// products of the rows of a with the columns of b, two sets of vectors of k elements, which are copied into tiles: one of
// them by ctk_amx_pack_right, the other by ctk_amx_pack_left or, panel by panel, by ctk_amx_multiply. The processor must
// have AMX, see CTK_AMX.
//
// In a sum of products of several pairs of matrices the vectors are those of the first pair, then those of the second and so
// on: each pair begins at a multiple of 32 elements, with zeros before it, and k counts these too.
typedef struct ctk_amx_product {
    void *c;
    size_t c_stride;
    bool is_float32, adds; // c is added to
    bool left_is_columns;  // the vectors of the left tiles are the columns of b, and not the rows of a
    const void *right_tiles;
    size_t right_count;
    const void *left_tiles;      // NULL when ctk_amx_multiply makes them
    const ctk_amx_vectors *left; // of each pair
    size_t k;
} ctk_amx_product;

// How many of `count` vectors of right tiles ctk_amx_multiply takes together at most, a multiple of 32: they stay in the
// second-level cache.
size_t ctk_amx_height(size_t count, size_t k);

// The bytes of vectors in tiles, and of the scratch memory of ctk_amx_multiply for numbers of vectors.
size_t ctk_amx_packed(size_t count, size_t k);
size_t ctk_amx_scratch(size_t rights, size_t lefts, size_t k);

// Some vectors, and some of their elements. Both begin at multiples of 32 and end at one, or where all end.
typedef struct ctk_amx_part {
    size_t first, end, depth, depth_end;
} ctk_amx_part;

// Copy a part of the vectors into right or left tiles; `tiles` is 64-byte aligned. The vectors are those of a pair that
// begins at element `start` of k, or all of the left ones.
void ctk_amx_pack_right(void *tiles, const ctk_amx_vectors *v, size_t k, size_t start, ctk_amx_part part);
void ctk_amx_pack_left(void *tiles, const ctk_amx_vectors *v, ctk_amx_part part);

// The products of up to ctk_amx_height vectors of right tiles, from `first` on, a multiple of that, with `count` left ones from
// `from` on, a multiple of 32, on the calling thread; sums are float32. `scratch` is 64-byte aligned.
void ctk_amx_multiply(const ctk_amx_product *p, size_t first, size_t from, size_t count, void *scratch);

// Keys and values that ctk_amx_attention_pack takes at once, and rows that ctk_amx_attention does.
enum { CTK_AMX_ATTENTION_KEYS = 256, CTK_AMX_ATTENTION_ROWS = 32 };

// How many bytes the keys and values of a group take in tiles, and how many of scratch memory the attention of a block
// needs.
size_t ctk_amx_attention_packed(size_t keys, size_t width);
size_t ctk_amx_attention_scratch(size_t width);

// Copies CTK_AMX_ATTENTION_KEYS keys and values of a group into tiles, from `first` on, a multiple of that. bfloat16
// only, and the processor must have AMX, see CTK_AMX.
void ctk_amx_attention_pack(void *packed, const ctk_attention *a, size_t group, size_t first);

// Attention of CTK_AMX_ATTENTION_ROWS rows of a group from `row` on, a multiple of that; rows as for ctk_attend. `packed`
// and `scratch` are 64-byte aligned.
void ctk_amx_attention(const ctk_attention *a, size_t group, const void *packed, size_t row, void *scratch);

// Keys and rows of whose weights ctk_amx_gradients keeps in scratch memory at once.
enum { CTK_AMX_GRADIENT_KEYS = 128, CTK_AMX_GRADIENT_ROWS = 256 };

// How many bytes the keys and rows of a group take in tiles for the backward pass, and how many of scratch memory the
// gradients with `rows` rows need.
size_t ctk_amx_gradients_packed(size_t rows, size_t keys, size_t width);
size_t ctk_amx_gradients_scratch(size_t rows, size_t width);

// Copies 32 keys of a group and their values, or 32 rows and their gradients, into tiles: the parts of the keys come first,
// then those of the rows. `delta` must be there, see ctk_attend_delta. bfloat16 only, and the processor must have AMX.
void ctk_amx_gradients_pack(void *packed, const ctk_attention *a, size_t group, size_t part);

// The gradients between a range of keys and a range of rows, which begin at multiples of CTK_AMX_GRADIENT_KEYS and of 32:
// of the keys and values, for which all rows must be in the range, and of the rows, for which all keys must be. `packed` and
// `scratch` are 64-byte aligned.
void ctk_amx_gradients(const ctk_attention *a, size_t group, const void *packed, size_t first_key, size_t keys,
                       size_t first_row, size_t rows, bool into_keys, bool into_rows, void *scratch);

// Lets the other half of a core run while a thread waits for a word in memory to change.
static inline void ctk_pause(void) {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

// The sums of the i-th elements of several arrays, float32 or bfloat16, added in the order of the arrays in float32.
void ctk_sum_slots(const void *const *slots, int64_t slot_count, int64_t count, int is_bf16, void *out);

// The largest of the i-th elements of several arrays.
void ctk_max_slots(const void *const *slots, int64_t slot_count, int64_t count, int is_bf16, void *out);

#endif
