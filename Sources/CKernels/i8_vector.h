// The quantized kernels for every instruction set with vectors, written once over vectors of LANES floats.
// The including file sets the target, LANES, FV_SUFFIX, FV_ISA_OF_TABLE and FV_NAME and provides
//   max_, min_          on vf, one instruction each (no care for NaN),
//   load_first, store_first, load_half   of the first n floats; LANES float16 values,
//   i8_dot, i4_dot      the integer products, see below,
// with I8_ROWS x I8_PANELS and I4_ROWS x I4_PANELS the tiles whose sums fit in its registers, and I8_OFFSET
// and I4_OFFSET what its products add to every weight: the offset times the activations' sum is taken off.
// I8_GROUP_ROWS x I8_GROUP_PANELS, no larger than the first, may be a tile whose totals as float fit beside its sums.
#include <string.h>

#include "i8_tables.h"

// Tiles of activations with several scales a row keep totals beside the sums.
#ifndef I8_GROUP_ROWS
#define I8_GROUP_ROWS I8_ROWS
#define I8_GROUP_PANELS I8_PANELS
#endif

#define VECTORS (FV_PANEL / LANES) // of a panel

// n is a constant in every loop but its last turn.
INLINE vf load_n(const float *p, int32_t n) { return n == LANES ? load(p) : load_first(p, n); }
INLINE void store_n(float *p, vf x, int32_t n) {
    if (n == LANES)
        store(p, x);
    else
        store_first(p, x, n);
}

// x * P(X <= x) for a normal X, with the probability as 1/2 and a polynomial of odd degree 13 fitted so that the product
// is within 2e-4, and exactly 0 or x where float32's is: a third of a step of 8 bits from 0 to 0.07.
INLINE vf gelu_(vf x) {
    vf u = x * x;
    vf p = splat(0x1.c353eep-26f);
    p = fma_(p, u, splat(-0x1.db410ap-20f));
    p = fma_(p, u, splat(0x1.adcdc4p-15f));
    p = fma_(p, u, splat(-0x1.bac3aap-11f));
    p = fma_(p, u, splat(0x1.241608p-7f));
    p = fma_(p, u, splat(-0x1.09b484p-4f));
    p = fma_(p, u, splat(0x1.97a3bep-2f));
    return x * min_(max_(fma_(x, p, splat(0.5f)), splat(0)), splat(1));
}

// ---- activations

// Magnitudes compare like their bits, and infinities and NaN lie above all finite ones.
INLINE vi magnitude_(vf x) { return (vi)x & 0x7fffffff; }

// The bits of the largest magnitude of a group.
INLINE int32_t largest_bits(const float *x, int32_t count) {
    vi largest[2] = {};
    int32_t k = 0;
    for (; k + 2 * LANES <= count; k += 2 * LANES) {
        largest[0] = imax_(largest[0], magnitude_(load(x + k)));
        largest[1] = imax_(largest[1], magnitude_(load(x + k + LANES)));
    }
    for (; k < count; k += LANES)
        largest[0] = imax_(largest[0], magnitude_(load_n(x + k, count - k < LANES ? count - k : LANES)));
    return __builtin_reduce_max(imax_(largest[0], largest[1]));
}

