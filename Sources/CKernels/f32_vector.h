// The float32 kernels for every instruction set with vectors, written once over vectors of LANES floats.
// The including file sets the target, LANES, FV_SUFFIX, FV_ISA_OF_TABLE, PIXELS (the pixels of a
// depthwise tile that fit in registers with multiplier 1), and may define its own partial loads
// (FV_PARTIAL_LOADS) and half-precision loads (FV_LOAD_F16).
#include <math.h>
#include <string.h>

#include "f32_tables.h"

typedef float vf __attribute__((vector_size(4 * LANES)));
typedef float vf_u __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef int32_t vi __attribute__((vector_size(4 * LANES)));
typedef uint32_t vu __attribute__((vector_size(4 * LANES)));
typedef uint16_t vh __attribute__((vector_size(2 * LANES)));

#define INLINE static inline __attribute__((always_inline))

INLINE vf splat(float x) { return (vf){} + x; }
INLINE vf load(const float *p) { return *(const vf_u *)p; }
INLINE void store(float *p, vf x) { *(vf_u *)p = x; }
INLINE vf fma_(vf a, vf b, vf c) { return __builtin_elementwise_fma(a, b, c); }
INLINE vf max_(vf a, vf b) { return __builtin_elementwise_max(a, b); }
INLINE vf min_(vf a, vf b) { return __builtin_elementwise_min(a, b); }

#ifndef FV_PARTIAL_LOADS
INLINE vf load_first(const float *p, int32_t n) {
    vf x = {};
    memcpy(&x, p, 4 * (size_t)n);
    return x;
}
INLINE void store_first(float *p, vf x, int32_t n) { memcpy(p, &x, 4 * (size_t)n); }
#endif

// The first n <= LANES floats at p, zeros behind them. `n` is a constant in every loop but its last turn.
INLINE vf load_n(const float *p, int32_t n) { return n == LANES ? load(p) : load_first(p, n); }
INLINE void store_n(float *p, vf x, int32_t n) {
    if (n == LANES)
        store(p, x);
    else
        store_first(p, x, n);
}

INLINE float sum_of(vf x) {
    float parts[LANES], sum = 0;
    memcpy(parts, &x, sizeof x);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) parts[i] += parts[i + width];
    sum = parts[0];
    return sum;
}

INLINE float max_of(vf x) {
    float parts[LANES];
    memcpy(parts, &x, sizeof x);
    for (int width = LANES / 2; width > 0; width /= 2)
        for (int i = 0; i < width; i++) parts[i] = parts[i] > parts[i + width] ? parts[i] : parts[i + width];
    return parts[0];
}

INLINE vf select_(vi mask, vf yes, vf no) { return (vf)((mask & (vi)yes) | (~mask & (vi)no)); }

// erf by a rational approximation of odd degree 11 over even degree 10, fitted for |x| <= 4: error below
// 4e-7. Beyond, erf is 1 to float precision, and must be so exactly: GELU multiplies what is left by x.
INLINE vf erf_(vf x) {
    vi above = (vi)(x >= splat(4.0f)), below = (vi)(x <= splat(-4.0f));
    vf u = x * x;
    vf p = splat(1.986759117e-06f);
    p = fma_(p, u, splat(2.845734109e-04f));
    p = fma_(p, u, splat(3.883599284e-03f));
    p = fma_(p, u, splat(5.310252340e-02f));
    p = fma_(p, u, splat(1.935507788e-01f));
    p = fma_(p, u, splat(1.128379139e+00f));
    vf q = splat(3.742033238e-05f);
    q = fma_(q, u, splat(1.185636702e-03f));
    q = fma_(q, u, splat(1.520775479e-02f));
    q = fma_(q, u, splat(1.153523850e-01f));
    q = fma_(q, u, splat(5.048624647e-01f));
    q = fma_(q, u, splat(1.0f));
    return select_(above, splat(1.0f), select_(below, splat(-1.0f), x * p / q));
}

INLINE vf gelu_(vf x) {
    vf half = x * splat(0.5f);
    return fma_(half, erf_(x * splat(0.70710678118654752f)), half);
}

