// The reference for every other instruction set: plain C, one value at a time.
#include <math.h>
#include <string.h>

#include "i8_tables.h"

static float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

static float half(uint16_t bits) {
    float x;
    fv_f32_kernels_for(FV_ISA_SCALAR)->expand(&bits, FV_F16, &x, 1);
    return x;
}

static float within_range(float x) {
    if (isnan(x)) return 0;
    return x > FV_LARGEST ? FV_LARGEST : x < -FV_LARGEST ? -FV_LARGEST : x;
}

void fv_i8_quantize_group(const float *x, int32_t count, int32_t padded, int8_t *values, float *scale, int32_t *sum) {
    float largest = 0;
    for (int32_t k = 0; k < count; k++) largest = fmaxf(largest, fabsf(within_range(x[k])));
    *sum = 0;
    *scale = largest < FV_SMALLEST ? 0 : largest / 127;
    float inverse = largest < FV_SMALLEST ? 0 : 127 / largest;
    for (int32_t k = 0; k < padded; k++) {
        float rounded = k < count ? fmaf(within_range(x[k]), inverse, FV_ROUNDER) : FV_ROUNDER;
        values[k] = (int8_t)(int32_t)(rounded - FV_ROUNDER);
        *sum += values[k];
    }
}

static void i8_quantize_rows__scalar(const float *x, ptrdiff_t ld_x, int32_t rows, const fv_i8_rows *out) {
    int32_t groups = fv_quant_groups(out->columns, out->group), padded = fv_quant_columns(out->columns);
    for (int32_t m = 0; m < rows; m++)
        for (int32_t g = 0; g < groups; g++) {
            int32_t first = groups == 1 ? 0 : g * out->group;
            int32_t end = g + 1 < groups ? first + out->group : padded;
            int32_t count = (end < out->columns ? end : out->columns) - first;
            ptrdiff_t i = (ptrdiff_t)m * groups + g;
            fv_i8_quantize_group(x + m * ld_x + first, count, end - first, out->values + m * out->ld + first,
                                 out->scales + i, out->sums + i);
        }
}

static void finish(const fv_ending *e, double x, int32_t m, int32_t n, float *out, ptrdiff_t ld_out) {
    float y = (float)(x * (e->scale ? e->scale[n] : 1));
    if (e->bias) y += e->bias[n];
    if (e->gelu) y = gelu(y);
    if (e->residual) y += e->residual[m * e->ld_residual + n];
    out[m * ld_out + n] = y;
}

static int32_t last_output(int32_t outputs, int32_t last_panel) {
    return last_panel * FV_PANEL < outputs ? last_panel * FV_PANEL : outputs;
}

static void i8_gemm__scalar(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *w, int32_t first_panel,
                            int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out) {
    int32_t padded = fv_quant_columns(w->inputs), groups = fv_quant_groups(a->columns, a->group);
    for (int32_t m = 0; m < rows; m++)
        for (int32_t n = first_panel * FV_PANEL; n < last_output(w->outputs, last_panel); n++) {
            const int8_t *panel = w->panels + (ptrdiff_t)(n / FV_PANEL) * padded * FV_PANEL;
            double total = 0;
            for (int32_t g = 0; g < groups; g++) {
                int32_t first = groups == 1 ? 0 : g * a->group, end = g + 1 < groups ? first + a->group : w->inputs;
                int32_t sum = 0;
                for (int32_t k = first; k < end; k++)
                    sum += a->values[m * a->ld + k] * panel[(k / 4 * FV_PANEL + n % FV_PANEL) * 4 + k % 4];
                total += (double)sum * a->scales[(ptrdiff_t)m * groups + g];
            }
            finish(e, total, m, n, out, ld_out);
        }
}

static void i8_mlp__scalar(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *first, const fv_ending *first_ending,
                           const fv_i8_weights *second, const fv_ending *second_ending, void *scratch, float *out,
                           ptrdiff_t ld_out) {
    mlp_rows h = mlp_rows_in(scratch, first->outputs);
    for (int32_t row = 0; row < rows; row++) {
        fv_i8_rows x = rows_from(a, row);
        i8_gemm__scalar(&x, 1, first, 0, fv_quant_panels(first->outputs), first_ending, h.x, first->outputs);
        i8_quantize_rows__scalar(h.x, first->outputs, 1, &h.rows);
        fv_ending end = *second_ending;
        if (end.residual) end.residual += row * end.ld_residual;
        i8_gemm__scalar(&h.rows, 1, second, 0, fv_quant_panels(second->outputs), &end, out + row * ld_out, ld_out);
    }
}

static void i4_gemm__scalar(const fv_i8_rows *a, int32_t rows, const fv_i4_weights *w, int32_t first_panel,
                            int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out) {
    int32_t groups = fv_quant_columns(w->inputs) / FV_GROUP;
    for (int32_t m = 0; m < rows; m++)
        for (int32_t n = first_panel * FV_PANEL; n < last_output(w->outputs, last_panel); n++) {
            double total = 0;
            for (int32_t g = 0; g < groups; g++) {
                ptrdiff_t block = (ptrdiff_t)(n / FV_PANEL) * groups + g;
                int32_t sum = 0;
                for (int32_t k = 0; k < FV_GROUP; k++) {
                    uint8_t byte = w->nibbles[block * 256 + k / 8 * 64 + n % FV_PANEL * 4 + k % 4];
                    sum += a->values[m * a->ld + g * FV_GROUP + k] * ((k / 4 % 2 ? byte >> 4 : byte & 15) - 8);
                }
                total += (double)sum * a->scales[(ptrdiff_t)m * groups + g] * half(w->scales[block * FV_PANEL + n % FV_PANEL]);
            }
            finish(e, total, m, n, out, ld_out);
        }
}

const fv_quant_kernels fv_quant_kernels__scalar = {
    .isa = FV_ISA_SCALAR,
    .name = "scalar",
    .quantize_rows = i8_quantize_rows__scalar,
    .i8_gemm = i8_gemm__scalar,
    .i8_mlp = i8_mlp__scalar,
    .i4_gemm = i4_gemm__scalar,
};
