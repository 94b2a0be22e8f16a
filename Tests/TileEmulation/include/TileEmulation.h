// The tile instructions of Intel's AMX and the bfloat16 instructions of AVX-512, computed with AVX-512 F and BW alone.
//
// The results are those of the operations in Intel's Software Developer's Manual, volume 2 (TDPBF16PS, VDPBF16PS,
// VCVTNE2PS2BF16), in their order of additions: each sum is rounded to the nearest even, denormal inputs are zeros, and
// denormal results become zeros. What the processor answers with an exception ends the process with a message.
#ifndef TILE_EMULATION_H
#define TILE_EMULATION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// LDTILECFG with 64 bytes of configuration, and TILERELEASE.
void emulated_tile_load_configuration(const void *configuration);
void emulated_tile_release(void);

// TILEZERO, TILELOADD and TILESTORED; strides are in bytes.
void emulated_tile_zero(int tile);
void emulated_tile_load(int tile, const void *source, size_t stride);
void emulated_tile_store(int tile, void *target, size_t stride);

// TDPBF16PS.
void emulated_tile_dot(int sums, int left, int right);

// VDPBF16PS on 16 sums and 16 pairs from each side.
void emulated_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right);

// VCVTNEPS2BF16 on 16 numbers.
void emulated_round(uint16_t *target, const float *source);

// The same by the processor's own instructions; false where it does not have them. `configuration` is 64 bytes, and the
// tiles 16 rows of 64 bytes, of which the configuration says how much is used.
bool processor_tile_dot(const void *configuration, float *sums, const uint16_t *left, const uint16_t *right);
bool processor_dot_pairs(float *sums, const uint16_t *left, const uint16_t *right);
bool processor_round(uint16_t *target, const float *source);

// Whether this machine can run what is emulated.
bool can_emulate_tiles(void);

#endif
