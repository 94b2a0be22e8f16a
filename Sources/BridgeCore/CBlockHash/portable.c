#define XXH_INLINE_ALL
#include <xxhash.h>

#include "variants.h"

_Static_assert(sizeof(XXH3_state_t) <= CBH_STATE_BYTES && _Alignof(XXH3_state_t) <= CBH_STATE_ALIGNMENT, "a state fits");

DEFINE_VARIANT(portable)

#if defined(__x86_64__)
#define CHOSEN(FUNCTION, ...) \
    (__builtin_cpu_supports("avx2") ? FUNCTION##_avx2(__VA_ARGS__) : FUNCTION##_portable(__VA_ARGS__))
#else
#define CHOSEN(FUNCTION, ...) FUNCTION##_portable(__VA_ARGS__)
#endif

cbh_digest cbh_hash(const void *bytes, size_t count) { return CHOSEN(cbh_hash, bytes, count); }

void cbh_update(void *state, const void *bytes, size_t count) { CHOSEN(cbh_update, state, bytes, count); }

void cbh_reset(void *state) {
    XXH3_INITSTATE((XXH3_state_t *)state);
    XXH3_128bits_reset(state);
}

cbh_digest cbh_finish(const void *state) {
    XXH128_hash_t hash = XXH3_128bits_digest(state);
    return (cbh_digest){hash.low64, hash.high64};
}