// Quantizes a group whose largest magnitude has these bits.
INLINE void quantize_group(const float *x, int32_t bits, int32_t count, int32_t padded, int8_t *values, float *scale,
                           int32_t *sum) {
    if (bits > FV_LARGEST_BITS) {
        fv_i8_quantize_group(x, count, padded, values, scale, sum);
        return;
    }
    float most;
    memcpy(&most, &bits, 4);
    *scale = most < FV_SMALLEST ? 0 : most / 127;
    vf inverse = splat(most < FV_SMALLEST ? 0 : 127 / most);
    vu sums = {};
    int32_t k = 0;
    for (; k + LANES <= count; k += LANES) {
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
            quantize_group(x + first, largest_bits(x + first, count), count, end - first, values + first, scale++, sum++);
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
    int32_t *largest; // [rows, FV_PANEL] or NULL: bits of the largest magnitudes among the outputs, lane by lane
} tile;

// Ends sums of R rows and P whole panels, whose activations have one scale a row, without leaving the registers.
INLINE void end_sums(const int R, const int P, const int gelu, const int tracks, const tile *t,
                     vi sums[I8_ROWS][I8_PANELS * VECTORS], int32_t row, int32_t first) {
    const fv_ending *e = t->e;
    const float *scales = t->a->scales + row;
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
        vi most[VECTORS] = {};
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) {
            int32_t c = first + v * LANES;
            vf x = fma_(__builtin_convertvector(sums[m][v], vf) * scales[m], load(e->scale + c), e->bias ? load(e->bias + c) : splat(0));
            if (gelu) x = gelu_(x);
            if (tracks) most[v % VECTORS] = imax_(most[v % VECTORS], magnitude_(x));
            if (e->residual) x += load(e->residual + (row + m) * e->ld_residual + c);
            store(t->out + (ptrdiff_t)(row + m) * t->ld_out + c, x);
        }
        if (tracks)
#pragma clang loop unroll(full)
            for (int v = 0; v < VECTORS; v++) {
                int32_t *at = t->largest + (ptrdiff_t)(row + m) * FV_PANEL + v * LANES;
                vi before;
                memcpy(&before, at, sizeof before);
                before = imax_(before, most[v]);
                memcpy(at, &before, sizeof before);
            }
    }
}

// The sums of R rows and P panels over the inputs first ..< end, which are group g of the activations.
INLINE void group_sums(const int R, const int P, const tile *t, const int8_t *panels, int32_t row, int32_t panel, int32_t g,
                       int32_t first, int32_t end, vi sums[I8_ROWS][I8_PANELS * VECTORS]) {
    ptrdiff_t ld_w = (ptrdiff_t)t->padded * FV_PANEL, ld = t->a->ld;
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++) {
        int32_t sum = t->a->sums[(ptrdiff_t)(row + m) * t->groups + g];
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) sums[m][v] = I8_OFFSET ? (vi){} - I8_OFFSET * sum : (vi){};
    }
    i8_dot(R, P, t->a->values + row * ld + first, ld, panels + (ptrdiff_t)panel * ld_w + (ptrdiff_t)first * FV_PANEL, ld_w,
           end - first, sums);
}

// Ends sums of R rows and P panels, the last of which may be outputs in part.
INLINE void end_tile(const int R, const int P, const tile *t, vi sums[I8_ROWS][I8_PANELS * VECTORS], int32_t row, int32_t panel) {
    int32_t left = t->outputs - panel * FV_PANEL;
    if (left >= P * FV_PANEL) {
        if (t->largest) // only of layers with an activation
            end_sums(R, P, 1, 1, t, sums, row, panel * FV_PANEL);
        else if (t->e->gelu)
            end_sums(R, P, 1, 0, t, sums, row, panel * FV_PANEL);
        else
            end_sums(R, P, 0, 0, t, sums, row, panel * FV_PANEL);
        return;
    }
    float values[I8_ROWS * I8_PANELS * FV_PANEL] __attribute__((aligned(64)));
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++)
            store(values + (m * P * VECTORS + v) * LANES, __builtin_convertvector(sums[m][v], vf) * t->a->scales[row + m]);
    end_rows(R, t->e, values, P * FV_PANEL, panel * FV_PANEL, left < P * FV_PANEL ? left : P * FV_PANEL, row, t->out,
             t->ld_out);
}

// Rows row ..< row + R and panels panel ..< panel + P.
INLINE void i8_tile(const int R, const int P, const tile *t, const int8_t *panels, int32_t row, int32_t panel) {
    vi sums[I8_ROWS][I8_PANELS * VECTORS];
    group_sums(R, P, t, panels, row, panel, 0, 0, t->padded, sums);
    end_tile(R, P, t, sums, row, panel);
}

// A stretch of memory that the next tiles read: weights come from far while these are multiplied.
typedef struct ahead {
    const char *at;
    ptrdiff_t bytes;
} ahead;

