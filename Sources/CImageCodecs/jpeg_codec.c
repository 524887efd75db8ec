#include "CImageCodecs.h"

#include <setjmp.h>
#include <stdio.h> // jpeglib.h uses FILE and size_t without including them
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

// Rows decoded at a time before they are converted and put in place.
enum { STRIP_ROWS = 16 };

typedef struct decoder {
    struct jpeg_decompress_struct info;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf escape;
    const fv_image_options *options;
    fv_image_result *result;
    const uint8_t *bytes;
    uint8_t *strip;
    bool doubtful; // a warning that only counts if decoding comes to its end
    fv_image_status status;
} decoder;

static fv_image_status status_of_error(int code) {
    switch (code) {
    case JERR_OUT_OF_MEMORY: return FV_IMAGE_OUT_OF_MEMORY;
    case JERR_NO_BACKING_STORE: return FV_IMAGE_TOO_MUCH_MEMORY; // max_memory_to_use is reached
    case JERR_IMAGE_TOO_BIG:
    case JERR_WIDTH_OVERFLOW: return FV_IMAGE_TOO_MANY_PIXELS;
    case JERR_EMPTY_IMAGE: return FV_IMAGE_EMPTY;
    case JERR_INPUT_EMPTY:
    case JERR_INPUT_EOF:
    case JWRN_JPEG_EOF: return FV_IMAGE_TRUNCATED;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CCIR601_NOTIMPL:
    case JERR_COMPONENT_COUNT:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_FRACT_SAMPLE_NOTIMPL:
    case JERR_NOTIMPL:
    case JERR_NOT_COMPILED:
    case JERR_SOF_UNSUPPORTED: return FV_IMAGE_UNSUPPORTED;
    default: return FV_IMAGE_CORRUPT;
    }
}

static _Noreturn void fail(decoder *d, fv_image_status status) {
    d->status = status;
    longjmp(d->escape, 1);
}

static void fail_with_message(j_common_ptr info) {
    decoder *d = info->client_data;
    info->err->format_message(info, d->result->detail);
    fail(d, status_of_error(info->err->msg_code));
}

// Padding with zeros between the last sample and the end marker is common in camera streams and loses nothing; any
// other bytes there can be samples that were displaced.
static bool is_zero_padding(decoder *d) {
    const struct jpeg_error_mgr *errors = d->info.err;
    const uint8_t *end = d->info.src->next_input_byte; // after the last byte that was skipped
    const size_t skipped = (size_t)errors->msg_parm.i[0];
    if (errors->msg_parm.i[1] != JPEG_EOI || d->info.output_height == 0) return false;
    if (d->info.output_scanline < d->info.output_height) return false;
    if (end < d->bytes || (size_t)(end - d->bytes) < skipped) return false;
    for (const uint8_t *byte = end - skipped; byte < end; byte++) {
        if (*byte != 0) return false;
    }
    return true;
}

static void take_message(j_common_ptr info, int level) {
    if (level >= 0) return; // a trace, not a warning
    switch (info->err->msg_code) {
    case JWRN_ADOBE_XFORM:    // an unknown colour transform: YCbCr is assumed
    case JWRN_JFIF_MAJOR:     // an unknown JFIF revision
    case JWRN_NOT_SEQUENTIAL: // odd but unused scan parameters
    case JWRN_BOGUS_ICC: return;
    case JWRN_EXTRANEOUS_DATA:
        if (is_zero_padding(info->client_data)) return;
        break;
    case JWRN_BOGUS_PROGRESSION:
        // A file of endless scans warns of them first, but its trouble is their number.
        ((decoder *)info->client_data)->doubtful = true;
        info->err->format_message(info, ((decoder *)info->client_data)->result->detail);
        return;
    default: break;
    }
    fail_with_message(info);
}

static void drop_message(j_common_ptr info) { (void)info; }

static void check_scans(j_common_ptr common) {
    decoder *d = common->client_data;
    const uint64_t scans = (uint64_t)d->info.input_scan_number;
    uint64_t pixels = (uint64_t)d->info.image_width * d->info.image_height;
    if (d->info.arith_code) pixels *= 8; // a scan costs some eight times as long, and may cost hardly any bytes
    if (scans > d->options->limits.scans || scans * pixels > d->options->limits.scan_pixels) {
        d->result->reached = scans;
        fail(d, FV_IMAGE_TOO_MANY_SCANS);
    }
}

static void check_header(decoder *d) {
    struct jpeg_decompress_struct *info = &d->info;
    const uint64_t pixels = (uint64_t)info->image_width * info->image_height;
    d->result->stored_width = info->image_width;
    d->result->stored_height = info->image_height;
    if (pixels > d->options->limits.pixels) {
        d->result->reached = pixels;
        fail(d, FV_IMAGE_TOO_MANY_PIXELS);
    }
    if (jpeg_has_multiple_scans(info)) {
        // All coefficients are held until the last scan is in.
        uint64_t coefficients = 0;
        for (int i = 0; i < info->num_components; i++) {
            const jpeg_component_info *c = &info->comp_info[i];
            coefficients += (uint64_t)c->width_in_blocks * c->height_in_blocks * sizeof(JBLOCK);
        }
        if (coefficients > d->options->limits.working_bytes) {
            d->result->reached = coefficients;
            fail(d, FV_IMAGE_TOO_MUCH_MEMORY);
        }
    }
    switch (info->jpeg_color_space) {
    case JCS_GRAYSCALE:
    case JCS_YCbCr:
    case JCS_RGB: info->out_color_space = JCS_RGB; break;
    case JCS_CMYK:
    case JCS_YCCK: info->out_color_space = JCS_CMYK; break;
    default:
        snprintf(d->result->detail, sizeof d->result->detail, "%d colour components", info->num_components);
        fail(d, FV_IMAGE_UNSUPPORTED);
    }
}

