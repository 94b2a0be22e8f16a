#define _GNU_SOURCE
#include "COneDNN.h"

#include <dlfcn.h>
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;
static dnnl_engine_t engine;
static dnnl_status_t engine_status;
static void (*set_threads)(int);
static char version[32];

static void start(void) {
    engine_status = dnnl_engine_create(&engine, dnnl_cpu, 0);
    const dnnl_version_t *v = dnnl_version();
    snprintf(version, sizeof version, "%d.%d.%d", v->major, v->minor, v->patch);
    // Debian's build runs on OpenMP, whose number of threads belongs to the calling thread; where the library was built
    // on something else there is nothing to set.
    set_threads = (void (*)(int))dlsym(RTLD_DEFAULT, "omp_set_num_threads");
}

bool cdnn_limit(cdnn_level level) {
    static const dnnl_cpu_isa_t limits[] = {dnnl_cpu_isa_sse41, dnnl_cpu_isa_avx2, dnnl_cpu_isa_avx512_core,
                                            dnnl_cpu_isa_avx512_core_bf16};
    dnnl_status_t status = dnnl_set_max_cpu_isa(limits[level]);
    // Builds for other processors and builds without the choice have one level only.
    return status == dnnl_success || status == dnnl_unimplemented;
}

const char *cdnn_version(void) {
    pthread_once(&once, start);
    return version;
}

bool cdnn_supports_avx512(void) {
    pthread_once(&once, start);
    return engine_status == dnnl_success && (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core) == dnnl_cpu_isa_avx512_core;
}

// What the calling thread keeps: a stream, and the products that it made last, since making one takes longer than a
// small product.
enum { SLOTS = 64 };
typedef struct slot {
    int64_t key[12];
    dnnl_primitive_t primitive;
    dnnl_memory_t a, b, c, scratch;
    size_t scratch_bytes;
} slot;
typedef struct thread_state {
    dnnl_stream_t stream;
    slot slots[SLOTS];
    // Memory that the products of this thread use in turn. Memory of the library would be kept for each of them.
    void *scratch;
    size_t scratch_bytes;
} thread_state;

static pthread_key_t state_key;
static pthread_once_t state_once = PTHREAD_ONCE_INIT;

static void empty(slot *s) {
    if (s->primitive) dnnl_primitive_destroy(s->primitive);
    if (s->a) dnnl_memory_destroy(s->a);
    if (s->b) dnnl_memory_destroy(s->b);
    if (s->c) dnnl_memory_destroy(s->c);
    if (s->scratch) dnnl_memory_destroy(s->scratch);
    memset(s, 0, sizeof *s);
}

static void drop(void *pointer) {
    thread_state *state = pointer;
    for (int i = 0; i < SLOTS; i++) empty(&state->slots[i]);
    if (state->stream) dnnl_stream_destroy(state->stream);
    free(state->scratch);
    free(state);
}

static void make_state_key(void) { pthread_key_create(&state_key, drop); }

static thread_state *this_thread(void) {
    pthread_once(&state_once, make_state_key);
    thread_state *state = pthread_getspecific(state_key);
    if (!state) {
        state = calloc(1, sizeof *state);
        if (!state) return NULL;
        if (set_threads) set_threads(1);
        if (dnnl_stream_create(&state->stream, engine, dnnl_stream_default_flags) != dnnl_success) {
            free(state);
            return NULL;
        }
        pthread_setspecific(state_key, state);
    }
    return state;
}

#define TRY(call)                                                                                                      \
    do {                                                                                                               \
        dnnl_status_t tried = (call);                                                                                  \
        if (tried != dnnl_success) {                                                                                   \
            empty(s);                                                                                                  \
            return tried;                                                                                              \
        }                                                                                                              \
    } while (0)

static dnnl_status_t describe(dnnl_memory_desc_t *descriptor, int64_t rows, int64_t columns, cdnn_matrix matrix,
                              dnnl_data_type_t type) {
    // The library wants a stride along a dimension of one element too, and one that fits.
    dnnl_dims_t sizes = {rows, columns}, strides = {matrix.row_stride, matrix.column_stride};
    if (strides[1] == 1 && rows == 1) strides[0] = columns;
    if (strides[1] != 1 && columns == 1) strides[1] = rows;
    return dnnl_memory_desc_init_by_strides(descriptor, 2, sizes, type, strides);
}

