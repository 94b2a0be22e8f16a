// The only thing that crosses between the core and a plugin before both are known to fit: a C struct of C strings.
//
// Every function here is `static inline`, so that the values are those of the moment when the *plugin* was compiled.
#ifndef BRIDGE_PLUGIN_H
#define BRIDGE_PLUGIN_H

#include <stdint.h>

// Made by `make` from the sources of the core; without it two builds of one version count as the same.
#if __has_include("bridge_core_build.h")
#include "bridge_core_build.h"
#else
#define BRIDGE_CORE_FINGERPRINT "unstamped"
#endif

#define BRIDGE_PLUGIN_ABI_VERSION 1u
#define BRIDGE_CORE_VERSION "0.1.0"

typedef struct bridge_plugin_descriptor {
    uint32_t abi_version;
    uint32_t byte_count;        // sizeof this struct, for a later version that adds fields at its end
    const char *core_build;     // version and fingerprint of the core that the plugin was compiled against
    const char *compiler;       // the compiler that the plugin was compiled with
    const char *name;
    const char *version;
} bridge_plugin_descriptor;

// A kernel: a C function with its signature as a text, see KernelSignature in the module NativeKernels.
typedef struct bridge_kernel {
    const char *name;
    const char *signature;
    const char *symbol;         // the function, exported by the library
    const char *backward;       // the function of the gradients; NULL for none
} bridge_kernel;

typedef struct bridge_kernel_table {
    uint32_t byte_count;        // sizeof(bridge_kernel)
    uint32_t count;
    const bridge_kernel *kernels;
} bridge_kernel_table;

// What a plugin may export besides, or instead of bridge_plugin_make: then it has kernels only, and its core_build and compiler
// are not compared.
typedef const bridge_kernel_table *(*bridge_plugin_kernels_function)(void);

// What a plugin exports: `const bridge_plugin_descriptor *bridge_plugin_abi(void)` and `void *bridge_plugin_make(void)`.
typedef const bridge_plugin_descriptor *(*bridge_plugin_abi_function)(void);
typedef void *(*bridge_plugin_make_function)(void);

static inline uint32_t bridge_plugin_abi_version(void) { return BRIDGE_PLUGIN_ABI_VERSION; }
static inline const char *bridge_core_version(void) { return BRIDGE_CORE_VERSION; }
static inline const char *bridge_core_build(void) { return BRIDGE_CORE_VERSION "+" BRIDGE_CORE_FINGERPRINT; }

// Swift's own clang: its version names the exact compiler sources, so two Swift compilers never share it.
static inline const char *bridge_compiler(void) { return __VERSION__; }

#endif