// e^x for x in -87 ... 88 (clamped): 2^n times a polynomial on |r| <= ln2/2, relative error below 3e-7.
INLINE vf exp_(vf x) {
    x = min_(max_(x, splat(-87.0f)), splat(88.0f));
    vf n = __builtin_elementwise_rint(x * splat(1.44269504f));
    vf r = fma_(n, splat(-0.693359375f), x);
    r = fma_(n, splat(2.12194440e-4f), r);
    vf p = splat(1.0f / 720);
    p = fma_(p, r, splat(1.0f / 120));
    p = fma_(p, r, splat(1.0f / 24));
    p = fma_(p, r, splat(1.0f / 6));
    p = fma_(p, r, splat(0.5f));
    p = fma_(p, r, splat(1.0f));
    p = fma_(p, r, splat(1.0f));
    return p * (vf)((__builtin_convertvector(n, vi) + 127) << 23);
}

INLINE vf sigmoid_(vf x) { return splat(1.0f) / (splat(1.0f) + exp_(-x)); }

// ---- depthwise convolution

// A tile of T output pixels of one row and n <= LANES channels. Each input column is loaded once and feeds
// every output whose window holds it. K, S, M, T are constants where this is inlined, and so is `inner`:
// the tile reads no column outside the picture and all its T pixels exist.
INLINE void depthwise_tile(const int K, const int S, const int M, const int T, const int inner, const fv_depthwise *d,
                           const float *in, const float *weights, const float *bias, float *out, int32_t oy, int32_t ox,
                           int32_t pixels, int32_t n) {
    int32_t channels = d->channels;
    vf sums[2][PIXELS];
    if (M == 1) {
        for (int t = 0; t < T; t++) sums[0][t] = load_n(bias, n);
    } else {
        float of_output[2][LANES];
        for (int32_t c = 0; c < LANES; c++) {
            of_output[0][c] = c < n ? bias[2 * c] : 0;
            of_output[1][c] = c < n ? bias[2 * c + 1] : 0;
        }
        for (int t = 0; t < T; t++) {
            sums[0][t] = load(of_output[0]);
            sums[1][t] = load(of_output[1]);
        }
    }
    for (int ky = 0; ky < K; ky++) {
        int32_t iy = oy * S + ky - K / 2;
        if (iy < 0 || iy >= d->in_height) continue;
        const float *row = in + (ptrdiff_t)(iy - d->in_first_row) * d->in_width * channels;
        vf w[2][7];
#pragma clang loop unroll(full)
        for (int m = 0; m < M; m++)
#pragma clang loop unroll(full)
            for (int kx = 0; kx < K; kx++) w[m][kx] = load_n(weights + ((ptrdiff_t)m * K * K + ky * K + kx) * channels, n);
#pragma clang loop unroll(full)
        for (int i = 0; i < (T - 1) * S + K; i++) {
            int32_t ix = ox * S + i - K / 2;
            if (!inner && (ix < 0 || ix >= d->in_width)) continue;
            vf x = load_n(row + (ptrdiff_t)ix * channels, n);
#pragma clang loop unroll(full)
            for (int kx = 0; kx < K; kx++) {
                int t = (i - kx) / S;
                if (i < kx || (i - kx) % S != 0 || t >= T) continue;
                sums[0][t] = fma_(x, w[0][kx], sums[0][t]);
                if (M == 2) sums[1][t] = fma_(x, w[1][kx], sums[1][t]);
            }
        }
    }
#pragma clang loop unroll(full)
    for (int t = 0; t < T; t++) {
        if (!inner && t >= pixels) continue;
        float *pixel = out + (ptrdiff_t)t * channels * M;
        vf a = d->gelu ? gelu_(sums[0][t]) : sums[0][t];
        if (M == 1) {
            store_n(pixel, a, n);
        } else {
            vf b = d->gelu ? gelu_(sums[1][t]) : sums[1][t];
            vf low = __builtin_shufflevector(a, b, FV_INTERLEAVE_LOW), high = __builtin_shufflevector(a, b, FV_INTERLEAVE_HIGH);
            if (n == LANES) {
                store(pixel, low);
                store(pixel + LANES, high);
            } else {
                store_n(pixel, low, 2 * n < LANES ? 2 * n : LANES);
                if (2 * n > LANES) store_n(pixel + LANES, high, 2 * n - LANES);
            }
        }
    }
}

// Output columns of a strip that run down the picture together.
#define STRIP 64

