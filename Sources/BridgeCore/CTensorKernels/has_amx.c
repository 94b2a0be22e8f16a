// A file of its own, so that the library of Tests/AMXEmulation can replace it.
#include "kernels.h"

#if defined(__x86_64__) && defined(__linux__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

bool ctk_has_amx(void) {
    enum { REQUEST_PERMISSION = 0x1023, TILE_DATA = 18, AMX_BF16 = 1 << 22, AMX_TILE = 1 << 24 };
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (AMX_BF16 | AMX_TILE)) != (AMX_BF16 | AMX_TILE)) return false;
    // The kernels use AVX-512 BF16 and VNNI as well, and the system has to grant the use of tiles.
    return __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vnni")
           && syscall(SYS_arch_prctl, REQUEST_PERMISSION, TILE_DATA) == 0;
}
#else
bool ctk_has_amx(void) { return false; }
#endif
