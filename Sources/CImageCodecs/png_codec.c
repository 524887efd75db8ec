#include "CImageCodecs.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

typedef struct decoder {
    png_structp png;
    png_infop info;
    const fv_image_options *options;
    fv_image_result *result;
    const uint8_t *bytes;
    size_t count, next;
    uint8_t *pixels; // in stored order
    uint64_t held;   // bytes that libpng has asked for
    fv_image_status status;
} decoder;

// What a failure means when nothing more precise was noted before it.
static _Noreturn void fail(png_structp png, fv_image_status status) {
    decoder *d = png_get_error_ptr(png);
    d->status = status;
    png_longjmp(png, 1);
}

static void take_error(png_structp png, png_const_charp message) {
    decoder *d = png_get_error_ptr(png);
    snprintf(d->result->detail, sizeof d->result->detail, "%s", message);
    fail(png, d->status == FV_IMAGE_OK ? FV_IMAGE_CORRUPT : d->status);
}

static void drop_warning(png_structp png, png_const_charp message) { (void)png, (void)message; }

static void read_bytes(png_structp png, png_bytep target, size_t count) {
    decoder *d = png_get_io_ptr(png);
    if (count > d->count - d->next) fail(png, FV_IMAGE_TRUNCATED);
    memcpy(target, d->bytes + d->next, count);
    d->next += count;
}

// libpng turns NULL into an error; the status noted here says which.
static png_voidp take_memory(png_structp png, png_alloc_size_t count) {
    decoder *d = png_get_mem_ptr(png);
    if (count > d->options->limits.working_bytes - d->held) {
        d->result->reached = d->held + count;
        d->status = FV_IMAGE_TOO_MUCH_MEMORY;
        return NULL;
    }
    void *memory = malloc(count);
    if (memory == NULL) {
        d->status = FV_IMAGE_OUT_OF_MEMORY;
        return NULL;
    }
    d->held += count;
    return memory;
}

static void free_memory(png_structp png, png_voidp memory) {
    (void)png;
    free(memory);
}

// Chunks that do not change the samples: never parsed, so never a way in.
static const png_byte unused_chunks[] = "bKGD\0cHRM\0eXIf\0gAMA\0hIST\0iCCP\0iTXt\0oFFs\0pCAL\0pHYs\0sBIT\0sCAL\0"
                                        "sPLT\0sRGB\0sTER\0tEXt\0tIME\0zTXt";

static void check_header(decoder *d) {
    const uint32_t width = png_get_image_width(d->png, d->info), height = png_get_image_height(d->png, d->info);
    const uint64_t pixels = (uint64_t)width * height;
    d->result->stored_width = width;
    d->result->stored_height = height;
    if (pixels > d->options->limits.pixels) {
        d->result->reached = pixels;
        fail(d->png, FV_IMAGE_TOO_MANY_PIXELS);
    }
}

static void decode_rows(decoder *d) {
    png_structp png = d->png;
    const png_color_16 black = {0, 0, 0, 0, 0};
    png_set_expand(png); // palettes to RGB, 1, 2 and 4 bits to 8, tRNS to alpha
    png_set_strip_16(png);
    png_set_gray_to_rgb(png);
    png_set_background_fixed(png, &black, PNG_BACKGROUND_GAMMA_SCREEN, 0, PNG_FP_1);
    const int passes = png_set_interlace_handling(png);
    png_read_update_info(png, d->info);

    const uint32_t width = d->result->stored_width, height = d->result->stored_height;
    const size_t stride = 3 * (size_t)width;
    if (png_get_rowbytes(png, d->info) != stride) png_error(png, "the rows are not RGB");
    d->pixels = fv_pixels_allocate(stride * height);
    if (d->pixels == NULL) fail(png, FV_IMAGE_OUT_OF_MEMORY);
    // Passes of an interlaced picture fill the pixels in; all are written by the last.
    for (int pass = 0; pass < passes; pass++) {
        for (uint32_t y = 0; y < height; y++) png_read_row(png, d->pixels + y * stride, NULL);
    }
    png_read_end(png, NULL);
}

// Everything that can jump, in one frame.
static void decode(decoder *d) {
    d->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, d, take_error, drop_warning, d, take_memory, free_memory);
    if (d->png == NULL) return;
    if (setjmp(png_jmpbuf(d->png)) != 0) return;
    d->info = png_create_info_struct(d->png);
    if (d->info == NULL) fail(d->png, FV_IMAGE_OUT_OF_MEMORY);

    png_set_read_fn(d->png, d, read_bytes);
    png_set_user_limits(d->png, PNG_UINT_31_MAX, PNG_UINT_31_MAX); // pixels are counted in check_header
    png_set_crc_action(d->png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(d->png, PNG_HANDLE_CHUNK_NEVER, unused_chunks, (int)(sizeof unused_chunks / 5));
    png_read_info(d->png, d->info);
    check_header(d);
    decode_rows(d);
    d->status = FV_IMAGE_OK;
}

// Moves the stored pixels to the result, turned as the orientation asks.
static fv_image_status orient(decoder *d) {
    fv_image_result *result = d->result;
    const uint32_t width = result->stored_width, height = result->stored_height;
    const uint32_t orientation = d->options->orientation;
    result->width = orientation >= 5 ? height : width;
    result->height = orientation >= 5 ? width : height;
    result->eighths = 8;
    if (orientation <= 1) {
        result->rgb = d->pixels;
        d->pixels = NULL;
        return FV_IMAGE_OK;
    }
    result->rgb = fv_pixels_allocate((size_t)width * height * 3);
    if (result->rgb == NULL) return FV_IMAGE_OUT_OF_MEMORY;
    for (uint32_t row = 0; row < height; row += 16) {
        fv_orient_rows(d->pixels + 3 * (size_t)row * width, row, height - row < 16 ? height - row : 16, width, height,
                       orientation, result->rgb);
    }
    return FV_IMAGE_OK;
}

fv_image_status fv_png_decode(const uint8_t *bytes, size_t count, const fv_image_options *options,
                              fv_image_result *result) {
    memset(result, 0, sizeof *result);
    decoder d;
    memset(&d, 0, sizeof d);
    d.options = options;
    d.result = result;
    d.bytes = bytes;
    d.count = count;
    decode(&d);
    if (d.png == NULL && d.status == FV_IMAGE_OK) d.status = FV_IMAGE_OUT_OF_MEMORY;
    png_destroy_read_struct(&d.png, &d.info, NULL);
    if (d.status == FV_IMAGE_OK) d.status = orient(&d);
    fv_pixels_free(d.pixels);
    return d.status;
}