// A row of a strip's window: LANES channels of `count` columns of row iy from `first` on, zero outside the picture.
INLINE void window_row(const fv_depthwise *d, const float *in, int32_t iy, int32_t first, int32_t count, float *row) {
    int32_t inside = iy >= 0 && iy < d->in_height;
    int32_t from = !inside || first >= 0 ? 0 : -first, to = !inside ? 0 : d->in_width - first < count ? d->in_width - first : count;
    const float *at = in + ((ptrdiff_t)(iy - d->in_first_row) * d->in_width + first) * d->channels;
    for (int32_t i = 0; i < from; i++) store(row + (ptrdiff_t)i * LANES, splat(0));
    for (int32_t i = from; i < to; i++) store(row + (ptrdiff_t)i * LANES, load(at + (ptrdiff_t)i * d->channels));
    for (int32_t i = to > 0 ? to : 0; i < count; i++) store(row + (ptrdiff_t)i * LANES, splat(0));
}

// Adds what one row of the window gives to an upper and a lower row of PIXELS outputs, or to one of them.
INLINE void depthwise_pair_row(const int K, const int upper, const int lower, const float *row, const float *upper_weights,
                               const float *lower_weights, vf sums[2][PIXELS]) {
    vf w[2][7];
#pragma clang loop unroll(full)
    for (int kx = 0; kx < K; kx++) {
        if (upper) w[0][kx] = load(upper_weights + kx * LANES);
        if (lower) w[1][kx] = load(lower_weights + kx * LANES);
    }
#pragma clang loop unroll(full)
    for (int i = 0; i < PIXELS + K - 1; i++) {
        vf x = load(row + i * LANES);
#pragma clang loop unroll(full)
        for (int kx = 0; kx < K; kx++) {
            int t = i - kx;
            if (t < 0 || t >= PIXELS) continue;
            if (upper) sums[0][t] = fma_(x, w[0][kx], sums[0][t]);
            if (lower) sums[1][t] = fma_(x, w[1][kx], sums[1][t]);
        }
    }
}

// Rows first_row ..< last_row for LANES channels and stride and multiplier 1, two rows of PIXELS outputs at a time. The
// pixels of a feature map are so far apart that few of them share the first-level cache: the window is copied together.
INLINE void depthwise_strip(const int K, const fv_depthwise *d, const float *in, const float *weights, const float *bias,
                            float *out, int32_t first_row, int32_t last_row) {
    float window[8][(STRIP + 6) * LANES] __attribute__((aligned(64))), w[49 * LANES] __attribute__((aligned(64)));
    for (int i = 0; i < K * K; i++) store(w + i * LANES, load(weights + (ptrdiff_t)i * d->channels));
    vf start = load(bias);
    for (int32_t ox = 0; ox < d->in_width; ox += STRIP) {
        int32_t columns = d->in_width - ox < STRIP ? d->in_width - ox : STRIP;
        int32_t count = (columns + PIXELS - 1) / PIXELS * PIXELS + K - 1;
        for (int32_t iy = first_row - K / 2; iy < first_row + K / 2; iy++)
            window_row(d, in, iy, ox - K / 2, count, window[iy & 7]);
        for (int32_t oy = first_row; oy < last_row; oy += 2) {
            for (int32_t iy = oy + K / 2; iy < oy + K / 2 + 2; iy++) window_row(d, in, iy, ox - K / 2, count, window[iy & 7]);
            for (int32_t t = 0; t < columns; t += PIXELS) {
                vf sums[2][PIXELS];
#pragma clang loop unroll(full)
                for (int i = 0; i < PIXELS; i++) sums[0][i] = sums[1][i] = start;
                depthwise_pair_row(K, 1, 0, window[(oy - K / 2) & 7] + t * LANES, w, w, sums);
                for (int ky = 1; ky < K; ky++)
                    depthwise_pair_row(K, 1, 1, window[(oy - K / 2 + ky) & 7] + t * LANES, w + ky * K * LANES,
                                       w + (ky - 1) * K * LANES, sums);
                depthwise_pair_row(K, 0, 1, window[(oy - K / 2 + K) & 7] + t * LANES, w, w + (K - 1) * K * LANES, sums);
                float *at = out + ((ptrdiff_t)(oy - first_row) * d->in_width + ox + t) * d->channels;
                for (int r = 0; r < 2 && oy + r < last_row; r++, at += (ptrdiff_t)d->in_width * d->channels)
#pragma clang loop unroll(full)
                    for (int i = 0; i < PIXELS; i++) {
                        if (t + i >= columns) continue;
                        store(at + (ptrdiff_t)i * d->channels, d->gelu ? gelu_(sums[r][i]) : sums[r][i]);
                    }
            }
        }
    }
}

