// x86 processors with AVX2 and fused multiply-adds.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#define LANES 8
#define HAS_BF16_DOT 0
#define HAS_VNNI 0
#define HAS_AMX 0
#define LEVEL_TABLE kernels_avx2
#include "level.h"
#pragma clang attribute pop
#endif
