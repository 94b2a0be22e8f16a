#include "CImageCodecs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

// More bytes than any tile of a file that is meant to be looked at.
#define CIMG_TIFF_LARGEST_TILE (1 << 28)

typedef struct {
    const uint8_t *bytes;
    size_t count;
    size_t position;
    char *message;
    TIFF *tiff;
    cimg_header header;
    uint16_t bits, samples, format, photometric, planar;
    int channels;   // how many samples become channels of a pixel
    int inverted;   // whether 0 is white
    int multiplied; // whether alpha is multiplied in
} cimg_tiff;

static tmsize_t cimg_tiff_read(thandle_t handle, void *out, tmsize_t wanted) {
    cimg_tiff *self = (cimg_tiff *)handle;
    if (wanted < 0 || self->position >= self->count) return 0;
    size_t left = self->count - self->position, taken = (size_t)wanted < left ? (size_t)wanted : left;
    memcpy(out, self->bytes + self->position, taken);
    self->position += taken;
    return (tmsize_t)taken;
}

static tmsize_t cimg_tiff_write(thandle_t handle, void *bytes, tmsize_t count) {
    (void)handle;
    (void)bytes;
    (void)count;
    return 0;
}

static toff_t cimg_tiff_seek(thandle_t handle, toff_t offset, int from) {
    cimg_tiff *self = (cimg_tiff *)handle;
    toff_t start = from == SEEK_CUR ? self->position : from == SEEK_END ? self->count : 0;
    self->position = start + offset > self->count ? self->count : (size_t)(start + offset);
    return start + offset;
}

static int cimg_tiff_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t cimg_tiff_size(thandle_t handle) { return ((cimg_tiff *)handle)->count; }

static int cimg_tiff_map(thandle_t handle, void **base, toff_t *size) {
    cimg_tiff *self = (cimg_tiff *)handle;
    *base = (void *)self->bytes;
    *size = self->count;
    return 1;
}

static void cimg_tiff_unmap(thandle_t handle, void *base, toff_t size) {
    (void)handle;
    (void)base;
    (void)size;
}

static cimg_status cimg_tiff_fail(cimg_tiff *self, cimg_status status, const char *text) {
    if (self->message[0] == 0) snprintf(self->message, CIMG_MESSAGE, "%s", text);
    return status;
}

#if TIFFLIB_VERSION >= 20221213
static int cimg_tiff_error(TIFF *tiff, void *data, const char *module, const char *format, va_list arguments) {
    (void)tiff;
    (void)module;
    cimg_tiff *self = data;
    if (self->message[0] == 0) vsnprintf(self->message, CIMG_MESSAGE, format, arguments);
    for (char *c = self->message; *c != 0; c++) {
        if (*c == '\n' || *c == '\r') *c = ' ';
    }
    return 1;
}

static int cimg_tiff_warning(TIFF *tiff, void *data, const char *module, const char *format, va_list arguments) {
    (void)tiff;
    (void)data;
    (void)module;
    (void)format;
    (void)arguments;
    return 1;
}
#endif

static int cimg_tiff_open(cimg_tiff *self) {
#if TIFFLIB_VERSION >= 20221213
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (options == NULL) return 0;
    TIFFOpenOptionsSetErrorHandlerExtR(options, cimg_tiff_error, self);
    TIFFOpenOptionsSetWarningHandlerExtR(options, cimg_tiff_warning, self);
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, (tmsize_t)1 << 30);
    self->tiff = TIFFClientOpenExt("image", "r", self, cimg_tiff_read, cimg_tiff_write, cimg_tiff_seek, cimg_tiff_close,
                                   cimg_tiff_size, cimg_tiff_map, cimg_tiff_unmap, options);
    TIFFOpenOptionsFree(options);
#else
    // Older versions have handlers for the whole process only.
    TIFFSetErrorHandler(NULL);
    TIFFSetWarningHandler(NULL);
    self->tiff = TIFFClientOpen("image", "r", self, cimg_tiff_read, cimg_tiff_write, cimg_tiff_seek, cimg_tiff_close,
                                cimg_tiff_size, cimg_tiff_map, cimg_tiff_unmap);
#endif
    return self->tiff != NULL;
}

static cimg_status cimg_tiff_palette(cimg_tiff *self) {
    uint16_t *red = NULL, *green = NULL, *blue = NULL;
    if (!TIFFGetField(self->tiff, TIFFTAG_COLORMAP, &red, &green, &blue) || red == NULL) {
        return cimg_tiff_fail(self, CIMG_BROKEN, "there is no palette");
    }
    for (int index = 0; index < 256; index++) {
        uint8_t *entry = self->header.palette + 4 * index;
        entry[3] = 255;
        if (index >= 1 << self->bits) continue;
        entry[0] = (uint8_t)(red[index] >> 8);
        entry[1] = (uint8_t)(green[index] >> 8);
        entry[2] = (uint8_t)(blue[index] >> 8);
    }
    self->header.layout = CIMG_PALETTE;
    return CIMG_OK;
}