// LANES channels from c on of T output pixels from (oy, ox) on, or of those that exist; `out` is row oy.
INLINE void depthwise_part(const int K, const int S, const int M, const int T, const fv_depthwise *d, const float *in,
                           const float *weights, const float *bias, float *out, int32_t oy, int32_t ox, int32_t c) {
    int32_t out_width = (d->in_width + S - 1) / S, channels = d->channels;
    int32_t n = channels - c < LANES ? channels - c : LANES, pixels = out_width - ox < T ? out_width - ox : T;
    int inner = pixels == T && ox * S >= K / 2 && (ox + T - 1) * S - K / 2 + K <= d->in_width;
    const float *in_c = in + c, *w_c = weights + c, *b_c = bias + c * M;
    float *out_c = out + ((ptrdiff_t)ox * channels + c) * M;
    if (n < LANES)
        depthwise_tile(K, S, M, T, 0, d, in_c, w_c, b_c, out_c, oy, ox, pixels, n);
    else if (inner)
        depthwise_tile(K, S, M, T, 1, d, in_c, w_c, b_c, out_c, oy, ox, T, LANES);
    else
        depthwise_tile(K, S, M, T, 0, d, in_c, w_c, b_c, out_c, oy, ox, pixels, LANES);
}

INLINE void depthwise_rows(const int K, const int S, const int M, const int T, const fv_depthwise *d, const float *in,
                           const float *weights, const float *bias, float *out, int32_t first_row, int32_t last_row) {
    // Two rows of sums fit in 32 registers; a window of 3 gains nothing from them.
    if (K == 7 && S == 1 && M == 1 && PIXELS == 8 && d->channels % LANES == 0) {
        for (int32_t c = 0; c < d->channels; c += LANES)
            depthwise_strip(K, d, in + c, weights + c, bias + c, out + c, first_row, last_row);
        return;
    }
    int32_t out_width = (d->in_width + S - 1) / S, channels = d->channels;
    for (int32_t oy = first_row; oy < last_row; oy++, out += (ptrdiff_t)out_width * channels * M) {
        if (K == 3) // all channels of some pixels before the next: memory is read and written about in order
            for (int32_t ox = 0; ox < out_width; ox += T)
                for (int32_t c = 0; c < channels; c += LANES)
                    depthwise_part(K, S, M, T, d, in, weights, bias, out, oy, ox, c);
        else // the weights of all channels do not fit the first-level cache
            for (int32_t c = 0; c < channels; c += LANES)
                for (int32_t ox = 0; ox < out_width; ox += T)
                    depthwise_part(K, S, M, T, d, in, weights, bias, out, oy, ox, c);
    }
}

static void FV_SUFFIX(f32_depthwise)(const fv_depthwise *d, const float *in, const float *weights, const float *bias,
                                     float *out, int32_t first_row, int32_t last_row) {
    if (d->kernel == 3 && d->stride == 1 && d->multiplier == 1)
        depthwise_rows(3, 1, 1, PIXELS, d, in, weights, bias, out, first_row, last_row);
    else if (d->kernel == 7 && d->stride == 1 && d->multiplier == 1)
        depthwise_rows(7, 1, 1, PIXELS, d, in, weights, bias, out, first_row, last_row);
    else if (d->kernel == 3 && d->stride == 2 && d->multiplier == 1)
        depthwise_rows(3, 2, 1, PIXELS, d, in, weights, bias, out, first_row, last_row);
    else if (d->kernel == 7 && d->stride == 2 && d->multiplier == 2)
        depthwise_rows(7, 2, 2, PIXELS / 2, d, in, weights, bias, out, first_row, last_row);
    else if (d->kernel == 3 && d->stride == 1 && d->multiplier == 2)
        depthwise_rows(3, 1, 2, PIXELS / 2, d, in, weights, bias, out, first_row, last_row);
    else // no layer of this family has another shape; the reference computes it all the same
        fv_f32_kernels__scalar.depthwise(d, in, weights, bias, out, first_row, last_row);
}

// ---- the stem

