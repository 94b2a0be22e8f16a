// Calls of functions whose signatures are known at run time, through libffi.
#ifndef CFFI_H
#define CFFI_H

#include <stdint.h>

// Calls a function that returns int32_t. `kinds` has a letter for each argument: p for a pointer, d for a double, l for an
// int64_t; `values` has the address of each. Returns 0 and the function's result, or -1 for a signature that libffi refuses.
int cffi_call(const void *function, const char *kinds, void **values, int32_t *result);

#endif
