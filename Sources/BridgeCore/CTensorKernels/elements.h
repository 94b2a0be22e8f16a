// Operations on each element, over loops of any strides. Elements pass through short float32 buffers, which stay in the
// first cache, so that an operation is written once for all types and strides.

enum { CHUNK = 512 };

// Elements at a stride as float32: where they are, or copied into `buffer`.
INLINE const float *gathered(const void *source, ctk_type type, ptrdiff_t stride, size_t count, float *buffer) {
    if (type == CTK_FLOAT32 && stride == 1) return source;
    if (type == CTK_BFLOAT16 && stride == 1) {
        size_t i = 0;
        for (; i + LANES <= count; i += LANES) v_store(buffer + i, v_load_bf16((const uint16_t *)source + i));
        for (; i < count; i++) buffer[i] = from_bf16(((const uint16_t *)source)[i]);
    } else if (stride == 1) {
        ctk_load_f32(buffer, source, type, count);
    } else if (stride == 0) {
        ctk_load_f32(buffer, source, type, 1);
        for (size_t i = 1; i < count; i++) buffer[i] = buffer[0];
    } else if (type == CTK_FLOAT32 || type == CTK_BFLOAT16) {
        for (size_t i = 0; i < count; i++) buffer[i] = load_as(source, type, i * stride);
    } else {
        for (size_t i = 0; i < count; i++)
            ctk_load_f32(buffer + i, (const char *)source + (ptrdiff_t)i * stride * byte_count(type), type, 1);
    }
    return buffer;
}

INLINE void scattered(void *target, ctk_type type, ptrdiff_t stride, size_t count, const float *buffer) {
    if (type == CTK_BFLOAT16 && stride == 1) {
        size_t i = 0;
        for (; i + LANES <= count; i += LANES) v_store_bf16((uint16_t *)target + i, v_load(buffer + i));
        for (; i < count; i++) ((uint16_t *)target)[i] = to_bf16(buffer[i]);
    } else if (stride == 1) {
        ctk_store_f32(target, buffer, type, count);
    } else if (type == CTK_FLOAT32 || type == CTK_BFLOAT16) {
        for (size_t i = 0; i < count; i++) store_as(target, type, i * stride, buffer[i]);
    } else {
        for (size_t i = 0; i < count; i++)
            ctk_store_f32((char *)target + (ptrdiff_t)i * stride * byte_count(type), buffer + i, type, 1);
    }
}

// One vector's worth. The operation and the function are known when this is compiled.
INLINE vf element_step(ctk_element_operation operation, ctk_function function, float scale, float shift, vf a, vf b, vf c,
                       vf *second) {
    switch (operation) {
    case CTK_CONVERT: return a;
    case CTK_ADD: return a + b;
    case CTK_SUBTRACT: return a - b;
    case CTK_MULTIPLY: return a * b;
    case CTK_DIVIDE: return a / b;
    case CTK_AFFINE: return a * scale + shift;
    case CTK_APPLY: return v_function(function, a);
    case CTK_APPLY_BACKWARD: return v_derivative(function, a) * b;
    case CTK_GATED: return v_function(function, a) * b;
    case CTK_GATED_BACKWARD:
        *second = v_function(function, a) * c;
        return v_derivative(function, a) * b * c;
    }
    return a;
}

// How many inputs and results an operation has.
INLINE size_t input_count(ctk_element_operation operation) {
    switch (operation) {
    case CTK_CONVERT:
    case CTK_AFFINE:
    case CTK_APPLY: return 1;
    case CTK_GATED_BACKWARD: return 3;
    default: return 2;
    }
}

INLINE size_t output_count(ctk_element_operation operation) { return operation == CTK_GATED_BACKWARD ? 2 : 1; }

INLINE void element_loop(ctk_element_operation operation, ctk_function function, float scale, float shift, size_t count,
                         float *const *out, const float *const *in) {
    size_t inputs = input_count(operation), outputs = output_count(operation);
    for (size_t i = 0; i < count; i += LANES) {
        vf a = v_load_up_to(in[0], CTK_FLOAT32, i, count);
        vf b = inputs > 1 ? v_load_up_to(in[1], CTK_FLOAT32, i, count) : v_set(0);
        vf c = inputs > 2 ? v_load_up_to(in[2], CTK_FLOAT32, i, count) : v_set(0);
        vf second = v_set(0);
        vf first = element_step(operation, function, scale, shift, a, b, c, &second);
        v_store_up_to(out[0], CTK_FLOAT32, i, count, first);
        if (outputs > 1) v_store_up_to(out[1], CTK_FLOAT32, i, count, second);
    }
}

