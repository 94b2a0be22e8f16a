// Puts emulated instructions in the place of the compiler's intrinsics. Included before a source of CTensorKernels.
#ifndef EMULATED_INSTRUCTIONS_H
#define EMULATED_INSTRUCTIONS_H

#include <immintrin.h>

#include "TileEmulation.h"

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#define _tile_loadconfig(configuration) emulated_tile_load_configuration(configuration)
#define _tile_release() emulated_tile_release()
#define _tile_zero(tile) emulated_tile_zero(tile)
#define _tile_loadd(tile, source, stride) emulated_tile_load(tile, source, stride)
#define _tile_stored(tile, target, stride) emulated_tile_store(tile, target, stride)
#define _tile_dpbf16ps(sums, left, right) emulated_tile_dot(sums, left, right)

#define EMULATED static inline __attribute__((always_inline, target("avx512f,avx512bw,avx512vl")))

EMULATED __m512 emulated_dpbf16_ps(__m512 sums, __m512bh left, __m512bh right) {
    float out[16];
    uint16_t a[32], b[32];
    _mm512_storeu_ps(out, sums);
    _mm512_storeu_si512(a, (__m512i)left);
    _mm512_storeu_si512(b, (__m512i)right);
    emulated_dot_pairs(out, a, b);
    return _mm512_loadu_ps(out);
}

EMULATED __m256bh emulated_cvtneps_pbh(__m512 numbers) {
    float source[16];
    uint16_t target[16];
    _mm512_storeu_ps(source, numbers);
    emulated_round(target, source);
    return (__m256bh)_mm256_loadu_si256((const __m256i *)target);
}

EMULATED __m512bh emulated_cvtne2ps_pbh(__m512 high, __m512 low) {
    float source[32];
    uint16_t target[32];
    _mm512_storeu_ps(source, low);
    _mm512_storeu_ps(source + 16, high);
    emulated_round(target, source);
    emulated_round(target + 16, source + 16);
    return (__m512bh)_mm512_loadu_si512(target);
}

EMULATED __m512i emulated_dpwssd(__m512i sums, __m512i left, __m512i right) {
    return _mm512_add_epi32(sums, _mm512_madd_epi16(left, right));
}

#undef _mm512_dpbf16_ps
#undef _mm512_dpwssd_epi32
#undef _mm512_cvtneps_pbh
#undef _mm512_cvtne2ps_pbh
#define _mm512_dpbf16_ps emulated_dpbf16_ps
#define _mm512_dpwssd_epi32 emulated_dpwssd
#define _mm512_cvtneps_pbh emulated_cvtneps_pbh
#define _mm512_cvtne2ps_pbh emulated_cvtne2ps_pbh

#endif
