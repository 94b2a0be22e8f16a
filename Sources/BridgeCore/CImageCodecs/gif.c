#include "CImageCodecs.h"

#include <gif_lib.h>
#include <stdio.h>
#include <string.h>

typedef struct {
    const uint8_t *bytes;
    size_t count;
    size_t position;
    int ended;         // whether a read was longer than the input
    int mark_missing;  // whether the bytes end before the end mark of the pixels
    char *message;
    GifFileType *gif;
    cimg_header header;
} cimg_gif;

static int cimg_gif_read(GifFileType *gif, GifByteType *out, int wanted) {
    cimg_gif *self = gif->UserData;
    size_t left = self->count - self->position, taken = (size_t)wanted < left ? (size_t)wanted : left;
    memcpy(out, self->bytes + self->position, taken);
    self->position += taken;
    if (taken == (size_t)wanted) return wanted;
    self->ended = 1;
    // The end mark of the last pixels may be missing.
    if (!self->mark_missing || wanted != 1) return (int)taken;
    out[0] = 0;
    return 1;
}

// Walks over the blocks of the image: whether they are complete, except for the end mark.
static int cimg_gif_is_whole(cimg_gif *self) {
    size_t place = self->position;
    while (place < self->count && self->bytes[place] != 0) place += 1 + (size_t)self->bytes[place];
    self->mark_missing = place == self->count;
    return place <= self->count;
}

static cimg_status cimg_gif_failed(cimg_gif *self, int error) {
    const char *text = GifErrorString(error);
    snprintf(self->message, CIMG_MESSAGE, "%s", text != NULL ? text : "it cannot be decoded");
    if (error == D_GIF_ERR_NOT_ENOUGH_MEM) return CIMG_NO_MEMORY;
    return self->ended ? CIMG_TRUNCATED : CIMG_BROKEN;
}

static cimg_status cimg_gif_broken(cimg_gif *self, const char *text) {
    snprintf(self->message, CIMG_MESSAGE, "%s", text);
    return self->ended ? CIMG_TRUNCATED : CIMG_BROKEN;
}

// Reads up to the first image.
static cimg_status cimg_gif_start(cimg_gif *self) {
    int error = 0;
    self->gif = DGifOpen(self, cimg_gif_read, &error);
    if (self->gif == NULL) return cimg_gif_failed(self, error);
    for (;;) {
        GifRecordType kind;
        if (self->ended) return cimg_gif_broken(self, "it ends before the first image");
        if (DGifGetRecordType(self->gif, &kind) != GIF_OK) return cimg_gif_failed(self, self->gif->Error);
        if (kind == IMAGE_DESC_RECORD_TYPE) break;
        if (kind != EXTENSION_RECORD_TYPE) return cimg_gif_broken(self, "it has no image");
        int code = 0;
        GifByteType *block = NULL;
        if (DGifGetExtension(self->gif, &code, &block) != GIF_OK) return cimg_gif_failed(self, self->gif->Error);
        if (code == GRAPHICS_EXT_FUNC_CODE && block != NULL && block[0] >= 4 && (block[1] & 1) != 0) {
            self->header.has_key = 1;
            self->header.key[0] = block[4];
        }
        while (block != NULL) {
            if (DGifGetExtensionNext(self->gif, &block) != GIF_OK) return cimg_gif_failed(self, self->gif->Error);
        }
    }
    if (DGifGetImageDesc(self->gif) != GIF_OK) return cimg_gif_failed(self, self->gif->Error);
    if (self->ended) return cimg_gif_broken(self, "it ends before the first image");
    const GifImageDesc *image = &self->gif->Image;
    if (image->Left < 0 || image->Top < 0 || image->Width < 0 || image->Height < 0) {
        return cimg_gif_broken(self, "the image has no area");
    }
    // The canvas grows when the image is larger.
    uint32_t right = (uint32_t)image->Left + (uint32_t)image->Width;
    uint32_t bottom = (uint32_t)image->Top + (uint32_t)image->Height;
    uint32_t width = (uint32_t)self->gif->SWidth, height = (uint32_t)self->gif->SHeight;
    self->header.width = right > width ? right : width;
    self->header.height = bottom > height ? bottom : height;
    const ColorMapObject *map = image->ColorMap != NULL ? image->ColorMap : self->gif->SColorMap;
    int is_grey = 1;
    for (int index = 0; index < 256; index++) {
        uint8_t *entry = self->header.palette + 4 * index;
        entry[3] = 255;
        if (map == NULL || index >= map->ColorCount) continue;
        const GifColorType *colour = &map->Colors[index];
        entry[0] = colour->Red;
        entry[1] = colour->Green;
        entry[2] = colour->Blue;
        if (entry[0] != index || entry[1] != index || entry[2] != index) is_grey = 0;
    }
    // A palette whose entries are the greys of their indices is the identity.
    self->header.layout = is_grey ? CIMG_GREY : CIMG_PALETTE;
    return CIMG_OK;
}

static cimg_status cimg_gif_rows(cimg_gif *self, uint8_t *pixels) {
    const GifImageDesc *image = &self->gif->Image;
    size_t width = self->header.width;
    memset(pixels, self->header.has_key ? self->header.key[0] : 0, width * self->header.height);
    if (image->Width == 0 || image->Height == 0) return CIMG_OK;
    if (!cimg_gif_is_whole(self)) {
        snprintf(self->message, CIMG_MESSAGE, "the bytes end early");
        return CIMG_TRUNCATED;
    }
    static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2};
    for (int pass = 0; pass < (image->Interlace ? 4 : 1); pass++) {
        int step = image->Interlace ? steps[pass] : 1;
        for (int row = image->Interlace ? starts[pass] : 0; row < image->Height; row += step) {
            uint8_t *out = pixels + ((size_t)image->Top + (size_t)row) * width + (size_t)image->Left;
            if (DGifGetLine(self->gif, out, image->Width) != GIF_OK) return cimg_gif_failed(self, self->gif->Error);
        }
    }
    return CIMG_OK;
}

static cimg_status cimg_gif_decode(cimg_gif *self, const cimg_header *expected, uint8_t *pixels) {
    self->message[0] = 0;
    cimg_status status = cimg_gif_start(self);
    if (status == CIMG_OK && pixels != NULL) {
        status = memcmp(&self->header, expected, sizeof self->header) == 0
                     ? cimg_gif_rows(self, pixels)
                     : cimg_gif_broken(self, "the header has changed");
    }
    int error;
    if (self->gif != NULL) DGifCloseFile(self->gif, &error);
    return status;
}

cimg_status cimg_gif_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message) {
    cimg_gif self = {.bytes = bytes, .count = count, .message = message};
    cimg_status status = cimg_gif_decode(&self, NULL, NULL);
    *header = self.header;
    return status;
}

cimg_status cimg_gif_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                            char *message) {
    cimg_gif self = {.bytes = bytes, .count = count, .message = message};
    return cimg_gif_decode(&self, header, pixels);
}