// Four pixels and V vectors of output channels at a time; a window is 27 inputs, each a broadcast.
INLINE void stem_tile(const int V, const float *window[4], const int32_t missing[4], int32_t first_tap, int32_t last_tap,
                      ptrdiff_t ld_in, int32_t channels, const float *weights, const float *bias, float *out[4], int32_t n) {
    vf sums[4][2];
    for (int t = 0; t < 4; t++)
        for (int v = 0; v < V; v++) sums[t][v] = load_n(bias + v * LANES, v == V - 1 ? n : LANES);
    for (int32_t ky = first_tap; ky < last_tap; ky++)
        for (int32_t kx = 0; kx < 9; kx++) {
            const float *w = weights + (ptrdiff_t)(ky * 9 + kx) * channels;
            vf w0 = load_n(w, V == 1 ? n : LANES), w1 = V == 2 ? load_n(w + LANES, n) : w0;
            for (int t = 0; t < 4; t++) {
                // bit 0: no column to the left, bit 1: none to the right
                if ((missing[t] & 1 && kx < 3) || (missing[t] & 2 && kx >= 6)) continue;
                vf x = splat(window[t][ky * ld_in + kx]);
                sums[t][0] = fma_(x, w0, sums[t][0]);
                if (V == 2) sums[t][1] = fma_(x, w1, sums[t][1]);
            }
        }
    for (int t = 0; t < 4; t++)
        for (int v = 0; v < V; v++) store_n(out[t] + v * LANES, gelu_(sums[t][v]), v == V - 1 ? n : LANES);
}

static void FV_SUFFIX(f32_stem)(const float *in, int32_t in_height, int32_t in_width, int32_t channels,
                                const float *weights, const float *bias, float *out, int32_t first_row, int32_t last_row) {
    int32_t out_width = (in_width + 1) / 2;
    ptrdiff_t ld_in = (ptrdiff_t)in_width * 3;
    float unwanted[2 * LANES];
    for (int32_t oy = first_row; oy < last_row; oy++) {
        int32_t first_tap = oy == 0 ? 1 : 0, last_tap = oy * 2 + 1 < in_height ? 3 : 2;
        float *row = out + (ptrdiff_t)(oy - first_row) * out_width * channels;
        for (int32_t ox = 0; ox < out_width; ox += 4) {
            const float *window[4];
            int32_t missing[4];
            for (int32_t t = 0; t < 4; t++) {
                int32_t x = ox + t < out_width ? ox + t : out_width - 1;
                window[t] = in + (oy * 2 - 1) * ld_in + (x * 2 - 1) * 3;
                missing[t] = (x == 0 ? 1 : 0) | (x * 2 + 1 < in_width ? 0 : 2);
            }
            for (int32_t c = 0; c < channels;) {
                int32_t left = channels - c, wide = left > LANES;
                int32_t n = wide ? (left - LANES < LANES ? left - LANES : LANES) : left;
                float *pixels[4];
                for (int32_t t = 0; t < 4; t++)
                    pixels[t] = ox + t < out_width ? row + (ptrdiff_t)(ox + t) * channels + c : unwanted;
                if (wide)
                    stem_tile(2, window, missing, first_tap, last_tap, ld_in, channels, weights + c, bias + c, pixels, n);
                else
                    stem_tile(1, window, missing, first_tap, last_tap, ld_in, channels, weights + c, bias + c, pixels, n);
                c += wide ? LANES + n : n;
            }
        }
    }
}

// ---- rows

INLINE void finish_row(const float *sums, const fv_ending *e, const float *residual, float *out, int32_t c, int32_t n) {
    vf x = load_n(sums + c, n);
    vf bias = e->bias ? load_n(e->bias + c, n) : splat(0);
    x = e->scale ? fma_(x, load_n(e->scale + c, n), bias) : x + bias;
    if (e->gelu) x = gelu_(x);
    if (residual) x += load_n(residual + c, n);
    store_n(out + c, x, n);
}

static void FV_SUFFIX(f32_finish)(const float *sums, ptrdiff_t ld_sums, const fv_ending *e, float *out, ptrdiff_t ld_out,
                                  int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++) {
        const float *residual = e->residual ? e->residual + r * e->ld_residual : 0;
        int32_t c = 0;
        for (; c + LANES <= columns; c += LANES) finish_row(sums + r * ld_sums, e, residual, out + r * ld_out, c, LANES);
        if (c < columns) finish_row(sums + r * ld_sums, e, residual, out + r * ld_out, c, columns - c);
    }
}

