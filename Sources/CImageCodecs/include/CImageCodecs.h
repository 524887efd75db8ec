#ifndef FASTVLM_CIMAGECODECS_H
#define FASTVLM_CIMAGECODECS_H

// libjpeg and libpng behind plain functions: untrusted bytes in, RGB or one status out.
//
// Both libraries report errors by longjmp. Every jump starts and ends inside one call of this room, and none of these
// functions calls back, so no frame of the caller is ever jumped over.

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum fv_image_status {
    FV_IMAGE_OK = 0,
    FV_IMAGE_TRUNCATED,       // the bytes end before the picture does
    FV_IMAGE_CORRUPT,         // the bytes break the format's rules
    FV_IMAGE_UNSUPPORTED,     // a legal variant that the library does not decode
    FV_IMAGE_EMPTY,           // a width or height of zero
    FV_IMAGE_TOO_MANY_PIXELS, // limits.pixels
    FV_IMAGE_TOO_MANY_SCANS,  // limits.scans or limits.scan_pixels
    FV_IMAGE_TOO_MUCH_MEMORY, // limits.working_bytes
    FV_IMAGE_OUT_OF_MEMORY    // the process has no more memory: nothing is wrong with the picture
} fv_image_status;

typedef struct fv_image_limits {
    uint64_t pixels;        // stored width x height
    uint32_t scans;         // scans of one JPEG
    uint64_t scan_pixels;   // scans x pixels of one JPEG: bounds the time of a progressive picture
    uint64_t working_bytes; // what the library may hold besides the result
} fv_image_limits;

typedef struct fv_image_options {
    fv_image_limits limits;
    uint32_t covering;    // pixels that a scaled JPEG must still have on its measured side; 0: full scale
    bool cover_shorter;   // measure the shorter side, not the longer
    uint32_t orientation; // EXIF, 1...8: applied to the result
} fv_image_options;

typedef struct fv_image_result {
    uint8_t *rgb; // height x width x 3, and FV_IMAGE_SLACK readable bytes after it; freed by fv_pixels_free
    uint32_t width, height;               // after scaling and orientation
    uint32_t stored_width, stored_height; // in the file
    uint32_t eighths;                     // the scale: 1, 2, 4 or 8
    uint64_t reached;                     // the amount that broke a limit
    char detail[200];                     // the library's own words
} fv_image_result;

// Bytes that may be read, but mean nothing, after the pixels of every picture: rows are loaded in whole vectors.
enum { FV_IMAGE_SLACK = 16 };

// Decodes the first JPEG in `bytes`. Warnings about corrupt data are failures. CMYK is taken as Adobe writes it,
// inverted, with or without Adobe's marker, as browsers and Pillow do.
fv_image_status fv_jpeg_decode(const uint8_t *bytes, size_t count, const fv_image_options *options,
                               fv_image_result *result);

// Decodes a PNG. Alpha is laid over black; 16-bit samples keep their upper byte; gamma and profiles are ignored.
fv_image_status fv_png_decode(const uint8_t *bytes, size_t count, const fv_image_options *options,
                              fv_image_result *result);

// Encodes rgb[height, width, 3] as baseline JPEG of `quality` 1...100. Sets `bytes`, freed by fv_jpeg_free, and `count`;
// false without memory, or for a side of 0 or more than 65500 pixels.
bool fv_jpeg_encode(const uint8_t *rgb, uint32_t width, uint32_t height, int quality, uint8_t **bytes, size_t *count);
void fv_jpeg_free(uint8_t *bytes);

// Room for `count` bytes of pixels and their slack, zeroed slack only; NULL without memory.
uint8_t *fv_pixels_allocate(size_t count);
void fv_pixels_free(uint8_t *pixels);

// The size of a `width` x `height` picture once `orientation` is applied is swapped from 5 on.
// Writes `count` stored rows, the first of which is row `row`, to their places in `target`, the whole oriented picture.
void fv_orient_rows(const uint8_t *rows, uint32_t row, uint32_t count, uint32_t width, uint32_t height,
                    uint32_t orientation, uint8_t *target);

// One axis of a resampling: target sample i is the sum over k < count[i] of weights[i * stride + k] x source sample
// first[i] + k, in fixed point with FV_RESAMPLE_BITS fractional bits. A count of 0 is black.
typedef struct fv_resample_axis {
    const int32_t *first;
    const int32_t *count;
    const int32_t *weights;
    size_t stride;
    size_t length; // target samples
} fv_resample_axis;

enum { FV_RESAMPLE_BITS = 22 };

// Resamples rgb[height, width, 3] to target[vertical->length, horizontal->length, 3], values 0...1: horizontally first,
// rounded and clipped to 8 bits, then vertically, rounded and clipped again, then divided by 255.
// `rgb` has FV_IMAGE_SLACK readable bytes after it. Every first + count lies within the source, first rises with i.
// False without memory.
bool fv_resample(const uint8_t *rgb, size_t width, size_t height, const fv_resample_axis *horizontal,
                 const fv_resample_axis *vertical, float *target);

#endif
