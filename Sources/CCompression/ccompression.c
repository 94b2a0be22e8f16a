#include "ccompression.h"

#include <limits.h>
#include <snappy-c.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

int ccomp_snappy(const uint8_t *in, size_t count, uint8_t *out, size_t size) {
    size_t found = 0;
    if (snappy_uncompressed_length((const char *)in, count, &found) != SNAPPY_OK || found != size) return 0;
    return snappy_uncompress((const char *)in, count, (char *)out, &found) == SNAPPY_OK && found == size;
}

int ccomp_gzip(const uint8_t *in, size_t count, uint8_t *out, size_t size) {
    // zlib counts in 32 bits; a page is never larger.
    if (count > INT_MAX || size > INT_MAX) return 0;
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    // 15 bits of window; 32 on top: gzip or zlib by what the header says.
    if (inflateInit2(&stream, 15 + 32) != Z_OK) return 0;
    uint8_t none = 0;
    stream.next_in = (uint8_t *)in;
    stream.avail_in = (uInt)count;
    stream.next_out = size > 0 ? out : &none;
    stream.avail_out = (uInt)size;
    int status = Z_OK;
    for (;;) {
        status = inflate(&stream, Z_FINISH);
        if (status != Z_STREAM_END || stream.avail_in == 0) break;
        if (inflateReset(&stream) != Z_OK) break;
    }
    int good = status == Z_STREAM_END && stream.avail_in == 0 && stream.avail_out == 0;
    inflateEnd(&stream);
    return good;
}

int ccomp_zstd(const uint8_t *in, size_t count, uint8_t *out, size_t size) {
    size_t found = ZSTD_decompress(out, size, in, count);
    return !ZSTD_isError(found) && found == size;
}

uint32_t ccomp_crc32(const uint8_t *in, size_t count) { return (uint32_t)crc32_z(crc32_z(0, NULL, 0), in, count); }
