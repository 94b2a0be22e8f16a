#include "kernels.h"

static ctk_isa find_best_isa(void) {
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma") || !__builtin_cpu_supports("f16c"))
        return CTK_PORTABLE;
    if (!__builtin_cpu_supports("avx512f") || !__builtin_cpu_supports("avx512bw") || !__builtin_cpu_supports("avx512dq")
        || !__builtin_cpu_supports("avx512vl"))
        return CTK_AVX2;
    if (ctk_has_amx()) return CTK_AMX;
    // Every processor with the first one has the second.
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni") ? CTK_AVX512_BF16 : CTK_AVX512;
#else
    return CTK_PORTABLE;
#endif
}

ctk_isa ctk_processor_isa(void) {
    // Found once; threads that look at the same time find the same.
    static int found = -1;
    int best = __atomic_load_n(&found, __ATOMIC_RELAXED);
    if (best < 0) {
        best = (int)find_best_isa();
        __atomic_store_n(&found, best, __ATOMIC_RELAXED);
    }
    return (ctk_isa)best;
}

static int limit = CTK_AMX;

void ctk_limit_isa(ctk_isa isa) { __atomic_store_n(&limit, (int)isa, __ATOMIC_RELAXED); }

ctk_isa ctk_best_isa(void) {
    int processor = (int)ctk_processor_isa(), most = __atomic_load_n(&limit, __ATOMIC_RELAXED);
    return (ctk_isa)(processor < most ? processor : most);
}

// The features that the levels require, and those by which oneDNN and OpenBLAS choose their kernels.
#if defined(__x86_64__)
#define EACH_FEATURE(FEATURE)                                                                                        \
    FEATURE("avx2") FEATURE("fma") FEATURE("f16c") FEATURE("avx512f") FEATURE("avx512bw") FEATURE("avx512dq")        \
    FEATURE("avx512vl") FEATURE("avx512vnni") FEATURE("avx512bf16")
#define FEATURE_NAME(name) name,
#define FEATURE_TEST(name) __builtin_cpu_supports(name) != 0,
static const char *const feature_names[] = {EACH_FEATURE(FEATURE_NAME) "amx-bf16"};

const char *ctk_feature(size_t index, bool *is_present) {
    const bool present[] = {EACH_FEATURE(FEATURE_TEST) ctk_processor_isa() == CTK_AMX};
    if (index >= sizeof present) return NULL;
    *is_present = present[index];
    return feature_names[index];
}
#else
const char *ctk_feature(size_t index, bool *is_present) {
    (void)index, (void)is_present;
    return NULL;
}
#endif

const char *ctk_isa_name(ctk_isa isa) {
    static const char *const names[] = {"portable", "AVX2", "AVX-512", "AVX-512 BF16", "AMX"};
    return names[isa];
}

static const kernels *table(ctk_isa isa) {
#if defined(__x86_64__)
    static const kernels *const tables[] = {&kernels_portable, &kernels_avx2, &kernels_avx512, &kernels_avx512_bf16,
                                            &kernels_amx};
    return tables[isa];
#else
    (void)isa;
    return &kernels_portable;
#endif
}

#define UNPACK(...) __VA_ARGS__
#define KERNEL_FUNCTION(name, parameters, arguments)                                                                \
    void ctk_##name(ctk_isa isa, UNPACK parameters) { table(isa)->name arguments; }
EACH_KERNEL(KERNEL_FUNCTION)

size_t ctk_prepared_size(const ctk_quantized *w) {
    // Whole loads of weights.
    size_t columns = (w->columns + CTK_QUANTIZED_BLOCK - 1) / CTK_QUANTIZED_BLOCK * CTK_QUANTIZED_BLOCK;
    return 2 * padded_blocks(w) * sizeof(float) + columns * sizeof(int16_t);
}

size_t ctk_attention_scratch(size_t width) {
    // Rows with their padding; the backward pass has seven blocks of them, the forward pass fewer, larger ones.
    size_t words = (width + 31) / 32 * 32, tile = CTK_ATTENTION_TILE, rows = CTK_ATTENTION_ROWS;
    size_t forward = 2 * rows * words + 2 * tile * words + 2 * rows * tile + 2 * rows;
    size_t backward = 7 * tile * words + 3 * tile * tile;
    return forward > backward ? forward : backward;
}
