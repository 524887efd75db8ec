// The quantized kernels for every instruction set with vectors, written once over vectors of LANES floats.
// The including file sets the target, LANES, FV_SUFFIX, FV_ISA_OF_TABLE and FV_NAME and provides
//   max_, min_          on vf, one instruction each (no care for NaN),
//   load_first, store_first, load_half   of the first n floats; LANES float16 values,
//   i8_dot, i4_dot      the integer products, see below,
// with I8_ROWS x I8_PANELS and I4_ROWS x I4_PANELS the tiles whose sums fit in its registers, and I8_OFFSET
// and I4_OFFSET what its products add to every weight: the offset times the activations' sum is taken off.
#include <string.h>

#include "i8_tables.h"

#define VECTORS (FV_PANEL / LANES) // of a panel

// n is a constant in every loop but its last turn.
INLINE vf load_n(const float *p, int32_t n) { return n == LANES ? load(p) : load_first(p, n); }
INLINE void store_n(float *p, vf x, int32_t n) {
    if (n == LANES)
        store(p, x);
    else
        store_first(p, x, n);
}

// x/2 * (1 + erf(x / sqrt(2))) with erf as a polynomial of odd degree 17, fitted for |x| <= 4.3 and at least 1
// beyond: error below 4e-5, and exactly 0 or x where float32 erf is 1.
INLINE vf gelu_(vf x) {
    vf u = x * x, half = x * splat(0.5f);
    vf p = splat(0x1.75160cp-34f);
    p = fma_(p, u, splat(-0x1.2652aap-27f));
    p = fma_(p, u, splat(0x1.9adcf6p-22f));
    p = fma_(p, u, splat(-0x1.514344p-17f));
    p = fma_(p, u, splat(0x1.6e41c0p-13f));
    p = fma_(p, u, splat(-0x1.193358p-9f));
    p = fma_(p, u, splat(0x1.3dd9e8p-6f));
    p = fma_(p, u, splat(-0x1.0f033ap-3f));
    p = fma_(p, u, splat(0x1.986172p-1f));
    vf erf = min_(max_(x * p, splat(-1.0f)), splat(1.0f));
    return fma_(half, erf, half);
}

// ---- activations

INLINE void quantize_group(const float *x, int32_t count, int32_t padded, int8_t *values, float *scale, int32_t *sum) {
    // Magnitudes compare like their bits, and infinities and NaN lie above all finite ones.
    vi largest[2] = {};
    int32_t k = 0;
    for (; k + 2 * LANES <= count; k += 2 * LANES) {
        largest[0] = imax_(largest[0], (vi)load(x + k) & 0x7fffffff);
        largest[1] = imax_(largest[1], (vi)load(x + k + LANES) & 0x7fffffff);
    }
    for (; k < count; k += LANES)
        largest[0] = imax_(largest[0], (vi)load_n(x + k, count - k < LANES ? count - k : LANES) & 0x7fffffff);
    int32_t bits = __builtin_reduce_max(imax_(largest[0], largest[1]));
    if (bits > FV_LARGEST_BITS) {
        fv_i8_quantize_group(x, count, padded, values, scale, sum);
        return;
    }
    float most;
    memcpy(&most, &bits, 4);
    *scale = most < FV_SMALLEST ? 0 : most / 127;
    vf inverse = splat(most < FV_SMALLEST ? 0 : 127 / most);
    vu sums = {};
    for (k = 0; k + LANES <= count; k += LANES) {
        vu rounded = (vu)fma_(load(x + k), inverse, splat(FV_ROUNDER));
        sums += rounded;
        store_bytes(values + k, rounded);
    }
    for (; k < padded; k += LANES) {
        int32_t n = count - k < 0 ? 0 : count - k < LANES ? count - k : LANES;
        vu rounded = (vu)fma_(n == 0 ? splat(0) : load_n(x + k, n), inverse, splat(FV_ROUNDER));
        sums += rounded;
        store_bytes(values + k, rounded);
    }
    *sum = (int32_t)(__builtin_reduce_add(sums) - FV_ROUNDER_BITS * (uint32_t)padded);
}

static void FV_SUFFIX(i8_quantize_rows)(const float *x, ptrdiff_t ld_x, int32_t rows, const fv_i8_rows *out) {
    int32_t groups = fv_quant_groups(out->columns, out->group), padded = fv_quant_columns(out->columns);
    float *scale = out->scales;
    int32_t *sum = out->sums;
    for (int32_t m = 0; m < rows; m++, x += ld_x) {
        int8_t *values = out->values + m * out->ld;
        for (int32_t g = 0, first = 0; g < groups; g++, first += out->group) {
            int32_t end = g + 1 < groups ? first + out->group : padded;
            int32_t count = (end < out->columns ? end : out->columns) - first;
            quantize_group(x + first, count, end - first, values + first, scale++, sum++);
        }
    }
}

// ---- the ends of products