static dnnl_status_t fill(slot *s, int64_t m, int64_t n, int64_t k, cdnn_matrix a, cdnn_matrix b, cdnn_matrix c,
                          bool is_float32, bool adds) {
    dnnl_memory_desc_t da, db, dc;
    TRY(describe(&da, m, k, a, dnnl_bf16));
    TRY(describe(&db, k, n, b, dnnl_bf16));
    TRY(describe(&dc, m, n, c, is_float32 ? dnnl_f32 : dnnl_bf16));
    dnnl_matmul_desc_t product;
    TRY(dnnl_matmul_desc_init(&product, &da, &db, NULL, &dc));
    dnnl_primitive_attr_t attributes = NULL;
    TRY(dnnl_primitive_attr_create(&attributes));
    dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
    if (adds) {
        dnnl_post_ops_t operations;
        dnnl_post_ops_create(&operations);
        dnnl_post_ops_append_sum(operations, 1);
        dnnl_primitive_attr_set_post_ops(attributes, operations);
        dnnl_post_ops_destroy(operations);
    }
    dnnl_primitive_desc_t descriptor;
    dnnl_status_t status = dnnl_primitive_desc_create(&descriptor, &product, attributes, engine, NULL);
    dnnl_primitive_attr_destroy(attributes);
    TRY(status);
    // The descriptor that is returned belongs to the primitive's.
    const dnnl_memory_desc_t *needed = dnnl_primitive_desc_query_md(descriptor, dnnl_query_scratchpad_md, 0);
    s->scratch_bytes = needed ? dnnl_memory_desc_get_size(needed) : 0;
    status = s->scratch_bytes > 0 ? dnnl_memory_create(&s->scratch, needed, engine, DNNL_MEMORY_NONE) : dnnl_success;
    if (status == dnnl_success) status = dnnl_primitive_create(&s->primitive, descriptor);
    dnnl_primitive_desc_destroy(descriptor);
    TRY(status);
    TRY(dnnl_memory_create(&s->a, &da, engine, DNNL_MEMORY_NONE));
    TRY(dnnl_memory_create(&s->b, &db, engine, DNNL_MEMORY_NONE));
    TRY(dnnl_memory_create(&s->c, &dc, engine, DNNL_MEMORY_NONE));
    return dnnl_success;
}

// Makes the scratch memory of a thread large enough.
static bool reserve(thread_state *state, size_t bytes) {
    if (bytes <= state->scratch_bytes) return true;
    free(state->scratch);
    size_t rounded = (bytes + 4095) / 4096 * 4096;
    state->scratch = aligned_alloc(4096, rounded);
    state->scratch_bytes = state->scratch ? rounded : 0;
    return state->scratch != NULL;
}

int cdnn_matmul_bf16(int64_t m, int64_t n, int64_t k, cdnn_matrix a, cdnn_matrix b, cdnn_matrix c, bool is_float32,
                     bool adds) {
    pthread_once(&once, start);
    thread_state *state = this_thread();
    if (!state) return dnnl_out_of_memory;
    int64_t key[12] = {1, m, n, k, a.row_stride, a.column_stride, b.row_stride, b.column_stride, c.row_stride,
                       c.column_stride, is_float32, adds};
    uint64_t hash = 0;
    for (int i = 1; i < 12; i++) hash = (hash ^ (uint64_t)key[i]) * 0x9e3779b97f4a7c15u ^ hash >> 29;
    slot *s = &state->slots[hash >> 58];
    if (memcmp(s->key, key, sizeof key) != 0) {
        empty(s);
        dnnl_status_t status = fill(s, m, n, k, a, b, c, is_float32, adds);
        if (status != dnnl_success) return status;
        memcpy(s->key, key, sizeof key);
    }
    dnnl_memory_set_data_handle_v2(s->a, a.data, state->stream);
    dnnl_memory_set_data_handle_v2(s->b, b.data, state->stream);
    dnnl_memory_set_data_handle_v2(s->c, c.data, state->stream);
    if (!reserve(state, s->scratch_bytes)) return dnnl_out_of_memory;
    if (s->scratch) dnnl_memory_set_data_handle_v2(s->scratch, state->scratch, state->stream);
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, s->a}, {DNNL_ARG_WEIGHTS, s->b}, {DNNL_ARG_DST, s->c}, {DNNL_ARG_SCRATCHPAD, s->scratch}};
    dnnl_status_t status = dnnl_primitive_execute(s->primitive, state->stream, s->scratch ? 4 : 3, arguments);
    return status != dnnl_success ? status : dnnl_stream_wait(state->stream);
}

int cdnn_matmul_f32(int64_t m, int64_t n, int64_t k, cdnn_matrix a, cdnn_matrix b, cdnn_matrix c, bool adds) {
    pthread_once(&once, start);
    // Making this thread's state also tells the library to stay on it.
    if (!this_thread()) return dnnl_out_of_memory;
    bool transposes_a = a.column_stride != 1 && k > 1, transposes_b = b.column_stride != 1 && n > 1;
    // A matrix of one row or one column may have any stride along it; the library wants one that covers the other side.
    int64_t lda = transposes_a ? a.column_stride : a.row_stride, ldb = transposes_b ? b.column_stride : b.row_stride;
    int64_t least_a = transposes_a ? m : k, least_b = transposes_b ? k : n, ldc = c.row_stride;
    if (lda < least_a) lda = least_a;
    if (ldb < least_b) ldb = least_b;
    if (ldc < n) ldc = n;
    return dnnl_sgemm(transposes_a ? 'T' : 'N', transposes_b ? 'T' : 'N', m, n, k, 1, a.data, lda, b.data, ldb, adds, c.data,
                      ldc);
}