// Part `part` of `parts`.
INLINE ahead part_of(ahead a, int32_t part, int32_t parts) {
    ptrdiff_t from = a.bytes * part / parts & ~(ptrdiff_t)63, to = a.bytes * (part + 1) / parts;
    return (ahead){a.at + from, to - from};
}

// No more than this: it must wait in the second-level cache beside what is in use.
#define FV_AHEAD (128 * 1024)

INLINE void ask_for(ahead a) {
    for (ptrdiff_t i = 0; i < a.bytes; i += 64) __builtin_prefetch(a.at + i, 0, 2);
}

// The same where activations have several scales a row: a sum for each group, and their total as float.
INLINE void i8_group_tile(const int R, const int P, const tile *t, const int8_t *panels, int32_t row, int32_t panel, ahead next) {
    vf totals[I8_ROWS][I8_PANELS * VECTORS];
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) totals[m][v] = splat(0);
    for (int32_t g = 0, first = 0; g < t->groups; g++, first += t->a->group) {
        vi sums[I8_ROWS][I8_PANELS * VECTORS];
        ask_for(part_of(next, g, t->groups));
        group_sums(R, P, t, panels, row, panel, g, first, g + 1 < t->groups ? first + t->a->group : t->padded, sums);
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++) {
            vf scale = splat(t->a->scales[(ptrdiff_t)(row + m) * t->groups + g]);
#pragma clang loop unroll(full)
            for (int v = 0; v < P * VECTORS; v++)
                totals[m][v] = fma_(__builtin_convertvector(sums[m][v], vf), scale, totals[m][v]);
        }
    }
    float values[I8_ROWS * I8_PANELS * FV_PANEL] __attribute__((aligned(64)));
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) store(values + (m * P * VECTORS + v) * LANES, totals[m][v]);
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

// The same in groups; `next` panels follow.
INLINE void i8_group_column(const int P, const tile *t, const int8_t *panels, int32_t row, int32_t last, int32_t panel,
                            int32_t next) {
    ptrdiff_t ld_w = (ptrdiff_t)t->padded * FV_PANEL;
    ahead following = {(const char *)(panels + (panel + P) * ld_w), next * ld_w < FV_AHEAD ? next * ld_w : 0};
    int32_t parts = (last - row) / I8_GROUP_ROWS;
    for (int32_t part = 0; part < parts; part++, row += I8_GROUP_ROWS)
        i8_group_tile(I8_GROUP_ROWS, P, t, panels, row, panel, part_of(following, part, parts));
    following.bytes = 0;
    if (I8_GROUP_ROWS > 4 && row + 4 <= last)
        i8_group_tile(I8_GROUP_ROWS < 4 ? I8_GROUP_ROWS : 4, P, t, panels, row, panel, following), row += 4;
    if (row + 2 <= last) i8_group_tile(2, P, t, panels, row, panel, following), row += 2;
    if (row < last) i8_group_tile(1, P, t, panels, row, panel, following);
}

// The panels that come after P panels from `panel` on, at most as many.
INLINE int32_t following(const int P, int32_t panel, int32_t last_panel) {
    int32_t left = last_panel - panel - P;
    return left < P ? left : P;
}

#ifdef FV_TILES
#include "i8_tiles.h"
#endif

