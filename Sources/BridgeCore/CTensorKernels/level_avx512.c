// x86 processors with AVX-512.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl"))), apply_to = function)
#define LANES 16
#define HAS_BF16_DOT 0
#define HAS_VNNI 0
#define HAS_AMX 0
#define LEVEL_TABLE kernels_avx512
#include "level.h"
#pragma clang attribute pop
#endif
