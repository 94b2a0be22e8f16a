#if defined(__x86_64__)
#include <immintrin.h>
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#define XXH_INLINE_ALL
#define XXH_VECTOR 2 // XXH_AVX2, which has no name before the header
#include <xxhash.h>

#include "variants.h"

DEFINE_VARIANT(avx2)
#pragma clang attribute pop
#endif
