// Walking over loops of several operands in row-major order, one run of the innermost loop at a time.
#ifndef WALK_H
#define WALK_H

#include "CTensorKernels.h"

typedef struct walk {
    size_t index[CTK_MAX_RANK];
    ptrdiff_t places[CTK_MAX_OPERANDS]; // in elements
} walk;

static inline ptrdiff_t walk_stride(const ctk_loops *loops, size_t operand) {
    return loops->strides[(operand + 1) * loops->rank - 1];
}

// The walk's state at element `first`.
static inline walk walk_from(const ctk_loops *loops, size_t operands, size_t first) {
    walk w = {0};
    for (size_t dimension = loops->rank; dimension-- > 0;) {
        w.index[dimension] = first % loops->sizes[dimension];
        first /= loops->sizes[dimension];
        for (size_t i = 0; i < operands; i++)
            w.places[i] += (ptrdiff_t)w.index[dimension] * loops->strides[i * loops->rank + dimension];
    }
    return w;
}

// How many elements are left in the innermost loop, `most` at the most.
static inline size_t walk_run(const walk *w, const ctk_loops *loops, size_t most) {
    size_t left = loops->sizes[loops->rank - 1] - w->index[loops->rank - 1];
    return left < most ? left : most;
}

// Advances by a run.
static inline void walk_on(walk *w, const ctk_loops *loops, size_t operands, size_t run) {
    size_t step = run;
    for (size_t dimension = loops->rank; dimension-- > 0;) {
        w->index[dimension] += step;
        for (size_t i = 0; i < operands; i++)
            w->places[i] += (ptrdiff_t)step * loops->strides[i * loops->rank + dimension];
        if (w->index[dimension] < loops->sizes[dimension]) return;
        for (size_t i = 0; i < operands; i++)
            w->places[i] -= (ptrdiff_t)w->index[dimension] * loops->strides[i * loops->rank + dimension];
        w->index[dimension] = 0;
        step = 1;
    }
}

static inline ptrdiff_t byte_count(ctk_type type) {
    static const ptrdiff_t widths[] = {4, 2, 2, 8, 1, 1};
    return widths[type];
}

#endif
