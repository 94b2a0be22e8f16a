#include <string.h>

#include "walk.h"

#define COPY(type)                                                                                                  \
    for (size_t i = 0; i < run; i++)                                                                                \
        memcpy(out + (ptrdiff_t)i * out_stride * (ptrdiff_t)sizeof(type),                                           \
               in + (ptrdiff_t)i * in_stride * (ptrdiff_t)sizeof(type), sizeof(type));

void ctk_copy(void *target, const void *source, size_t width, const ctk_loops *loops, size_t first, size_t count) {
    ptrdiff_t out_stride = walk_stride(loops, 0), in_stride = walk_stride(loops, 1);
    walk w = walk_from(loops, 2, first);
    while (count > 0) {
        size_t run = walk_run(&w, loops, count);
        char *out = (char *)target + w.places[0] * (ptrdiff_t)width;
        const char *in = (const char *)source + w.places[1] * (ptrdiff_t)width;
        if (out_stride == 1 && in_stride == 1) {
            memcpy(out, in, run * width);
        } else {
            switch (width) {
            case 1: COPY(uint8_t) break;
            case 2: COPY(uint16_t) break;
            case 4: COPY(uint32_t) break;
            case 8: COPY(uint64_t) break;
            }
        }
        count -= run;
        walk_on(&w, loops, 2, run);
    }
}
