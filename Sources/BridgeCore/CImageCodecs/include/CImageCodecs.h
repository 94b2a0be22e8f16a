// Decoding of PNG, JPEG, WebP, GIF and TIFF into memory of the caller.
//
// Each format has two functions: one reads the header, so that the caller can refuse a size before anything is
// allocated for it, and one writes the pixels. Both return a cimg_status; on failure they write one line of text,
// ended by NUL, to `message`, which has room for CIMG_MESSAGE bytes. Nothing of the caller's is kept or freed.
//
// Memory: these functions allocate nothing themselves, but for a strip or a tile of a TIFF file. libpng takes two rows and zlib's window; libjpeg, for a
// progressive file, the coefficients of the whole image, and is stopped beyond a multiple of the pixels; libwebp's
// animation decoder, which is what Pillow decodes with, three canvases of four bytes for each pixel.
#ifndef CIMAGECODECS_H
#define CIMAGECODECS_H

#include <stddef.h>
#include <stdint.h>

#define CIMG_MESSAGE 200

typedef enum {
    CIMG_OK = 0,
    CIMG_TRUNCATED = 1,    // the bytes end before the image does
    CIMG_BROKEN = 2,       // the bytes do not match the format
    CIMG_UNSUPPORTED = 3,  // sound, and not read here
    CIMG_NO_MEMORY = 4,    // the library could not get what it needs
} cimg_status;

// What the bytes of a pixel are.
typedef enum {
    CIMG_GREY = 1,    // 1 byte
    CIMG_GREY16 = 2,  // 2 bytes, the high one first
    CIMG_RGB = 3,     // 3 bytes
    CIMG_RGBA = 4,    // 4 bytes, alpha not multiplied in
    CIMG_CMYK = 5,    // 4 bytes as they are stored: inverted, as Adobe's programs write them
    CIMG_PALETTE = 6, // 1 byte, an index of the palette
    CIMG_BILEVEL = 7, // 1 byte, 0 or 255
} cimg_layout;

typedef struct {
    uint32_t width;
    uint32_t height;
    uint32_t layout;        // a cimg_layout
    uint32_t has_key;       // whether one colour is transparent
    uint16_t key[4];        // that colour as the file has it: an index, a grey, or red, green and blue
    uint32_t alphas;        // how many entries of the palette have an alpha of their own
    uint8_t palette[1024];  // red, green, blue and alpha of 256 entries
} cimg_header;

cimg_status cimg_png_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message);
cimg_status cimg_jpeg_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message);
cimg_status cimg_webp_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message);
cimg_status cimg_gif_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message);
cimg_status cimg_tiff_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message);

// `header` is what the function above gave for the same bytes; `pixels` has room for width x height pixels of its
// layout, rows from the top, with nothing between them.
cimg_status cimg_png_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                            char *message);
cimg_status cimg_jpeg_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message);
// The first image of an animation.
cimg_status cimg_webp_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message);
// The first image of an animation, on the canvas of all of them.
cimg_status cimg_gif_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                            char *message);
// The first image of the file.
cimg_status cimg_tiff_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message);

#endif
