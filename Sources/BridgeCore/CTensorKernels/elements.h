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

// All operands have one type, which is known when this is compiled.
INLINE void element_loop(ctk_element_operation operation, ctk_function function, ctk_type type, float scale, float shift,
                         size_t count, void *const *out, const void *const *in) {
    size_t inputs = input_count(operation), outputs = output_count(operation), i = 0;
    for (; i + LANES <= count; i += LANES) {
        vf a = v_load_as(in[0], type, i);
        vf b = inputs > 1 ? v_load_as(in[1], type, i) : v_set(0);
        vf c = inputs > 2 ? v_load_as(in[2], type, i) : v_set(0);
        vf second = v_set(0);
        vf first = element_step(operation, function, scale, shift, a, b, c, &second);
        v_store_as(out[0], type, i, first);
        if (outputs > 1) v_store_as(out[1], type, i, second);
    }
    if (i == count) return;
    vf a = v_load_part(in[0], type, i, count - i);
    vf b = inputs > 1 ? v_load_part(in[1], type, i, count - i) : v_set(0);
    vf c = inputs > 2 ? v_load_part(in[2], type, i, count - i) : v_set(0);
    vf second = v_set(0);
    v_store_part(out[0], type, i, count - i, element_step(operation, function, scale, shift, a, b, c, &second));
    if (outputs > 1) v_store_part(out[1], type, i, count - i, second);
}

#define OF_TYPE(operation, function, scale, shift)                                                                  \
    if (type == CTK_BFLOAT16) element_loop(operation, function, CTK_BFLOAT16, scale, shift, count, out, in);        \
    else element_loop(operation, function, CTK_FLOAT32, scale, shift, count, out, in);                              \
    break

#define WITH_FUNCTION(name, operation)                                                                              \
    static void name(ctk_function function, ctk_type type, size_t count, void *const *out, const void *const *in) { \
        switch (function) {                                                                                         \
        case CTK_SILU: OF_TYPE(operation, CTK_SILU, 1, 0);                                                          \
        case CTK_GELU: OF_TYPE(operation, CTK_GELU, 1, 0);                                                          \
        case CTK_GELU_TANH: OF_TYPE(operation, CTK_GELU_TANH, 1, 0);                                                \
        case CTK_RELU: OF_TYPE(operation, CTK_RELU, 1, 0);                                                          \
        case CTK_TANH: OF_TYPE(operation, CTK_TANH, 1, 0);                                                          \
        case CTK_EXPONENTIAL: OF_TYPE(operation, CTK_EXPONENTIAL, 1, 0);                                            \
        case CTK_LOGARITHM: OF_TYPE(operation, CTK_LOGARITHM, 1, 0);                                                \
        case CTK_SQUARE_ROOT: OF_TYPE(operation, CTK_SQUARE_ROOT, 1, 0);                                            \
        }                                                                                                           \
    }

WITH_FUNCTION(apply_chunk, CTK_APPLY)
WITH_FUNCTION(apply_backward_chunk, CTK_APPLY_BACKWARD)
WITH_FUNCTION(gated_chunk, CTK_GATED)
WITH_FUNCTION(gated_backward_chunk, CTK_GATED_BACKWARD)

static void element_chunk(const ctk_element_work *work, ctk_type type, size_t count, void *const *out,
                          const void *const *in) {
    switch (work->operation) {
    case CTK_CONVERT: break;
    case CTK_ADD: OF_TYPE(CTK_ADD, CTK_SILU, 1, 0);
    case CTK_SUBTRACT: OF_TYPE(CTK_SUBTRACT, CTK_SILU, 1, 0);
    case CTK_MULTIPLY: OF_TYPE(CTK_MULTIPLY, CTK_SILU, 1, 0);
    case CTK_DIVIDE: OF_TYPE(CTK_DIVIDE, CTK_SILU, 1, 0);
    case CTK_AFFINE: OF_TYPE(CTK_AFFINE, CTK_SILU, work->scale, work->shift);
    case CTK_APPLY: apply_chunk(work->function, type, count, out, in); break;
    case CTK_APPLY_BACKWARD: apply_backward_chunk(work->function, type, count, out, in); break;
    case CTK_GATED: gated_chunk(work->function, type, count, out, in); break;
    case CTK_GATED_BACKWARD: gated_backward_chunk(work->function, type, count, out, in); break;
    }
}

// Whether all operands are bfloat16 without gaps, and go through no buffers.
INLINE bool are_plain(const ctk_element_work *work, const ptrdiff_t *strides, size_t operands) {
    for (size_t i = 0; i < operands; i++)
        if (work->types[i] != CTK_BFLOAT16 || strides[i] != 1) return false;
    return work->operation != CTK_CONVERT;
}

static void elements_run(const ctk_element_work *work, char *const *place, const ptrdiff_t *strides, size_t count) {
    _Alignas(64) float buffers[CTK_MAX_OPERANDS][CHUNK];
    size_t outputs = output_count(work->operation), operands = outputs + input_count(work->operation);
    if (are_plain(work, strides, operands)) {
        element_chunk(work, CTK_BFLOAT16, count, (void *const *)place, (const void *const *)(place + outputs));
        return;
    }
    for (size_t start = 0; start < count; start += CHUNK) {
        size_t length = count - start < CHUNK ? count - start : CHUNK;
        const void *in[CTK_MAX_OPERANDS];
        void *out[CTK_MAX_OPERANDS];
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
            out[i] = direct ? (void *)here[i] : buffers[i];
        }
        element_chunk(work, CTK_FLOAT32, length, out, in);
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
