// Matrix products by oneDNN, behind plain C: its descriptors are arrays of a fixed size, which Swift sees as tuples.
#ifndef CONEDNN_H
#define CONEDNN_H

#include <stdbool.h>
#include <stdint.h>

// A matrix in memory; strides in elements, one of them 1.
typedef struct cdnn_matrix {
    void *data;
    int64_t row_stride, column_stride;
} cdnn_matrix;

// The levels below the most that the library has.
typedef enum cdnn_level { CDNN_SSE41 = 0, CDNN_AVX2 = 1, CDNN_AVX512 = 2, CDNN_AVX512_BF16 = 3 } cdnn_level;

// Sets the most instructions that the library uses in this process, in the place of ONEDNN_MAX_CPU_ISA; false once it has
// chosen.
bool cdnn_limit(cdnn_level level);

// The version of the library, such as "2.6.3".
const char *cdnn_version(void);

// Whether the processor has AVX-512, for which the library makes kernels of both types.
bool cdnn_supports_avx512(void);

// c[m, n] = a[m, k] b[k, n] for bfloat16 a and b, on the calling thread; c is bfloat16 or float32, and is added to with
// `adds`. Returns 0 or oneDNN's status.
int cdnn_matmul_bf16(int64_t m, int64_t n, int64_t k, cdnn_matrix a, cdnn_matrix b, cdnn_matrix c, bool is_float32,
                     bool adds);

// The same for float32 a, b and c.
int cdnn_matmul_f32(int64_t m, int64_t n, int64_t k, cdnn_matrix a, cdnn_matrix b, cdnn_matrix c, bool adds);

#endif
