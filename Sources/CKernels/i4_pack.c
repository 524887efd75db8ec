// 4-bit weights: the choice of each group's scale, and the layout.
#include <math.h>
#include <string.h>

#include "i8_tables.h"

// float16, rounded to nearest even, of a finite float below 65504 in magnitude.
static uint16_t half_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    uint32_t sign = bits >> 16 & 0x8000, magnitude = bits & 0x7fffffff;
    if (magnitude < 0x38800000) { // below 2^-14: a multiple of 2^-24
        float count = fabsf(x) * 0x1p24f;
        return (uint16_t)(sign | (uint32_t)lrintf(count));
    }
    uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | ((rounded >> 13) - (112u << 10)));
}

static float half_value(uint16_t bits) {
    float x;
    fv_f32_kernels_for(FV_ISA_SCALAR)->expand(&bits, FV_F16, &x, 1);
    return x;
}

static int32_t nibble(float x, float inverse) {
    float scaled = x * inverse;
    scaled = scaled < -8 ? -8 : scaled > 7 ? 7 : scaled;
    return (int32_t)lrintf(scaled) + 8;
}

// The scale as float16, negative where the group's largest value is positive: it may then use the code -8.
static uint16_t best_scale(const float *x, int32_t count) {
    float largest = 0;
    for (int32_t k = 0; k < count; k++)
        if (fabsf(x[k]) > fabsf(largest)) largest = x[k];
    if (fabsf(largest) < FV_SMALLEST) return 0;
    uint16_t best = 0;
    double least = INFINITY;
    for (int32_t step = -10; step <= 10; step++) {
        float scale = largest / (-7.6f + 0.08f * (float)step);
        if (fabsf(scale) > 65000) scale = copysignf(65000, scale);
        uint16_t stored = half_of(scale);
        float used = half_value(stored), inverse = used == 0 ? 0 : 1 / used;
        double error = 0;
        for (int32_t k = 0; k < count; k++) {
            double apart = x[k] - (double)used * (nibble(x[k], inverse) - 8);
            error += apart * apart;
        }
        if (error < least) {
            least = error;
            best = stored;
        }
    }
    return best;
}

void fv_i4_pack(const float *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel, int32_t last_panel,
                uint8_t *nibbles, uint16_t *scales) {
    int32_t groups = fv_quant_columns(inputs) / FV_GROUP;
    for (int32_t n = first_panel * FV_PANEL; n < last_panel * FV_PANEL; n++, w += ld_w)
        for (int32_t g = 0; g < groups; g++) {
            ptrdiff_t block = (ptrdiff_t)(n / FV_PANEL) * groups + g;
            float x[FV_GROUP] = {0};
            if (n < outputs)
                for (int32_t k = 0; k < FV_GROUP && g * FV_GROUP + k < inputs; k++)
                    x[k] = isfinite(w[g * FV_GROUP + k]) ? w[g * FV_GROUP + k] : 0;
            uint16_t stored = best_scale(x, FV_GROUP);
            float used = half_value(stored), inverse = used == 0 ? 0 : 1 / used;
            scales[block * FV_PANEL + n % FV_PANEL] = stored;
            for (int32_t j = 0; j < 4; j++)
                for (int32_t i = 0; i < 4; i++)
                    nibbles[block * 256 + j * 64 + n % FV_PANEL * 4 + i] =
                        (uint8_t)(nibble(x[8 * j + i], inverse) | nibble(x[8 * j + 4 + i], inverse) << 4);
        }
}

void fv_i4_unpack_row(const fv_i4_weights *w, int32_t n, float *out) {
    int32_t groups = fv_quant_columns(w->inputs) / FV_GROUP;
    for (int32_t k = 0; k < w->inputs; k++) {
        ptrdiff_t block = (ptrdiff_t)(n / FV_PANEL) * groups + k / FV_GROUP;
        uint8_t byte = w->nibbles[block * 256 + k % FV_GROUP / 8 * 64 + n % FV_PANEL * 4 + k % 4];
        float scale = half_value(w->scales[block * FV_PANEL + n % FV_PANEL]);
        out[k] = (float)((k / 4 % 2 ? byte >> 4 : byte & 15) - 8) * scale;
    }
}
