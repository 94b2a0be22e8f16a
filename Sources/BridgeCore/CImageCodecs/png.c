#include "CImageCodecs.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

// Belongs to the outer functions: what is changed after setjmp must not be a local of the function that calls it.
typedef struct {
    const uint8_t *bytes;
    size_t count;
    size_t position;
    char *message;
    cimg_status status;
    png_structp png;
    png_infop info;
    cimg_header header;
    jmp_buf jump;
} cimg_png;

// Chunks that do not change 8-bit pixels; unread, they cannot request memory or fail.
static const png_byte unread[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0sPLT\0sRGB\0"
                                 "tEXt\0tIME\0zTXt";

static void cimg_png_failed(png_structp png, png_const_charp text) {
    cimg_png *self = png_get_error_ptr(png);
    snprintf(self->message, CIMG_MESSAGE, "%s", text);
    if (self->status == CIMG_OK) self->status = strstr(text, "memory") != NULL ? CIMG_NO_MEMORY : CIMG_BROKEN;
    longjmp(self->jump, 1);
}

static void cimg_png_warned(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void cimg_png_read(png_structp png, png_bytep out, size_t wanted) {
    cimg_png *self = png_get_io_ptr(png);
    if (wanted > self->count - self->position) {
        self->status = CIMG_TRUNCATED;
        png_error(png, "the bytes end early");
    }
    memcpy(out, self->bytes + self->position, wanted);
    self->position += wanted;
}

// Reads the palette and its alphas, and requests a byte for each index.
static void cimg_png_palette(cimg_png *self) {
    png_colorp colours = NULL;
    png_bytep alphas = NULL;
    int count = 0, transparent = 0;
    if (png_get_PLTE(self->png, self->info, &colours, &count) == 0) png_error(self->png, "there is no palette");
    if (png_get_tRNS(self->png, self->info, &alphas, &transparent, NULL) == 0) transparent = 0;
    if (alphas == NULL) transparent = 0;
    for (int index = 0; index < 256; index++) {
        uint8_t *entry = self->header.palette + 4 * index;
        if (index < count) {
            entry[0] = colours[index].red;
            entry[1] = colours[index].green;
            entry[2] = colours[index].blue;
        }
        entry[3] = index < transparent ? alphas[index] : 255;
    }
    self->header.layout = CIMG_PALETTE;
    self->header.alphas = (uint32_t)transparent;
    png_set_packing(self->png);
}

// Reads up to the pixels and requests 8 bits of each channel, or 16 bits of grey: Pillow drops the low byte of 16-bit
// colours, and clips 16-bit grey at 255 instead, which the caller does.
static void cimg_png_start(cimg_png *self) {
    png_structp png = self->png;
    png_set_read_fn(png, self, cimg_png_read);
    png_set_user_limits(png, PNG_UINT_31_MAX, PNG_UINT_31_MAX);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, unread, (int)(sizeof unread / 5));
    png_read_info(png, self->info);
    self->header.width = png_get_image_width(png, self->info);
    self->header.height = png_get_image_height(png, self->info);
    int colour = png_get_color_type(png, self->info), depth = png_get_bit_depth(png, self->info);
    if (colour == PNG_COLOR_TYPE_PALETTE) {
        cimg_png_palette(self);
        return;
    }
    // A transparent colour is given as the file has it: what becomes of it is not libpng's way.
    png_color_16p key = NULL;
    if ((colour & PNG_COLOR_MASK_ALPHA) == 0 && png_get_tRNS(png, self->info, NULL, NULL, &key) != 0 && key != NULL) {
        self->header.has_key = 1;
        self->header.key[0] = colour == PNG_COLOR_TYPE_GRAY ? key->gray : key->red;
        self->header.key[1] = key->green;
        self->header.key[2] = key->blue;
    }
    if (colour == PNG_COLOR_TYPE_GRAY) {
        self->header.layout = depth == 16 ? CIMG_GREY16 : depth == 1 ? CIMG_BILEVEL : CIMG_GREY;
        if (depth < 8) png_set_expand_gray_1_2_4_to_8(png);
        return;
    }
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    self->header.layout = (colour & PNG_COLOR_MASK_ALPHA) != 0 ? CIMG_RGBA : CIMG_RGB;
}

static void cimg_png_rows(cimg_png *self, uint8_t *pixels) {
    png_structp png = self->png;
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, self->info);
    static const uint8_t sizes[] = {[CIMG_GREY] = 1, [CIMG_GREY16] = 2,  [CIMG_RGB] = 3,
                                    [CIMG_RGBA] = 4, [CIMG_PALETTE] = 1, [CIMG_BILEVEL] = 1};
    size_t stride = (size_t)self->header.width * sizes[self->header.layout];
    if (png_get_rowbytes(png, self->info) != stride) png_error(png, "a row has an unexpected length");
    for (int pass = 0; pass < passes; pass++) {
        for (size_t row = 0; row < self->header.height; row++) png_read_row(png, pixels + row * stride, NULL);
    }
    // Reads the checksums after the last row.
    png_read_end(png, NULL);
}

static void cimg_png_run(cimg_png *self, const cimg_header *expected, uint8_t *pixels) {
    if (setjmp(self->jump) != 0) return;
    // Inside: failing to be created is reported through the jump as well.
    self->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, self, cimg_png_failed, cimg_png_warned);
    if (self->png != NULL) self->info = png_create_info_struct(self->png);
    if (self->info == NULL) {
        self->status = CIMG_NO_MEMORY;
        snprintf(self->message, CIMG_MESSAGE, "libpng could not start");
        return;
    }
    cimg_png_start(self);
    if (pixels == NULL) return;
    if (memcmp(&self->header, expected, sizeof self->header) != 0) png_error(self->png, "the header has changed");
    cimg_png_rows(self, pixels);
}

static cimg_status cimg_png_decode(cimg_png *self, const cimg_header *expected, uint8_t *pixels) {
    self->message[0] = 0;
    cimg_png_run(self, expected, pixels);
    png_destroy_read_struct(&self->png, &self->info, NULL);
    return self->status;
}

cimg_status cimg_png_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message) {
    cimg_png self = {.bytes = bytes, .count = count, .message = message};
    cimg_status status = cimg_png_decode(&self, NULL, NULL);
    *header = self.header;
    return status;
}

cimg_status cimg_png_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                            char *message) {
    cimg_png self = {.bytes = bytes, .count = count, .message = message};
    return cimg_png_decode(&self, header, pixels);
}
