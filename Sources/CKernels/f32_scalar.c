// The reference for every other instruction set: plain C, one value at a time, sums in double where a
// float would make the order of addition matter.
#include <math.h>
#include <string.h>

#include "f32_tables.h"

static float gelu(float x) { return 0.5f * x * (1.0f + erff(x * 0.70710678118654752f)); }

static float stored(const void *in, fv_element element, ptrdiff_t i) {
    if (element == FV_F32) {
        float x;
        memcpy(&x, (const char *)in + 4 * i, 4);
        return x;
    }
    uint16_t half;
    memcpy(&half, (const char *)in + 2 * i, 2);
    uint32_t bits;
    if (element == FV_BF16) {
        bits = (uint32_t)half << 16;
    } else {
        uint32_t sign = (uint32_t)(half & 0x8000) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
        if (exponent == 31) {
            bits = sign | 0x7f800000u | fraction << 13;
        } else if (exponent != 0) {
            bits = sign | (exponent + 112) << 23 | fraction << 13;
        } else {
            float small = (float)fraction * 0x1p-24f; // subnormal halves are normal floats
            memcpy(&bits, &small, 4);
            bits |= sign;
        }
    }
    float x;
    memcpy(&x, &bits, 4);
    return x;
}

static void f32_depthwise__scalar(const fv_depthwise *d, const float *in, const float *weights, const float *bias,
                                  float *out, int32_t first_row, int32_t last_row) {
    int32_t k = d->kernel, pad = k / 2, m = d->multiplier, c_in = d->channels;
    int32_t out_width = (d->in_width + d->stride - 1) / d->stride;
    for (int32_t oy = first_row; oy < last_row; oy++)
        for (int32_t ox = 0; ox < out_width; ox++)
            for (int32_t o = 0; o < c_in * m; o++) {
                double sum = bias[o];
                for (int32_t ky = 0; ky < k; ky++)
                    for (int32_t kx = 0; kx < k; kx++) {
                        int32_t iy = oy * d->stride + ky - pad, ix = ox * d->stride + kx - pad;
                        if (iy < 0 || iy >= d->in_height || ix < 0 || ix >= d->in_width) continue;
                        sum += (double)in[((ptrdiff_t)(iy - d->in_first_row) * d->in_width + ix) * c_in + o / m] *
                               weights[((ptrdiff_t)(o % m) * k * k + ky * k + kx) * c_in + o / m];
                    }
                *out++ = d->gelu ? gelu((float)sum) : (float)sum;
            }
}

static void f32_stem__scalar(const float *in, int32_t in_height, int32_t in_width, int32_t channels, const float *weights,
                             const float *bias, float *out, int32_t first_row, int32_t last_row) {
    int32_t out_width = (in_width + 1) / 2;
    for (int32_t oy = first_row; oy < last_row; oy++)
        for (int32_t ox = 0; ox < out_width; ox++)
            for (int32_t o = 0; o < channels; o++) {
                double sum = bias[o];
                for (int32_t tap = 0; tap < 27; tap++) {
                    int32_t iy = oy * 2 + tap / 9 - 1, ix = ox * 2 + tap / 3 % 3 - 1;
                    if (iy < 0 || iy >= in_height || ix < 0 || ix >= in_width) continue;
                    sum += (double)in[((ptrdiff_t)iy * in_width + ix) * 3 + tap % 3] * weights[(ptrdiff_t)tap * channels + o];
                }
                *out++ = gelu((float)sum);
            }
}

static void f32_finish__scalar(const float *sums, ptrdiff_t ld_sums, const fv_ending *e, float *out, ptrdiff_t ld_out,
                               int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < columns; c++) {
            float x = sums[r * ld_sums + c];
            if (e->scale) x *= e->scale[c];
            if (e->bias) x += e->bias[c];
            if (e->gelu) x = gelu(x);
            if (e->residual) x += e->residual[r * e->ld_residual + c];
            out[r * ld_out + c] = x;
        }
}