// The smallest of 1/8, 2/8, 4/8, 8/8 at which the measured side still has `covering` pixels. The library has vector code
// for these only: 5/8 to 7/8 take longer than 8/8 does, 3/8 longer than 4/8.
static void choose_scale(decoder *d) {
    struct jpeg_decompress_struct *info = &d->info;
    const uint32_t covering = d->options->covering;
    info->scale_denom = 8;
    for (info->scale_num = covering == 0 ? 8 : 1; info->scale_num < 8; info->scale_num *= 2) {
        jpeg_calc_output_dimensions(info);
        const bool wide = info->output_width > info->output_height;
        const JDIMENSION side = wide != d->options->cover_shorter ? info->output_width : info->output_height;
        if (side >= covering) break;
    }
    jpeg_calc_output_dimensions(info);
    d->result->eighths = info->scale_num;
}

// Inverted CMYK to RGB in place: each colour is scaled by black, rounded as (a * b) / 255.
static void cmyk_to_rgb(uint8_t *pixels, size_t count) {
    const uint8_t *from = pixels;
    for (uint8_t *to = pixels; to < pixels + 3 * count; to += 3, from += 4) {
        const uint32_t black = from[3];
        for (int i = 0; i < 3; i++) {
            const uint32_t product = (255u - from[i]) * black + 128u;
            to[i] = (uint8_t)(black - ((product + (product >> 8)) >> 8));
        }
    }
}

static void decode_rows(decoder *d) {
    struct jpeg_decompress_struct *info = &d->info;
    fv_image_result *result = d->result;
    const uint32_t width = info->output_width, height = info->output_height;
    const uint32_t orientation = d->options->orientation;
    const size_t channels = (size_t)info->output_components;
    const bool direct = channels == 3 && orientation <= 1;

    result->width = orientation >= 5 ? height : width;
    result->height = orientation >= 5 ? width : height;
    result->rgb = fv_pixels_allocate((size_t)width * height * 3);
    if (result->rgb == NULL) fail(d, FV_IMAGE_OUT_OF_MEMORY);
    if (!direct) {
        d->strip = malloc((size_t)width * channels * STRIP_ROWS);
        if (d->strip == NULL) fail(d, FV_IMAGE_OUT_OF_MEMORY);
    }

    while (info->output_scanline < height) {
        const uint32_t row = info->output_scanline;
        const uint32_t wanted = height - row < STRIP_ROWS ? height - row : STRIP_ROWS;
        JSAMPROW rows[STRIP_ROWS];
        for (uint32_t i = 0; i < wanted; i++) {
            rows[i] = direct ? result->rgb + 3 * (size_t)(row + i) * width : d->strip + channels * (size_t)i * width;
        }
        uint32_t read = 0;
        while (read < wanted) {
            const uint32_t more = jpeg_read_scanlines(info, rows + read, wanted - read);
            if (more == 0) fail(d, FV_IMAGE_TRUNCATED);
            read += more;
        }
        if (channels == 4) cmyk_to_rgb(d->strip, (size_t)width * wanted);
        if (!direct) fv_orient_rows(d->strip, row, wanted, width, height, orientation, result->rgb);
    }
}

// Everything that can jump, in one frame.
static void decode(decoder *d, size_t count) {
    struct jpeg_decompress_struct *info = &d->info;
    info->err = jpeg_std_error(&d->errors);
    info->client_data = d; // kept by jpeg_create_decompress
    d->errors.error_exit = fail_with_message;
    d->errors.emit_message = take_message;
    d->errors.output_message = drop_message;
    if (setjmp(d->escape) != 0) return;

    jpeg_create_decompress(info);
    info->mem->max_memory_to_use =
        d->options->limits.working_bytes < INT32_MAX ? (long)d->options->limits.working_bytes : INT32_MAX;
    d->progress.progress_monitor = check_scans;
    info->progress = &d->progress;

    jpeg_mem_src(info, d->bytes, count);
    (void)jpeg_read_header(info, TRUE);
    check_header(d);
    choose_scale(d);
    (void)jpeg_start_decompress(info);
    decode_rows(d);
    (void)jpeg_finish_decompress(info); // reads on to the end marker: without it the file is cut off
    d->status = d->doubtful ? FV_IMAGE_CORRUPT : FV_IMAGE_OK;
}

fv_image_status fv_jpeg_decode(const uint8_t *bytes, size_t count, const fv_image_options *options,
                               fv_image_result *result) {
    memset(result, 0, sizeof *result);
    decoder d;
    memset(&d, 0, sizeof d);
    d.options = options;
    d.result = result;
    d.bytes = bytes;
    d.status = FV_IMAGE_CORRUPT;
    decode(&d, count);
    jpeg_destroy_decompress(&d.info); // does nothing before jpeg_create_decompress
    free(d.strip);
    if (d.status != FV_IMAGE_OK) {
        fv_pixels_free(result->rgb);
        result->rgb = NULL;
    }
    return d.status;
}
