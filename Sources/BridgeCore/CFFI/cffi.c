#include "CFFI.h"

#include <ffi.h>
#include <string.h>

#define MOST_ARGUMENTS 64

int cffi_call(const void *function, const char *kinds, void **values, int32_t *result) {
    ffi_type *types[MOST_ARGUMENTS];
    size_t count = strlen(kinds);
    if (!function || count > MOST_ARGUMENTS) return -1;
    for (size_t i = 0; i < count; i++) {
        switch (kinds[i]) {
        case 'p': types[i] = &ffi_type_pointer; break;
        case 'd': types[i] = &ffi_type_double; break;
        case 'l': types[i] = &ffi_type_sint64; break;
        default: return -1;
        }
    }
    ffi_cif interface;
    if (ffi_prep_cif(&interface, FFI_DEFAULT_ABI, (unsigned)count, &ffi_type_sint32, types) != FFI_OK) return -1;
    // libffi widens small integers to a register.
    ffi_arg returned = 0;
    ffi_call(&interface, FFI_FN(function), &returned, values);
    *result = (int32_t)returned;
    return 0;
}
