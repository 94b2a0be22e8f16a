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

int ccomp_gunzip(const uint8_t *in, size_t count, ccomp_take take, void *context) {
    uint8_t out[1 << 16];
    z_stream stream;
    memset(&stream, 0, sizeof stream);
    if (inflateInit2(&stream, 15 + 16) != Z_OK) return -1;
    int result = 0, status = Z_OK;
    size_t left = count;
    stream.next_in = (uint8_t *)in;
    while (result == 0) {
        // zlib counts in 32 bits.
        if (stream.avail_in == 0) {
            stream.avail_in = (uInt)(left > INT_MAX ? INT_MAX : left);
            left -= stream.avail_in;
        }
        stream.next_out = out;
        stream.avail_out = sizeof out;
        status = inflate(&stream, Z_NO_FLUSH);
        size_t made = sizeof out - stream.avail_out;
        if (made > 0 && !take(context, out, made)) {
            result = -1;
        } else if (status == Z_STREAM_END) {
            if (stream.avail_in == 0 && left == 0) {
                result = 1;
            } else if (inflateReset(&stream) != Z_OK) {
                result = -1;
            }
        } else if (status != Z_OK || (made == 0 && stream.avail_in == 0 && left == 0)) {
            break;
        }
    }
    inflateEnd(&stream);
    return result;
}

int ccomp_unzstd(const uint8_t *in, size_t count, ccomp_take take, void *context) {
    uint8_t out[1 << 16];
    ZSTD_DStream *stream = ZSTD_createDStream();
    if (stream == NULL) return -1;
    // A window of 128 MiB is the largest that the program zstd unpacks without being asked to.
    ZSTD_DCtx_setParameter(stream, ZSTD_d_windowLogMax, 27);
    ZSTD_inBuffer input = {.src = in, .size = count, .pos = 0};
    int result = 0;
    size_t status = 1;
    while (result == 0) {
        ZSTD_outBuffer output = {.dst = out, .size = sizeof out, .pos = 0};
        size_t before = input.pos;
        status = ZSTD_decompressStream(stream, &output, &input);
        if (ZSTD_isError(status)) break;
        if (output.pos > 0 && !take(context, out, output.pos)) {
            result = -1;
        } else if (status == 0 && input.pos == input.size) {
            result = 1;
        } else if (output.pos == 0 && input.pos == before) {
            break;
        }
    }
    ZSTD_freeDStream(stream);
    return result;
}

uint32_t ccomp_crc32(const uint8_t *in, size_t count) { return (uint32_t)crc32_z(crc32_z(0, NULL, 0), in, count); }