static uint64_t cimg_tiff_number(const cimg_tiff *self, size_t offset, size_t width) {
    uint64_t value = 0;
    if (offset > self->count || width > self->count - offset) return 0;
    for (size_t i = 0; i < width; i++) {
        size_t place = self->bytes[0] == 'M' ? i : width - 1 - i;
        value = value << 8 | self->bytes[offset + place];
    }
    return value;
}

// Whether the first directory has a tag: libtiff supplies a default for extra samples where the file has none.
static int cimg_tiff_says(const cimg_tiff *self, uint16_t tag) {
    int is_big = cimg_tiff_number(self, 2, 2) == 43;
    uint64_t directory = cimg_tiff_number(self, is_big ? 8 : 4, is_big ? 8 : 4);
    if (directory > self->count) return 0;
    uint64_t entries = cimg_tiff_number(self, (size_t)directory, is_big ? 8 : 2);
    size_t place = (size_t)directory + (is_big ? 8 : 2), width = is_big ? 20 : 12;
    for (uint64_t entry = 0; entry < entries && place < self->count; entry++, place += width) {
        if (cimg_tiff_number(self, place, 2) == tag) return 1;
    }
    return 0;
}

// Determines the meaning of the samples; other combinations are not supported by Pillow either, or are not used.
static cimg_status cimg_tiff_layout(cimg_tiff *self) {
    uint16_t count = 0, *extra = NULL, compression = 0;
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_EXTRASAMPLES, &count, &extra);
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_COMPRESSION, &compression);
    uint16_t alpha = count > 0 && extra != NULL && cimg_tiff_says(self, TIFFTAG_EXTRASAMPLES) ? extra[0] : 65535;
    int whole = self->bits == 8 || self->bits == 16, is_unsigned = self->format == SAMPLEFORMAT_UINT;
    self->channels = 1;
    switch (self->photometric) {
    case PHOTOMETRIC_MINISWHITE:
    case PHOTOMETRIC_MINISBLACK:
        // Sixteen bits and more are taken as they are.
        self->inverted = self->photometric == PHOTOMETRIC_MINISWHITE && self->bits <= 8;
        if (self->samples == 2 && self->bits == 8 && is_unsigned && !self->inverted && (alpha == 0 || alpha == 2)) {
            self->header.layout = alpha == 2 ? CIMG_RGBA : CIMG_GREY;
            self->channels = alpha == 2 ? 2 : 1;
            return CIMG_OK;
        }
        if (self->samples != 1) break;
        if (self->bits == 16 && is_unsigned) {
            self->header.layout = CIMG_GREY16;
            return CIMG_OK;
        }
        self->header.layout = self->bits == 1 ? CIMG_BILEVEL : CIMG_GREY;
        if (self->bits <= 8 && (is_unsigned || self->bits == 8)) return CIMG_OK;
        if ((self->bits == 16 || self->bits == 32) && self->format == SAMPLEFORMAT_INT) return CIMG_OK;
        if (self->bits == 32 && (is_unsigned || self->format == SAMPLEFORMAT_IEEEFP)) return CIMG_OK;
        break;
    case PHOTOMETRIC_PALETTE:
        if (self->samples == 1 && self->bits <= 8) return cimg_tiff_palette(self);
        break;
    case PHOTOMETRIC_YCBCR:
        if (compression != COMPRESSION_JPEG || self->bits != 8 || self->samples != 3) break;
        TIFFSetField(self->tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
        self->header.layout = CIMG_RGB;
        self->channels = 3;
        return CIMG_OK;
    case PHOTOMETRIC_RGB:
        if (!whole || !is_unsigned || self->samples < 3 || self->samples > 6) break;
        if (self->samples > 4 && self->bits != 8) break;
        // A fourth sample without a specified meaning is alpha.
        if (self->samples == 3 || alpha == 0) {
            self->header.layout = CIMG_RGB;
            self->channels = 3;
            return CIMG_OK;
        }
        self->header.layout = CIMG_RGBA;
        self->channels = 4;
        self->multiplied = alpha == 1;
        return CIMG_OK;
    case PHOTOMETRIC_SEPARATED:
        if (!whole || !is_unsigned || self->samples < 4 || self->samples > 6) break;
        self->header.layout = CIMG_CMYK;
        self->channels = 4;
        self->inverted = 1;
        return CIMG_OK;
    default: break;
    }
    snprintf(self->message, CIMG_MESSAGE, "%d samples of %d bits with the photometric interpretation %d", self->samples,
             self->bits, self->photometric);
    return CIMG_UNSUPPORTED;
}

