#ifndef CCOMPRESSION_H
#define CCOMPRESSION_H

#include <stddef.h>
#include <stdint.h>

// Each decompresses `count` bytes into exactly `size` bytes and returns 1; 0 when the input is damaged or of another size.
int ccomp_snappy(const uint8_t *in, size_t count, uint8_t *out, size_t size);
// One or more gzip or zlib members, one behind the other.
int ccomp_gzip(const uint8_t *in, size_t count, uint8_t *out, size_t size);
int ccomp_zstd(const uint8_t *in, size_t count, uint8_t *out, size_t size);

// Takes unpacked bytes as they come; 0 ends the unpacking.
typedef int (*ccomp_take)(void *context, const uint8_t *bytes, size_t count);

// Each unpacks all members or frames of a file, one behind the other, and gives the bytes to `take`. Returns 1; 0 when the
// input is damaged or cut short, -1 when `take` has ended it or there is no memory.
int ccomp_gunzip(const uint8_t *in, size_t count, ccomp_take take, void *context);
int ccomp_unzstd(const uint8_t *in, size_t count, ccomp_take take, void *context);

// The CRC-32 of gzip and PNG.
uint32_t ccomp_crc32(const uint8_t *in, size_t count);

#endif
