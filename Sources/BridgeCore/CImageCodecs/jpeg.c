#include "CImageCodecs.h"

#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

// A file may require any number of passes over the whole image; valid ones have about ten.
#define CIMG_JPEG_SCANS 500

// Belongs to the outer functions: what is changed after setjmp must not be a local of the function that calls it.
typedef struct {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_source_mgr source;
    struct jpeg_progress_mgr progress;
    char *message;
    cimg_status status;
    cimg_header header;
    jmp_buf jump;
} cimg_jpeg;

static void cimg_jpeg_failed(j_common_ptr jpeg) {
    cimg_jpeg *self = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    self->errors.format_message(jpeg, text);
    snprintf(self->message, CIMG_MESSAGE, "%.*s", CIMG_MESSAGE - 1, text);
    int code = self->errors.msg_code;
    self->status = code == JERR_OUT_OF_MEMORY || code == JERR_NO_BACKING_STORE ? CIMG_NO_MEMORY : CIMG_BROKEN;
    longjmp(self->jump, 1);
}

static void cimg_jpeg_stop(cimg_jpeg *self, cimg_status status, const char *text) {
    snprintf(self->message, CIMG_MESSAGE, "%s", text);
    self->status = status;
    longjmp(self->jump, 1);
}

static void cimg_jpeg_silent(j_common_ptr jpeg) { (void)jpeg; }

// Counts, as the library does, and prints nothing: Pillow takes damaged data that the library can step over.
static void cimg_jpeg_warned(j_common_ptr jpeg, int level) {
    if (level < 0) jpeg->err->num_warnings++;
}

static void cimg_jpeg_progressed(j_common_ptr jpeg) {
    cimg_jpeg *self = jpeg->client_data;
    if (self->jpeg.input_scan_number > CIMG_JPEG_SCANS) cimg_jpeg_stop(self, CIMG_BROKEN, "too many scans");
}

static void cimg_jpeg_nothing(j_decompress_ptr jpeg) { (void)jpeg; }

// "No more for now": the library then stops where it is, instead of making grey pixels up as its own source does.
static boolean cimg_jpeg_fill(j_decompress_ptr jpeg) {
    (void)jpeg;
    return FALSE;
}

static void cimg_jpeg_skip(j_decompress_ptr jpeg, long wanted) {
    struct jpeg_source_mgr *source = jpeg->src;
    if (wanted <= 0) return;
    size_t step = (size_t)wanted < source->bytes_in_buffer ? (size_t)wanted : source->bytes_in_buffer;
    source->next_input_byte += step;
    source->bytes_in_buffer -= step;
}

static void cimg_jpeg_start(cimg_jpeg *self) {
    struct jpeg_decompress_struct *jpeg = &self->jpeg;
    int result;
    do { result = jpeg_read_header(jpeg, FALSE); } while (result == JPEG_HEADER_TABLES_ONLY);
    if (result != JPEG_HEADER_OK) cimg_jpeg_stop(self, CIMG_TRUNCATED, "the bytes end early");
    self->header.width = jpeg->image_width;
    self->header.height = jpeg->image_height;
    switch (jpeg->num_components) {
    case 1:
        self->header.layout = CIMG_GREY;
        jpeg->out_color_space = JCS_GRAYSCALE;
        break;
    case 3:
        self->header.layout = CIMG_RGB;
        jpeg->out_color_space = JCS_RGB;
        break;
    case 4:
        self->header.layout = CIMG_CMYK;
        jpeg->out_color_space = JCS_CMYK;
        break;
    default: cimg_jpeg_stop(self, CIMG_UNSUPPORTED, "its number of components is not 1, 3 or 4");
    }
}

static void cimg_jpeg_rows(cimg_jpeg *self, uint8_t *pixels) {
    struct jpeg_decompress_struct *jpeg = &self->jpeg;
    size_t channels = self->header.layout == CIMG_GREY ? 1 : self->header.layout == CIMG_RGB ? 3 : 4;
    size_t stride = self->header.width * channels;
    // Coefficients are 2 bytes for each sample, up to 4 components; above that, room for the library's own tables.
    jpeg->mem->max_memory_to_use = (long)((size_t)self->header.width * self->header.height * 16 + (64 << 20));
    if (!jpeg_start_decompress(jpeg)) cimg_jpeg_stop(self, CIMG_TRUNCATED, "the bytes end early");
    if (jpeg->output_width != self->header.width || jpeg->output_height != self->header.height ||
        (size_t)jpeg->output_components != channels) {
        cimg_jpeg_stop(self, CIMG_BROKEN, "the output has an unexpected size");
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        JSAMPROW row = pixels + stride * jpeg->output_scanline;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1) cimg_jpeg_stop(self, CIMG_TRUNCATED, "the bytes end early");
    }
    // The end marker may be missing: every pixel is there, and Pillow takes such a file too.
}

static void cimg_jpeg_run(cimg_jpeg *self, const cimg_header *expected, uint8_t *pixels) {
    if (setjmp(self->jump) != 0) return;
    jpeg_create_decompress(&self->jpeg);
    self->jpeg.src = &self->source;
    self->jpeg.progress = &self->progress;
    cimg_jpeg_start(self);
    if (pixels == NULL) return;
    if (memcmp(&self->header, expected, sizeof self->header) != 0) {
        cimg_jpeg_stop(self, CIMG_BROKEN, "the header has changed");
    }
    cimg_jpeg_rows(self, pixels);
}

static cimg_status cimg_jpeg_decode(cimg_jpeg *self, const uint8_t *bytes, size_t count, const cimg_header *expected,
                                    uint8_t *pixels) {
    self->message[0] = 0;
    self->jpeg.err = jpeg_std_error(&self->errors);
    self->jpeg.client_data = self;
    self->errors.error_exit = cimg_jpeg_failed;
    self->errors.output_message = cimg_jpeg_silent;
    self->errors.emit_message = cimg_jpeg_warned;
    self->progress.progress_monitor = cimg_jpeg_progressed;
    self->source.next_input_byte = bytes;
    self->source.bytes_in_buffer = count;
    self->source.init_source = cimg_jpeg_nothing;
    self->source.fill_input_buffer = cimg_jpeg_fill;
    self->source.skip_input_data = cimg_jpeg_skip;
    self->source.resync_to_restart = jpeg_resync_to_restart;
    self->source.term_source = cimg_jpeg_nothing;
    cimg_jpeg_run(self, expected, pixels);
    jpeg_destroy_decompress(&self->jpeg);
    return self->status;
}

cimg_status cimg_jpeg_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message) {
    cimg_jpeg self = {.message = message};
    cimg_status status = cimg_jpeg_decode(&self, bytes, count, NULL, NULL);
    *header = self.header;
    return status;
}

cimg_status cimg_jpeg_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message) {
    cimg_jpeg self = {.message = message};
    return cimg_jpeg_decode(&self, bytes, count, header, pixels);
}