static void FV_SUFFIX(f32_layer_norm)(const float *x, ptrdiff_t ld_x, const float *weight, const float *bias,
                                      float epsilon, float *out, ptrdiff_t ld_out, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++, x += ld_x, out += ld_out) {
        vf total = splat(0), squares = splat(0);
        for (int32_t c = 0; c < columns; c += LANES) total += load_n(x + c, columns - c < LANES ? columns - c : LANES);
        float mean = sum_of(total) / (float)columns;
        int32_t c = 0;
        for (; c + LANES <= columns; c += LANES) {
            vf apart = load(x + c) - mean;
            squares = fma_(apart, apart, squares);
        }
        float variance = sum_of(squares);
        for (int32_t rest = c; rest < columns; rest++) variance += (x[rest] - mean) * (x[rest] - mean);
        float factor = 1 / sqrtf(variance / (float)columns + epsilon);
        for (c = 0; c < columns; c += LANES) {
            int32_t n = columns - c < LANES ? columns - c : LANES;
            store_n(out + c, fma_((load_n(x + c, n) - mean) * factor, load_n(weight + c, n), load_n(bias + c, n)), n);
        }
    }
}

static void FV_SUFFIX(f32_rms_norm)(const float *x, ptrdiff_t ld_x, const float *weight, float epsilon, float *out,
                                    ptrdiff_t ld_out, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++, x += ld_x, out += ld_out) {
        vf squares = splat(0);
        for (int32_t c = 0; c < columns; c += LANES) {
            vf v = load_n(x + c, columns - c < LANES ? columns - c : LANES);
            squares = fma_(v, v, squares);
        }
        float factor = 1 / sqrtf(sum_of(squares) / (float)columns + epsilon);
        for (int32_t c = 0; c < columns; c += LANES) {
            int32_t n = columns - c < LANES ? columns - c : LANES;
            store_n(out + c, load_n(x + c, n) * factor * load_n(weight + c, n), n);
        }
    }
}

static void FV_SUFFIX(f32_rope)(float *x, ptrdiff_t ld_x, const float *cosines, const float *sines, int32_t rows,
                                int32_t heads, int32_t head_dim) {
    int32_t half = head_dim / 2;
    for (int32_t r = 0; r < rows; r++, cosines += half, sines += half)
        for (int32_t h = 0; h < heads; h++) {
            float *head = x + r * ld_x + (ptrdiff_t)h * head_dim;
            for (int32_t i = 0; i < half; i += LANES) {
                int32_t n = half - i < LANES ? half - i : LANES;
                vf a = load_n(head + i, n), b = load_n(head + half + i, n);
                vf c = load_n(cosines + i, n), s = load_n(sines + i, n);
                store_n(head + i, a * c - b * s, n);
                store_n(head + half + i, b * c + a * s, n);
            }
        }
}

static void FV_SUFFIX(f32_silu_multiply)(float *gate, const float *up, ptrdiff_t count) {
    for (ptrdiff_t i = 0; i < count; i += LANES) {
        int32_t n = count - i < LANES ? (int32_t)(count - i) : LANES;
        vf g = load_n(gate + i, n);
        store_n(gate + i, g * sigmoid_(g) * load_n(up + i, n), n);
    }
}

static void FV_SUFFIX(f32_column_sums)(const float *x, ptrdiff_t ld_x, float *sums, int32_t rows, int32_t columns) {
    for (int32_t c = 0; c < columns; c += LANES) {
        int32_t n = columns - c < LANES ? columns - c : LANES;
        vf total = load_n(sums + c, n);
        for (int32_t r = 0; r < rows; r++) total += load_n(x + r * ld_x + c, n);
        store_n(sums + c, total, n);
    }
}

static void FV_SUFFIX(f32_scale_gelu)(float *x, ptrdiff_t ld_x, const float *factor, int32_t rows, int32_t columns) {
    for (int32_t r = 0; r < rows; r++, x += ld_x)
        for (int32_t c = 0; c < columns; c += LANES) {
            int32_t n = columns - c < LANES ? columns - c : LANES;
            store_n(x + c, gelu_(load_n(x + c, n) * load_n(factor + c, n)), n);
        }
}

#include "f32_attention.h"

// ---- matrix times vector

