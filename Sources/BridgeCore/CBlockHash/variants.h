// The functions that have variants, one for each instruction set.
#ifndef VARIANTS_H
#define VARIANTS_H

#include "CBlockHash.h"

cbh_digest cbh_hash_avx2(const void *bytes, size_t count);
void cbh_update_avx2(void *state, const void *bytes, size_t count);

// Defined by a file that has included xxhash.h for its instruction set. The state is the same in all of them.
#define DEFINE_VARIANT(NAME)                                                                                        \
    cbh_digest cbh_hash_##NAME(const void *bytes, size_t count) {                                                   \
        XXH128_hash_t hash = XXH3_128bits(bytes, count);                                                            \
        return (cbh_digest){hash.low64, hash.high64};                                                               \
    }                                                                                                               \
    void cbh_update_##NAME(void *state, const void *bytes, size_t count) { XXH3_128bits_update(state, bytes, count); }

#endif
