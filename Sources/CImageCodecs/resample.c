#include "CImageCodecs.h"

#include <stdlib.h>
#include <string.h>

// Four samples of one pixel (the fourth is not used) or eight samples of a row, as 32-bit integers.
typedef uint8_t bytes4 __attribute__((vector_size(4)));
typedef uint8_t bytes8 __attribute__((vector_size(8)));
typedef int32_t ints4 __attribute__((vector_size(16)));
typedef int32_t ints8 __attribute__((vector_size(32)));
typedef float floats8 __attribute__((vector_size(32)));

#define INLINE static inline __attribute__((always_inline))

static const int32_t HALF = 1 << (FV_RESAMPLE_BITS - 1);

INLINE int32_t clip(int32_t value) { return value < 0 ? 0 : value > 255 ? 255 : value; }

// target[length, 3] = one row of rgb[width, 3], resampled and rounded to 8 bits.
INLINE void row_body(const uint8_t *rgb, const fv_resample_axis *axis, uint8_t *target) {
    for (size_t i = 0; i < axis->length; i++, target += 3) {
        const int32_t *weights = axis->weights + i * axis->stride;
        const uint8_t *from = rgb + 3 * (size_t)axis->first[i];
        const int32_t count = axis->count[i];
        ints4 sum = {HALF, HALF, HALF, 0};
        for (int32_t k = 0; k < count; k++, from += 3) {
            bytes4 pixel;
            memcpy(&pixel, from, sizeof pixel);
            sum += __builtin_convertvector(pixel, ints4) * weights[k];
        }
        sum >>= FV_RESAMPLE_BITS;
        for (int c = 0; c < 3; c++) target[c] = (uint8_t)clip(sum[c]);
    }
}

// target[count] = the weighted sum of `taps` rows of `count` samples, rounded to 8 bits, over 255.
INLINE void column_body(const uint8_t *const *rows, const int32_t *weights, int32_t taps, size_t count, float *target) {
    size_t i = 0;
    for (; i + 8 <= count; i += 8) {
        ints8 sum = {HALF, HALF, HALF, HALF, HALF, HALF, HALF, HALF};
        for (int32_t k = 0; k < taps; k++) {
            bytes8 samples;
            memcpy(&samples, rows[k] + i, sizeof samples);
            sum += __builtin_convertvector(samples, ints8) * weights[k];
        }
        sum >>= FV_RESAMPLE_BITS;
        sum &= sum > 0;
        const ints8 over = sum > 255;
        sum = (sum & ~over) | (over & 255);
        const floats8 values = __builtin_convertvector(sum, floats8) / 255.0f;
        memcpy(target + i, &values, sizeof values);
    }
    for (; i < count; i++) {
        int32_t sum = HALF;
        for (int32_t k = 0; k < taps; k++) sum += rows[k][i] * weights[k];
        target[i] = (float)clip(sum >> FV_RESAMPLE_BITS) / 255.0f;
    }
}

typedef void row_function(const uint8_t *, const fv_resample_axis *, uint8_t *);
typedef void column_function(const uint8_t *const *, const int32_t *, int32_t, size_t, float *);

static void row__baseline(const uint8_t *rgb, const fv_resample_axis *axis, uint8_t *target) {
    row_body(rgb, axis, target);
}
static void column__baseline(const uint8_t *const *rows, const int32_t *weights, int32_t taps, size_t count, float *target) {
    column_body(rows, weights, taps, count, target);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static void row__avx2(const uint8_t *rgb, const fv_resample_axis *axis, uint8_t *target) {
    row_body(rgb, axis, target);
}
__attribute__((target("avx2"))) static void column__avx2(const uint8_t *const *rows, const int32_t *weights, int32_t taps,
                                                         size_t count, float *target) {
    column_body(rows, weights, taps, count, target);
}
#endif

bool fv_resample(const uint8_t *rgb, size_t width, size_t height, const fv_resample_axis *horizontal,
                 const fv_resample_axis *vertical, float *target) {
    (void)height; // the caller's promise about `vertical` is about it
    row_function *row = row__baseline;
    column_function *column = column__baseline;
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2")) row = row__avx2, column = column__avx2;
#endif
    // Only the rows under one target row are held, in a ring: source row y lies in slot y % slots.
    size_t slots = 1;
    for (size_t i = 0; i < vertical->length; i++) {
        if ((size_t)vertical->count[i] > slots) slots = (size_t)vertical->count[i];
    }
    const size_t samples = 3 * horizontal->length;
    uint8_t *ring = malloc(slots * samples);
    const uint8_t **rows = malloc(slots * sizeof *rows);
    const bool done = ring != NULL && rows != NULL;
    size_t ready = 0; // source rows before this one were resampled or are not needed
    for (size_t i = 0; done && i < vertical->length; i++) {
        const size_t first = (size_t)vertical->first[i], count = (size_t)vertical->count[i];
        if (ready < first) ready = first;
        for (; ready < first + count; ready++) {
            row(rgb + 3 * width * ready, horizontal, ring + (ready % slots) * samples);
        }
        for (size_t k = 0; k < count; k++) rows[k] = ring + ((first + k) % slots) * samples;
        column(rows, vertical->weights + i * vertical->stride, (int32_t)count, samples, target + i * samples);
    }
    free(ring);
    free(rows);
    return done;
}