static void FV_SUFFIX(i8_product)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *w, int32_t first_panel,
                                  int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out, int32_t *largest) {
    int32_t padded = fv_quant_columns(w->inputs);
    tile t = {a, fv_quant_groups(a->columns, a->group), padded, w->outputs, e, out, ld_out, largest};
    // Activations that stay in the second-level cache while all panels pass them.
    int32_t at_once = t.groups > 1 ? I8_GROUP_ROWS : I8_ROWS;
#ifdef FV_TILES
    if (tiles_suit(&t, rows)) at_once = TILE_BLOCK;
#endif
    int32_t block = FV_ACTIVATION_CACHE / padded / at_once * at_once;
    if (block < at_once) block = at_once;
    for (int32_t row = 0; row < rows; row += block) {
        int32_t last = rows - row < block ? rows : row + block, panel = first_panel;
#ifdef FV_TILES
        if (tiles_suit(&t, last - row)) {
            i8_tiles(&t, w->panels, row, last, first_panel, last_panel);
            continue;
        }
#endif
        // Few rows: the time is the weights' way from memory, best in one stream.
        if (t.groups > 1) {
            if (I8_GROUP_PANELS > 1 && last - row > I8_GROUP_ROWS)
                for (; panel + I8_GROUP_PANELS <= last_panel; panel += I8_GROUP_PANELS)
                    i8_group_column(I8_GROUP_PANELS, &t, w->panels, row, last, panel,
                                    following(I8_GROUP_PANELS, panel, last_panel));
            for (; panel < last_panel; panel++) i8_group_column(1, &t, w->panels, row, last, panel, 0);
            continue;
        }
        if (I8_PANELS > 1 && last - row > I8_ROWS) {
            for (; panel + I8_PANELS <= last_panel; panel += I8_PANELS)
                i8_column(I8_PANELS, &t, w->panels, row, last, panel);
        }
        for (; panel < last_panel; panel++) i8_column(1, &t, w->panels, row, last, panel);
    }
}

static void FV_SUFFIX(i8_gemm)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *w, int32_t first_panel,
                               int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out) {
    FV_SUFFIX(i8_product)(a, rows, w, first_panel, last_panel, e, out, ld_out, 0);
}

static void FV_SUFFIX(i8_mlp)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *first, const fv_ending *first_ending,
                              const fv_i8_weights *second, const fv_ending *second_ending, void *scratch, float *out,
                              ptrdiff_t ld_out) {
    int32_t wide = first->outputs;
    // The first layer's end knows the largest magnitudes where it sees whole panels and an activation.
    int tracks = wide % FV_PANEL == 0 && first_ending->gelu && fv_quant_groups(a->columns, a->group) == 1;
    mlp_rows h = mlp_rows_in(scratch, wide);
    for (int32_t row = 0; row < rows; row += FV_MLP_ROWS) {
        int32_t count = rows - row < FV_MLP_ROWS ? rows - row : FV_MLP_ROWS;
        fv_i8_rows x = rows_from(a, row);
        if (tracks) memset(h.largest, 0, sizeof(int32_t) * FV_PANEL * (size_t)count);
        FV_SUFFIX(i8_product)(&x, count, first, 0, fv_quant_panels(wide), first_ending, h.x, wide,
                              tracks ? h.largest : 0);
        for (int32_t m = 0; m < count; m++) {
            const float *from = h.x + (ptrdiff_t)m * wide;
            int32_t bits = 0;
            if (tracks)
                for (int32_t i = 0; i < FV_PANEL; i++)
                    bits = bits > h.largest[m * FV_PANEL + i] ? bits : h.largest[m * FV_PANEL + i];
            else
                bits = largest_bits(from, wide);
            quantize_group(from, bits, wide, fv_quant_columns(wide), h.rows.values + m * h.rows.ld, h.rows.scales + m,
                           h.rows.sums + m);
        }
        fv_ending end = *second_ending;
        if (end.residual) end.residual += row * end.ld_residual;
        FV_SUFFIX(i8_product)(&h.rows, count, second, 0, fv_quant_panels(second->outputs), &end, out + row * ld_out, ld_out, 0);
    }
}

#include "i4_vector.h"

const fv_quant_kernels FV_SUFFIX(fv_quant_kernels) = {
    .isa = FV_ISA_OF_TABLE,
    .name = FV_NAME,
    .quantize_rows = FV_SUFFIX(i8_quantize_rows),
    .i8_gemm = FV_SUFFIX(i8_gemm),
    .i8_mlp = FV_SUFFIX(i8_mlp),
    .i4_gemm = FV_SUFFIX(i4_gemm),
#ifdef FV_ATTENTION
    .attention = FV_ATTENTION,
#endif
};
