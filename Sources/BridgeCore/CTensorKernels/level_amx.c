// x86 processors with tiles of bfloat16.
#if defined(__x86_64__)
#include <immintrin.h>
#include <string.h>
#pragma clang attribute push(                                                                                       \
    __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx512vnni,amx-tile,amx-bf16"))),       \
    apply_to = function)
#define LANES 16
#define HAS_BF16_DOT 1
#define HAS_VNNI 1
#define HAS_AMX 1
#define LEVEL_TABLE kernels_amx
#include "level.h"
#pragma clang attribute pop
#endif
