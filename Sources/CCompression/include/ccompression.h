#ifndef CCOMPRESSION_H
#define CCOMPRESSION_H

#include <stddef.h>
#include <stdint.h>

// Each decompresses `count` bytes into exactly `size` bytes and returns 1; 0 when the input is damaged or of another size.
int ccomp_snappy(const uint8_t *in, size_t count, uint8_t *out, size_t size);
// One or more gzip or zlib members, one behind the other.
int ccomp_gzip(const uint8_t *in, size_t count, uint8_t *out, size_t size);
int ccomp_zstd(const uint8_t *in, size_t count, uint8_t *out, size_t size);

// The CRC-32 of gzip and PNG.
uint32_t ccomp_crc32(const uint8_t *in, size_t count);

#endif