// out = ending(values * scale + bias) of R rows and `columns` outputs from `first` on; values [R, ld].
INLINE void end_rows(const int R, const fv_ending *e, const float *values, ptrdiff_t ld, int32_t first, int32_t columns,
                     int32_t row, float *out, ptrdiff_t ld_out) {
    for (int32_t c = 0; c < columns; c += LANES) {
        int32_t n = columns - c < LANES ? columns - c : LANES;
        vf scale = e->scale ? load_n(e->scale + first + c, n) : splat(1);
        vf bias = e->bias ? load_n(e->bias + first + c, n) : splat(0);
        for (int m = 0; m < R; m++) {
            vf x = fma_(load(values + m * ld + c), scale, bias);
            if (e->gelu) x = gelu_(x);
            if (e->residual) x += load_n(e->residual + (row + m) * e->ld_residual + first + c, n);
            store_n(out + (ptrdiff_t)(row + m) * ld_out + first + c, x, n);
        }
    }
}

// ---- 8-bit products

// What one tile of a product needs.
typedef struct tile {
    const fv_i8_rows *a;
    int32_t groups; // of the activations
    int32_t padded; // inputs
    int32_t outputs;
    const fv_ending *e;
    float *out;
    ptrdiff_t ld_out;
} tile;

// Rows row ..< row + R and panels panel ..< panel + P.
INLINE void i8_tile(const int R, const int P, const tile *t, const int8_t *panels, int32_t row, int32_t panel) {
    float values[I8_ROWS * I8_PANELS * FV_PANEL] __attribute__((aligned(64)));
    ptrdiff_t ld_w = (ptrdiff_t)t->padded * FV_PANEL, ld = t->a->ld;
    const int8_t *a = t->a->values + row * ld;
    for (int32_t g = 0, first = 0; g < t->groups; g++, first += t->a->group) {
        int32_t end = g + 1 < t->groups ? first + t->a->group : t->padded;
        vi sums[I8_ROWS][I8_PANELS * VECTORS];
        float scale[I8_ROWS];
        for (int m = 0; m < R; m++) {
            ptrdiff_t i = (ptrdiff_t)(row + m) * t->groups + g;
            scale[m] = t->a->scales[i];
            for (int v = 0; v < P * VECTORS; v++) sums[m][v] = I8_OFFSET ? (vi){} - I8_OFFSET * t->a->sums[i] : (vi){};
        }
        i8_dot(R, P, a + first, ld, panels + (ptrdiff_t)panel * ld_w + (ptrdiff_t)first * FV_PANEL, ld_w, end - first, sums);
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
            for (int v = 0; v < P * VECTORS; v++) {
                float *at = values + (m * P * VECTORS + v) * LANES;
                vf x = __builtin_convertvector(sums[m][v], vf);
                store(at, g == 0 ? x * scale[m] : fma_(x, splat(scale[m]), load(at)));
            }
    }
    int32_t left = t->outputs - panel * FV_PANEL;
    end_rows(R, t->e, values, P * FV_PANEL, panel * FV_PANEL, left < P * FV_PANEL ? left : P * FV_PANEL, row, t->out,
             t->ld_out);
}

// The tiles of P panels over rows row ..< last.
INLINE void i8_column(const int P, const tile *t, const int8_t *panels, int32_t row, int32_t last, int32_t panel) {
    for (; row + I8_ROWS <= last; row += I8_ROWS) i8_tile(I8_ROWS, P, t, panels, row, panel);
    if (I8_ROWS > 4 && row + 4 <= last) i8_tile(I8_ROWS < 4 ? I8_ROWS : 4, P, t, panels, row, panel), row += 4;
    if (row + 2 <= last) i8_tile(2, P, t, panels, row, panel), row += 2;
    if (row < last) i8_tile(1, P, t, panels, row, panel);
}

static void FV_SUFFIX(i8_gemm)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *w, int32_t first_panel,
                               int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out) {
    int32_t padded = fv_quant_columns(w->inputs);
    tile t = {a, fv_quant_groups(a->columns, a->group), padded, w->outputs, e, out, ld_out};
    // Activations that stay in the second-level cache while all panels pass them.
    int32_t block = FV_ACTIVATION_CACHE / padded / I8_ROWS * I8_ROWS;
    if (block < I8_ROWS) block = I8_ROWS;
    for (int32_t row = 0; row < rows; row += block) {
        int32_t last = rows - row < block ? rows : row + block, panel = first_panel;
        // Few rows: the time is the weights' way from memory, best in one stream.
        if (I8_PANELS > 1 && last - row > I8_ROWS) {
            for (; panel + I8_PANELS <= last_panel; panel += I8_PANELS)
                i8_column(I8_PANELS, &t, w->panels, row, last, panel);
        }
        for (; panel < last_panel; panel++) i8_column(1, &t, w->panels, row, last, panel);
    }
}

#include "i4_vector.h"

const fv_quant_kernels FV_SUFFIX(fv_quant_kernels) = {
    .isa = FV_ISA_OF_TABLE,
    .name = FV_NAME,
    .quantize_rows = FV_SUFFIX(i8_quantize_rows),
    .i8_gemm = FV_SUFFIX(i8_gemm),
    .i4_gemm = FV_SUFFIX(i4_gemm),
};
