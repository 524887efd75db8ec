#ifndef FASTVLM_I8_TABLES_H
#define FASTVLM_I8_TABLES_H

#include "quant_kernels.h"

extern const fv_quant_kernels fv_quant_kernels__scalar;
extern const fv_quant_kernels fv_quant_kernels__avx2;
extern const fv_quant_kernels fv_quant_kernels__avxvnni;
extern const fv_quant_kernels fv_quant_kernels__avx512;
extern const fv_quant_kernels fv_quant_kernels__amx;
extern const fv_quant_kernels fv_quant_kernels__neon;
extern const fv_quant_kernels fv_quant_kernels__neon_i8mm;

// fv_quant_kernels.attention of AMX.
void fv_bf16_attention__amx(const fv_attention *a, const float *query, const float *key, const float *value, float *out,
                            float *scratch);

// Quantizes one group of `count` values into `padded` bytes, whatever the values are; the vector kernels call
// it for groups that hold a magnitude above FV_LARGEST, an infinity or NaN.
void fv_i8_quantize_group(const float *x, int32_t count, int32_t padded, int8_t *values, float *scale, int32_t *sum);

// The rows between the two layers of an i8_mlp, FV_MLP_ROWS of them, in its scratch.
typedef struct mlp_rows {
    fv_i8_rows rows;
    float *x;         // [FV_MLP_ROWS, wide]
    int32_t *largest; // [FV_MLP_ROWS, FV_PANEL]
} mlp_rows;

static inline mlp_rows mlp_rows_in(void *scratch, int32_t wide) {
    mlp_rows h;
    ptrdiff_t ld = fv_quant_columns(wide);
    h.x = scratch;
    h.largest = (int32_t *)(h.x + FV_MLP_ROWS * (ptrdiff_t)wide);
    h.rows.scales = (float *)(h.largest + FV_MLP_ROWS * FV_PANEL);
    h.rows.sums = (int32_t *)(h.rows.scales + FV_MLP_ROWS);
    h.rows.values = (int8_t *)(h.rows.sums + FV_MLP_ROWS);
    h.rows.ld = ld;
    h.rows.columns = wide;
    h.rows.group = wide;
    return h;
}

// The rows of `a` from `row` on.
static inline fv_i8_rows rows_from(const fv_i8_rows *a, int32_t row) {
    fv_i8_rows rest = *a;
    ptrdiff_t groups = fv_quant_groups(a->columns, a->group);
    rest.values += row * a->ld;
    rest.scales += row * groups;
    rest.sums += row * groups;
    return rest;
}

// What AMX's LDTILECFG reads: the palette, then bytes a row and rows of each tile.
typedef struct fv_tile_shapes {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} fv_tile_shapes;

// Adding this to a float of magnitude up to 2^22 rounds it to a whole number, which is then the low bits.
#define FV_ROUNDER 12582912.0f
#define FV_ROUNDER_BITS 0x4b400000u

// Below this the reciprocal of a scale would not be finite.
#define FV_SMALLEST 1e-30f

// 127 times a 127th of this is still finite. Its bits, as those of all magnitudes, compare like numbers.
#define FV_LARGEST 3e38f
#define FV_LARGEST_BITS 0x7f61b1e6

#endif
