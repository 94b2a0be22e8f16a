#include "CImageCodecs.h"

#include <stdio.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static cimg_status cimg_webp_fail(cimg_status status, const char *text, char *message) {
    snprintf(message, CIMG_MESSAGE, "%s", text);
    return status;
}

cimg_status cimg_webp_header(const uint8_t *bytes, size_t count, cimg_header *header, char *message) {
    memset(header, 0, sizeof *header);
    message[0] = 0;
    WebPBitstreamFeatures features;
    switch (WebPGetFeatures(bytes, count, &features)) {
    case VP8_STATUS_OK: break;
    case VP8_STATUS_NOT_ENOUGH_DATA: return cimg_webp_fail(CIMG_TRUNCATED, "the bytes end early", message);
    case VP8_STATUS_OUT_OF_MEMORY: return cimg_webp_fail(CIMG_NO_MEMORY, "libwebp ran out of memory", message);
    default: return cimg_webp_fail(CIMG_BROKEN, "the header is not sound", message);
    }
    header->width = (uint32_t)features.width;
    header->height = (uint32_t)features.height;
    header->layout = features.has_alpha ? CIMG_RGBA : CIMG_RGB;
    // A chunk of RIFF has an even length; bytes 4 to 7 contain their sum, without these eight.
    uint32_t length = bytes[4] | (uint32_t)bytes[5] << 8 | (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24;
    if (count - 8 < length) return cimg_webp_fail(CIMG_TRUNCATED, "the bytes end early", message);
    return CIMG_OK;
}

cimg_status cimg_webp_pixels(const uint8_t *bytes, size_t count, const cimg_header *header, uint8_t *pixels,
                             char *message) {
    message[0] = 0;
    WebPAnimDecoderOptions options;
    if (!WebPAnimDecoderOptionsInit(&options)) {
        return cimg_webp_fail(CIMG_UNSUPPORTED, "libwebp has another version than its headers", message);
    }
    options.color_mode = MODE_RGBA;
    options.use_threads = 0;
    WebPData data = {.bytes = bytes, .size = count};
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(&data, &options);
    if (decoder == NULL) return cimg_webp_fail(CIMG_BROKEN, "its parts are not sound or not all there", message);
    WebPAnimInfo info;
    uint8_t *canvas = NULL;
    int time;
    cimg_status status = CIMG_OK;
    // The canvas belongs to the decoder.
    if (!WebPAnimDecoderGetInfo(decoder, &info) || info.canvas_width != header->width ||
        info.canvas_height != header->height) {
        status = cimg_webp_fail(CIMG_BROKEN, "its parts have different sizes", message);
    } else if (!WebPAnimDecoderGetNext(decoder, &canvas, &time) || canvas == NULL) {
        status = cimg_webp_fail(CIMG_BROKEN, "the image cannot be decoded", message);
    } else {
        size_t count_of_pixels = (size_t)header->width * header->height;
        if (header->layout == CIMG_RGBA) {
            memcpy(pixels, canvas, count_of_pixels * 4);
        } else {
            for (size_t pixel = 0; pixel < count_of_pixels; pixel++) memcpy(pixels + 3 * pixel, canvas + 4 * pixel, 3);
        }
    }
    WebPAnimDecoderDelete(decoder);
    return status;
}
