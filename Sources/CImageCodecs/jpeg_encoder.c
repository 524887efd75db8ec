#include "CImageCodecs.h"

#include <setjmp.h>
#include <stdio.h> // jpeglib.h uses FILE and size_t without including them
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>

typedef struct encoder {
    struct jpeg_compress_struct info;
    struct jpeg_error_mgr errors;
    jmp_buf escape;
    unsigned char *bytes; // the library's, from malloc
    unsigned long count;
    bool done;
} encoder;

static void give_up(j_common_ptr info) {
    encoder *e = info->client_data;
    longjmp(e->escape, 1);
}

static void drop_message(j_common_ptr info) { (void)info; }

// Everything that can jump, in one frame.
static void encode(encoder *e, const uint8_t *rgb, uint32_t width, uint32_t height, int quality) {
    struct jpeg_compress_struct *info = &e->info;
    info->err = jpeg_std_error(&e->errors);
    info->client_data = e; // kept by jpeg_create_compress
    e->errors.error_exit = give_up;
    e->errors.output_message = drop_message;
    if (setjmp(e->escape) != 0) return;

    jpeg_create_compress(info);
    jpeg_mem_dest(info, &e->bytes, &e->count);
    info->image_width = width;
    info->image_height = height;
    info->input_components = 3;
    info->in_color_space = JCS_RGB;
    jpeg_set_defaults(info);
    jpeg_set_quality(info, quality, TRUE);
    info->optimize_coding = TRUE;
    jpeg_start_compress(info, TRUE);
    while (info->next_scanline < height) {
        // The library does not write to it.
        JSAMPROW row = (JSAMPROW)(rgb + 3 * (size_t)info->next_scanline * width);
        (void)jpeg_write_scanlines(info, &row, 1);
    }
    jpeg_finish_compress(info);
    e->done = true;
}

bool fv_jpeg_encode(const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **bytes, size_t *count) {
    encoder e;
    memset(&e, 0, sizeof e);
    encode(&e, rgb, width, height, quality);
    jpeg_destroy_compress(&e.info); // does nothing before jpeg_create_compress
    if (!e.done) {
        free(e.bytes);
        e.bytes = NULL;
        e.count = 0;
    }
    *bytes = e.bytes;
    *count = e.count;
    return e.done;
}

void fv_jpeg_free(uint8_t *bytes) { free(bytes); }