#define WITH_FUNCTION(name, operation)                                                                              \
    static void name(ctk_function function, size_t count, float *const *out, const float *const *in) {              \
        switch (function) {                                                                                         \
        case CTK_SILU: element_loop(operation, CTK_SILU, 1, 0, count, out, in); break;                              \
        case CTK_GELU: element_loop(operation, CTK_GELU, 1, 0, count, out, in); break;                              \
        case CTK_GELU_TANH: element_loop(operation, CTK_GELU_TANH, 1, 0, count, out, in); break;                    \
        case CTK_RELU: element_loop(operation, CTK_RELU, 1, 0, count, out, in); break;                              \
        case CTK_TANH: element_loop(operation, CTK_TANH, 1, 0, count, out, in); break;                              \
        case CTK_EXPONENTIAL: element_loop(operation, CTK_EXPONENTIAL, 1, 0, count, out, in); break;                \
        case CTK_LOGARITHM: element_loop(operation, CTK_LOGARITHM, 1, 0, count, out, in); break;                    \
        case CTK_SQUARE_ROOT: element_loop(operation, CTK_SQUARE_ROOT, 1, 0, count, out, in); break;                \
        }                                                                                                           \
    }

WITH_FUNCTION(apply_chunk, CTK_APPLY)
WITH_FUNCTION(apply_backward_chunk, CTK_APPLY_BACKWARD)
WITH_FUNCTION(gated_chunk, CTK_GATED)
WITH_FUNCTION(gated_backward_chunk, CTK_GATED_BACKWARD)

static void element_chunk(const ctk_element_work *work, size_t count, float *const *out, const float *const *in) {
    switch (work->operation) {
    case CTK_CONVERT: break;
    case CTK_ADD: element_loop(CTK_ADD, CTK_SILU, 1, 0, count, out, in); break;
    case CTK_SUBTRACT: element_loop(CTK_SUBTRACT, CTK_SILU, 1, 0, count, out, in); break;
    case CTK_MULTIPLY: element_loop(CTK_MULTIPLY, CTK_SILU, 1, 0, count, out, in); break;
    case CTK_DIVIDE: element_loop(CTK_DIVIDE, CTK_SILU, 1, 0, count, out, in); break;
    case CTK_AFFINE: element_loop(CTK_AFFINE, CTK_SILU, work->scale, work->shift, count, out, in); break;
    case CTK_APPLY: apply_chunk(work->function, count, out, in); break;
    case CTK_APPLY_BACKWARD: apply_backward_chunk(work->function, count, out, in); break;
    case CTK_GATED: gated_chunk(work->function, count, out, in); break;
    case CTK_GATED_BACKWARD: gated_backward_chunk(work->function, count, out, in); break;
    }
}

static void elements_run(const ctk_element_work *work, char *const *place, const ptrdiff_t *strides, size_t count) {
    _Alignas(64) float buffers[CTK_MAX_OPERANDS][CHUNK];
    size_t outputs = output_count(work->operation), operands = outputs + input_count(work->operation);
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t length = count - start < CHUNK ? count - start : CHUNK;
        const float *in[CTK_MAX_OPERANDS];
        float *out[CTK_MAX_OPERANDS];
        char *here[CTK_MAX_OPERANDS];
        for (size_t i = 0; i < operands; i++) here[i] = place[i] + (ptrdiff_t)start * strides[i] * byte_count(work->types[i]);
        for (size_t i = outputs; i < operands; i++)
            in[i - outputs] = gathered(here[i], work->types[i], strides[i], length, buffers[i]);
        if (work->operation == CTK_CONVERT) {
            scattered(here[0], work->types[0], strides[0], length, in[0]);
            continue;
        }
        for (size_t i = 0; i < outputs; i++) {
            bool direct = work->types[i] == CTK_FLOAT32 && strides[i] == 1;
            out[i] = direct ? (float *)(void *)here[i] : buffers[i];
        }
        element_chunk(work, length, out, in);
        for (size_t i = 0; i < outputs; i++)
            if (out[i] == buffers[i]) scattered(here[i], work->types[i], strides[i], length, buffers[i]);
    }
}

static void level_elements(const ctk_element_work *work, const ctk_loops *loops, size_t first, size_t count) {
    size_t operands = output_count(work->operation) + input_count(work->operation);
    walk w = walk_from(loops, operands, first);
    while (count > 0) {
        size_t run = walk_run(&w, loops, count);
        char *place[CTK_MAX_OPERANDS];
        ptrdiff_t strides[CTK_MAX_OPERANDS];
        for (size_t i = 0; i < operands; i++) {
            place[i] = (char *)work->data[i] + w.places[i] * byte_count(work->types[i]);
            strides[i] = walk_stride(loops, i);
        }
        elements_run(work, place, strides, run);
        count -= run;
        walk_on(&w, loops, operands, run);
    }
}