#ifndef FV_LOAD_F16
INLINE vf load_f16(const void *p) {
    vh half;
    memcpy(&half, p, sizeof half);
    vu wide = __builtin_convertvector(half, vu);
    vu sign = (wide & 0x8000) << 16, magnitude = (wide & 0x7fff) << 13;
    // 2^112 moves the exponent from half's bias to float's, subnormals included; infinities and NaN keep theirs.
    vu finite = (vu)((vf)magnitude * splat(0x1p112f)), special = magnitude | 0x7f800000u;
    vu is_special = (vu)(magnitude >= 0x0f800000u);
    return (vf)(sign | (special & is_special) | (finite & ~is_special));
}
#endif

INLINE vf load_bf16(const void *p) {
    vh half;
    memcpy(&half, p, sizeof half);
    return (vf)(__builtin_convertvector(half, vu) << 16);
}

INLINE vf load_element(const void *p, const fv_element element, ptrdiff_t i) {
    if (element == FV_F32) return load((const float *)p + i);
    const uint16_t *half = (const uint16_t *)p + i;
    return element == FV_BF16 ? load_bf16(half) : load_f16(half);
}

INLINE vf load_element_n(const void *p, const fv_element element, ptrdiff_t i, int32_t n) {
    char padded[4 * LANES] = {0};
    size_t size = element == FV_F32 ? 4 : 2;
    memcpy(padded, (const char *)p + size * (size_t)i, size * (size_t)n);
    return load_element(padded, element, 0);
}

INLINE void gemv_rows(const int R, const fv_element element, const void *weights, const float *x, float *out, int32_t columns) {
    vf sums[4][2];
    for (int r = 0; r < R; r++) sums[r][0] = sums[r][1] = splat(0);
    int32_t k = 0;
    for (; k + 2 * LANES <= columns; k += 2 * LANES) {
        vf x0 = load(x + k), x1 = load(x + k + LANES);
        for (int r = 0; r < R; r++) {
            sums[r][0] = fma_(load_element(weights, element, (ptrdiff_t)r * columns + k), x0, sums[r][0]);
            sums[r][1] = fma_(load_element(weights, element, (ptrdiff_t)r * columns + k + LANES), x1, sums[r][1]);
        }
    }
    for (; k < columns; k += LANES) {
        int32_t n = columns - k < LANES ? columns - k : LANES;
        vf x0 = load_n(x + k, n);
        for (int r = 0; r < R; r++)
            sums[r][0] = fma_(load_element_n(weights, element, (ptrdiff_t)r * columns + k, n), x0, sums[r][0]);
    }
    for (int r = 0; r < R; r++) out[r] = sum_of(sums[r][0] + sums[r][1]);
}

INLINE void gemv_range(const fv_element element, const void *weights, const float *x, float *out, int32_t first, int32_t last,
                       int32_t columns) {
    ptrdiff_t row_bytes = (ptrdiff_t)columns * (element == FV_F32 ? 4 : 2);
    int32_t n = first;
    for (; n + 4 <= last; n += 4) gemv_rows(4, element, (const char *)weights + n * row_bytes, x, out + n, columns);
    for (; n < last; n++) gemv_rows(1, element, (const char *)weights + n * row_bytes, x, out + n, columns);
}

static void FV_SUFFIX(f32_gemv)(const void *weights, fv_element element, const float *x, float *out, int32_t first,
                                int32_t last, int32_t columns) {
    switch (element) {
    case FV_F32: gemv_range(FV_F32, weights, x, out, first, last, columns); break;
    case FV_F16: gemv_range(FV_F16, weights, x, out, first, last, columns); break;
    case FV_BF16: gemv_range(FV_BF16, weights, x, out, first, last, columns); break;
    }
}

INLINE void expand_all(const fv_element element, const void *in, float *out, ptrdiff_t count) {
    ptrdiff_t i = 0;
    for (; i + LANES <= count; i += LANES) store(out + i, load_element(in, element, i));
    if (i < count) store_first(out + i, load_element_n(in, element, i, (int32_t)(count - i)), (int32_t)(count - i));
}

static void FV_SUFFIX(f32_expand)(const void *in, fv_element element, float *out, ptrdiff_t count) {
    switch (element) {
    case FV_F32: memcpy(out, in, 4 * (size_t)count); break;
    case FV_F16: expand_all(FV_F16, in, out, count); break;
    case FV_BF16: expand_all(FV_BF16, in, out, count); break;
    }
}

#include "f32_table.h"
