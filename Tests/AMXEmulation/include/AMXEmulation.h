// Bridge's kernels for AMX and AVX-512 BF16, compiled a second time with emulated instructions.
//
// Loaded before libBridgeCore.so (LD_PRELOAD), the library takes the place of ctk_has_amx, of ctk_amx_* and of the tables
// kernels_amx and kernels_avx512_bf16: tests and the program then run the AMX level on a processor with AVX-512 alone.
// What ships has no emulation in it and no setting that would look for one.
#ifndef AMX_EMULATION_H
#define AMX_EMULATION_H
#endif