static cimg_status cimg_tiff_start(cimg_tiff *self) {
    if (!cimg_tiff_open(self)) return cimg_tiff_fail(self, CIMG_BROKEN, "the header is not sound");
    uint32_t width = 0, height = 0;
    if (!TIFFGetField(self->tiff, TIFFTAG_IMAGEWIDTH, &width) || !TIFFGetField(self->tiff, TIFFTAG_IMAGELENGTH, &height)) {
        return cimg_tiff_fail(self, CIMG_BROKEN, "the size is missing");
    }
    self->header.width = width;
    self->header.height = height;
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_BITSPERSAMPLE, &self->bits);
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_SAMPLESPERPIXEL, &self->samples);
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_SAMPLEFORMAT, &self->format);
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_PLANARCONFIG, &self->planar);
    if (!TIFFGetField(self->tiff, TIFFTAG_PHOTOMETRIC, &self->photometric)) self->photometric = 0;
    if (self->bits != 1 && self->bits != 2 && self->bits != 4 && self->bits != 8 && self->bits != 16 && self->bits != 32) {
        snprintf(self->message, CIMG_MESSAGE, "samples of %d bits", self->bits);
        return CIMG_UNSUPPORTED;
    }
    return cimg_tiff_layout(self);
}

static uint8_t cimg_tiff_clip(double value) { return value >= 255 ? 255 : value > 0 ? (uint8_t)value : 0; }

// A sample as a byte: the high byte of 16 bits, clipped where Pillow clips; fewer than 8 bits are scaled to 0...255.
static uint8_t cimg_tiff_sample(const cimg_tiff *self, const uint8_t *row, size_t index) {
    uint8_t value = 0;
    uint16_t two;
    uint32_t four;
    float real;
    switch (self->bits) {
    case 8: value = row[index]; break;
    case 16:
        memcpy(&two, row + 2 * index, 2);
        value = self->format == SAMPLEFORMAT_INT ? cimg_tiff_clip((int16_t)two) : (uint8_t)(two >> 8);
        break;
    case 32:
        memcpy(&four, row + 4 * index, 4);
        memcpy(&real, row + 4 * index, 4);
        value = self->format == SAMPLEFORMAT_IEEEFP ? cimg_tiff_clip(real) : cimg_tiff_clip((int32_t)four);
        break;
    default: {
        size_t bit = index * self->bits;
        value = (uint8_t)(row[bit / 8] >> (8 - self->bits - bit % 8) & ((1 << self->bits) - 1));
        if (self->header.layout != CIMG_PALETTE) value = (uint8_t)(value * (255 / ((1 << self->bits) - 1)));
    }
    }
    return self->inverted ? (uint8_t)(255 - value) : value;
}

// Writes a part of a row: all channels of it, or the one of a plane.
static void cimg_tiff_put(const cimg_tiff *self, const uint8_t *row, size_t x, size_t y, size_t count, int plane,
                          uint8_t *pixels) {
    size_t place = y * self->header.width + x;
    if (self->header.layout == CIMG_GREY16) {
        for (size_t i = 0; i < count; i++) {
            uint16_t value;
            memcpy(&value, row + 2 * i, 2);
            pixels[2 * (place + i)] = (uint8_t)(value >> 8);
            pixels[2 * (place + i) + 1] = (uint8_t)value;
        }
        return;
    }
    int width = self->channels == 2 ? 4 : self->channels;
    for (size_t i = 0; i < count; i++) {
        uint8_t *out = pixels + (place + i) * (size_t)width;
        for (int c = plane < 0 ? 0 : plane; c < (plane < 0 ? self->channels : plane + 1); c++) {
            uint8_t value = cimg_tiff_sample(self, row, plane < 0 ? i * self->samples + (size_t)c : i);
            if (self->channels != 2) {
                out[c] = value;
            } else if (c == 0) {
                out[0] = out[1] = out[2] = value;
            } else {
                out[3] = value;
            }
        }
    }
}

static cimg_status cimg_tiff_strips(cimg_tiff *self, uint8_t *buffer, tmsize_t size, uint8_t *pixels) {
    uint32_t rows = 0;
    TIFFGetFieldDefaulted(self->tiff, TIFFTAG_ROWSPERSTRIP, &rows);
    if (rows == 0) return cimg_tiff_fail(self, CIMG_BROKEN, "its strips have no rows");
    size_t stride = (size_t)TIFFScanlineSize(self->tiff);
    int planes = self->planar == PLANARCONFIG_SEPARATE ? self->channels : 1;
    for (int plane = 0; plane < planes; plane++) {
        for (size_t y = 0; y < self->header.height; y += rows) {
            uint32_t strip = TIFFComputeStrip(self->tiff, (uint32_t)y, (uint16_t)plane);
            size_t left = self->header.height - y < rows ? self->header.height - y : rows;
            tmsize_t found = TIFFReadEncodedStrip(self->tiff, strip, buffer, size);
            if (found < 0 || (size_t)found < left * stride) {
                return cimg_tiff_fail(self, CIMG_TRUNCATED, "a strip ends early");
            }
            for (size_t row = 0; row < left; row++) {
                cimg_tiff_put(self, buffer + row * stride, 0, y + row, self->header.width, planes > 1 ? plane : -1, pixels);
            }
        }
    }
    return CIMG_OK;
}