static void f32_layer_norm__scalar(const float *x, ptrdiff_t ld_x, const float *weight, const float *bias, float epsilon,
                                   float *out, ptrdiff_t ld_out, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++, x += ld_x, out += ld_out) {
        double mean = 0, variance = 0;
        for (int32_t c = 0; c < columns; c++) mean += x[c];
        mean /= columns;
        for (int32_t c = 0; c < columns; c++) variance += (x[c] - mean) * (x[c] - mean);
        double factor = 1 / sqrt(variance / columns + epsilon);
        for (int32_t c = 0; c < columns; c++) out[c] = (float)((x[c] - mean) * factor * weight[c] + bias[c]);
    }
}

static void f32_rms_norm__scalar(const float *x, ptrdiff_t ld_x, const float *weight, float epsilon, float *out,
                                 ptrdiff_t ld_out, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++, x += ld_x, out += ld_out) {
        double square = 0;
        for (int32_t c = 0; c < columns; c++) square += (double)x[c] * x[c];
        double factor = 1 / sqrt(square / columns + epsilon);
        for (int32_t c = 0; c < columns; c++) out[c] = (float)(x[c] * factor * weight[c]);
    }
}

static void f32_rope__scalar(float *x, ptrdiff_t ld_x, const float *cosines, const float *sines, int32_t rows,
                             int32_t heads, int32_t head_dim) {
    int32_t half = head_dim / 2;
    for (int32_t r = 0; r < rows; r++)
        for (int32_t h = 0; h < heads; h++)
            for (int32_t i = 0; i < half; i++) {
                float *pair = x + r * ld_x + (ptrdiff_t)h * head_dim + i;
                float c = cosines[(ptrdiff_t)r * half + i], s = sines[(ptrdiff_t)r * half + i];
                float a = pair[0], b = pair[half];
                pair[0] = a * c - b * s;
                pair[half] = b * c + a * s;
            }
}

static void f32_silu_multiply__scalar(float *gate, const float *up, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) gate[i] = gate[i] / (1.0f + expf(-gate[i])) * up[i];
}

static void f32_attention__scalar(const fv_attention *a, const float *query, const float *key, const float *value,
                                  float *out, float *scratch) {
    for (int32_t i = 0; i < a->queries; i++) {
        ptrdiff_t visible = (ptrdiff_t)a->first_visible + i < a->keys ? (ptrdiff_t)a->first_visible + i : a->keys;
        double largest = -INFINITY, total = 0;
        for (ptrdiff_t t = 0; t < visible; t++) {
            double dot = 0;
            for (int32_t d = 0; d < a->head_dim; d++)
                dot += (double)query[i * a->ld_query + d] * key[t * a->ld_key + d];
            scratch[t] = (float)(dot * a->scale);
            if (scratch[t] > largest) largest = scratch[t];
        }
        for (ptrdiff_t t = 0; t < visible; t++) {
            scratch[t] = (float)exp(scratch[t] - largest);
            total += scratch[t];
        }
        for (int32_t d = 0; d < a->head_dim; d++) {
            double sum = 0;
            for (ptrdiff_t t = 0; t < visible; t++) sum += (double)scratch[t] * value[t * a->ld_value + d];
            out[i * a->ld_out + d] = (float)(sum / total);
        }
    }
}

static void f32_column_sums__scalar(const float *x, ptrdiff_t ld_x, float *sums, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < columns; c++) sums[c] += x[r * ld_x + c];
}

static void f32_scale_gelu__scalar(float *x, ptrdiff_t ld_x, const float *factor, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++)
        for (int32_t c = 0; c < columns; c++) x[r * ld_x + c] = gelu(x[r * ld_x + c] * factor[c]);
}

static void f32_gemv__scalar(const void *weights, fv_element element, const float *x, float *out, int32_t first,
                             int32_t last, int32_t columns) {
    for (int32_t n = first; n < last; n++) {
        double sum = 0;
        for (int32_t k = 0; k < columns; k++) sum += (double)stored(weights, element, (ptrdiff_t)n * columns + k) * x[k];
        out[n] = (float)sum;
    }
}

static void f32_expand__scalar(const void *in, fv_element element, float *out, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i++) out[i] = stored(in, element, i);
}

#define FV_ISA_OF_TABLE FV_ISA_SCALAR
#define FV_SUFFIX(name) name##__scalar
#include "f32_table.h"