static cimg_status cimg_tiff_tiles(cimg_tiff *self, uint8_t *buffer, tmsize_t size, uint8_t *pixels) {
    uint32_t width = 0, height = 0;
    TIFFGetField(self->tiff, TIFFTAG_TILEWIDTH, &width);
    TIFFGetField(self->tiff, TIFFTAG_TILELENGTH, &height);
    size_t stride = (size_t)TIFFTileRowSize(self->tiff);
    if (width == 0 || height == 0 || stride == 0 || (size_t)size / stride < height) {
        return cimg_tiff_fail(self, CIMG_BROKEN, "its tiles have no size");
    }
    int planes = self->planar == PLANARCONFIG_SEPARATE ? self->channels : 1;
    for (int plane = 0; plane < planes; plane++) {
        for (size_t y = 0; y < self->header.height; y += height) {
            for (size_t x = 0; x < self->header.width; x += width) {
                uint32_t tile = TIFFComputeTile(self->tiff, (uint32_t)x, (uint32_t)y, 0, (uint16_t)plane);
                if (TIFFReadEncodedTile(self->tiff, tile, buffer, size) < size) {
                    return cimg_tiff_fail(self, CIMG_TRUNCATED, "a tile ends early");
                }
                size_t rows = self->header.height - y < height ? self->header.height - y : height;
                size_t columns = self->header.width - x < width ? self->header.width - x : width;
                for (size_t row = 0; row < rows; row++) {
                    cimg_tiff_put(self, buffer + row * stride, x, y + row, columns, planes > 1 ? plane : -1, pixels);
                }
            }
        }
    }
    return CIMG_OK;
}

static cimg_status cimg_tiff_all(cimg_tiff *self, uint8_t *pixels) {
    int tiled = TIFFIsTiled(self->tiff);
    tmsize_t size = tiled ? TIFFTileSize(self->tiff) : TIFFStripSize(self->tiff);
    // A strip may have all rows, whose number has been checked; a tile may be larger than the image.
    if (size <= 0 || (tiled && size > CIMG_TIFF_LARGEST_TILE)) {
        return cimg_tiff_fail(self, CIMG_UNSUPPORTED, "its tiles or strips are too large");
    }
    uint8_t *buffer = malloc((size_t)size);
    if (buffer == NULL) return cimg_tiff_fail(self, CIMG_NO_MEMORY, "there is no memory for a strip");
    cimg_status status = tiled ? cimg_tiff_tiles(self, buffer, size, pixels) : cimg_tiff_strips(self, buffer, size, pixels);
    free(buffer);
    if (status != CIMG_OK || !self->multiplied) return status;
    size_t pixel_count = (size_t)self->header.width * self->header.height;
    for (size_t i = 0; i < pixel_count; i++) {
        uint8_t *pixel = pixels + 4 * i;
        for (int c = 0; c < 3; c++) {
            int value = pixel[3] == 0 ? 0 : pixel[c] * 255 / pixel[3];
            pixel[c] = (uint8_t)(value > 255 ? 255 : value);
        }
    }
    return CIMG_OK;
}

static cimg_status cimg_tiff_decode(cimg_tiff *self, const cimg_header *expected, uint8_t *pixels) {
    self->message[0] = 0;
    cimg_status status = cimg_tiff_start(self);
    if (status == CIMG_OK && pixels != NULL) {
        status = memcmp(&self->header, expected, sizeof self->header) == 0
                     ? cimg_tiff_all(self, pixels)
                     : cimg_tiff_fail(self, CIMG_BROKEN, "the header has changed");
    }
    if (self->tiff != NULL) TIFFClose(self->tiff);
    return status;
}

cimg_status cimg_tiff_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message) {
    cimg_tiff self = {.bytes = bytes, .count = count, .message = message};
    cimg_status status = cimg_tiff_decode(&self, NULL, NULL);
    *header = self.header;
    return status;
}

cimg_status cimg_tiff_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message) {
    cimg_tiff self = {.bytes = bytes, .count = count, .message = message};
    return cimg_tiff_decode(&self, header, pixels);
}
