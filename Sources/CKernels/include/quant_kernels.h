#ifndef FASTVLM_QUANT_KERNELS_H
#define FASTVLM_QUANT_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "f32_kernels.h"
#include "isa.h"

// 8-bit and 4-bit matrix products. Weights are quantized once, when a model is packed, into a layout that
// serves every instruction set; activations are quantized as they come, row by row. As with the float32
// kernels, none allocates or starts a thread, and pointers need only the alignment of their element
// (64 bytes for weights is faster).
//
// A product is a linear layer: out[m, n] = ending(sum over k of x[m, k] * w[n, k]) with fv_ending's bias,
// GELU and residual. GELU here is within 2e-4 of the exact one, far below what quantizing costs.

enum {
    FV_PANEL = 16,             // outputs that lie together in packed weights
    FV_GROUP = 32,             // inputs that share a scale in 4-bit weights; all rows are padded to a multiple
    FV_MLP_ROWS = 64,          // rows whose hidden values i8_mlp holds at a time
    FV_QUANT_MAX_INPUTS = 32768 // 127 * (255 + 128) * this is the most that an int32 sum must hold
};

// Activations as 8-bit numbers: x[m, k] = values[m * ld + k] * scales[m, k / group], values in -127 ... 127.
typedef struct fv_i8_rows {
    int8_t *values;  // [rows, ld], zero from `columns` to fv_quant_columns(columns)
    ptrdiff_t ld;    // bytes between rows, at least fv_quant_columns(columns)
    float *scales;   // [rows, groups]
    int32_t *sums;   // [rows, groups]: the sum of the group's values
    int32_t columns;
    int32_t group;   // columns that share a scale, a multiple of FV_GROUP; `columns` or more: one scale a row
} fv_i8_rows;

// Weights [outputs, inputs] as w[n, k] = value * ending.scale[n], values in -127 ... 127. `panels` is
// [ceil(outputs / 16)][fv_quant_columns(inputs) / 4][16 outputs][4 inputs], zero where there is no weight.
typedef struct fv_i8_weights {
    const int8_t *panels;
    int32_t outputs;
    int32_t inputs;
} fv_i8_weights;

// Weights [outputs, inputs] as w[n, k] = (nibble - 8) * scale[n, k / 32].
// `nibbles` is [ceil(outputs / 16)][groups][4][16 outputs][4]: the low half of byte (j, n, i) is input
// 8 j + i of the group, the high half input 8 j + 4 + i; 8 where there is no weight.
// `scales` is [ceil(outputs / 16)][groups][16], float16.
typedef struct fv_i4_weights {
    const uint8_t *nibbles;
    const uint16_t *scales;
    int32_t outputs;
    int32_t inputs;
} fv_i4_weights;

typedef struct fv_quant_kernels {
    fv_isa isa;
    const char *name; // for tests and diagnosis: an instruction set may have several tables

    // Quantizes x [rows, out->columns] row by row, each group's largest magnitude to 127. A group whose
    // magnitudes are all below 1e-30 becomes zeros with scale 0. NaN counts as 0, and magnitudes above 3e38,
    // infinities among them, as 3e38. Every instruction set gives the same bytes.
    void (*quantize_rows)(const float *x, ptrdiff_t ld_x, int32_t rows, const fv_i8_rows *out);

    // out[m, n] for m in 0 ..< rows and the outputs n of panels first_panel ..< last_panel. `out`, the
    // ending's arrays and `w` are addressed from output 0; `e->scale` is the weights' scale and required.
    void (*i8_gemm)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *w, int32_t first_panel, int32_t last_panel,
                    const fv_ending *e, float *out, ptrdiff_t ld_out);

    // Two layers, the first with GELU, whose rows between them never leave the cache: exactly i8_gemm into
    // [rows, first->outputs], quantize_rows with one scale a row, and i8_gemm. The inputs are rows with one scale each.
    // scratch: fv_i8_mlp_scratch(first->outputs) bytes, aligned to 64.
    void (*i8_mlp)(const fv_i8_rows *a, int32_t rows, const fv_i8_weights *first, const fv_ending *first_ending,
                   const fv_i8_weights *second, const fv_ending *second_ending, void *scratch, float *out, ptrdiff_t ld_out);

    // i8_gemm with 4-bit weights. `a->group` is FV_GROUP, whatever the columns; `e->scale` is NULL or another
    // factor a output.
    void (*i4_gemm)(const fv_i8_rows *a, int32_t rows, const fv_i4_weights *w, int32_t first_panel, int32_t last_panel,
                    const fv_ending *e, float *out, ptrdiff_t ld_out);

    // fv_f32_kernels.attention with queries and keys of 16 bits of precision, and values and weights of 8 (bfloat16), for
    // models whose products are quantized: within 1e-2 of the largest result. NULL where float32 is as fast.
    void (*attention)(const fv_attention *a, const float *query, const float *key, const float *value, float *out,
                      float *scratch);
} fv_quant_kernels;

// The best kernels of `isa`, or NULL where this processor cannot run them.
const fv_quant_kernels *fv_quant_kernels_for(fv_isa isa);

// Every table that this processor runs, the reference first; NULL from the last on.
const fv_quant_kernels *fv_quant_kernels_at(int32_t index);

// `columns` rounded up to whole groups: the bytes of a row of activations, the inputs of packed weights.
int32_t fv_quant_columns(int32_t columns);

// The scales of a row of activations.
int32_t fv_quant_groups(int32_t columns, int32_t group);

// Bytes of scratch for i8_mlp with `hidden` values between its layers.
size_t fv_i8_mlp_scratch(int32_t hidden);

// ceil(outputs / 16).
int32_t fv_quant_panels(int32_t outputs);

// Bytes of packed weights, or 0 where a size is below 1 or `inputs` above FV_QUANT_MAX_INPUTS.
size_t fv_i8_weights_bytes(int32_t outputs, int32_t inputs);
size_t fv_i4_nibbles_bytes(int32_t outputs, int32_t inputs);
size_t fv_i4_scales_bytes(int32_t outputs, int32_t inputs);

// Quantizes outputs first_panel * 16 ... of w [outputs, inputs], each output's largest magnitude to 127, into
// those panels of `panels` and entries of `scales` [outputs]. `w` points at the first of these rows.
void fv_i8_pack(const float *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel, int32_t last_panel,
                int8_t *panels, float *scales);

// The same from weights that are 8-bit already, row-major, in -127 ... 127.
void fv_i8_pack_values(const int8_t *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel,
                       int32_t last_panel, int8_t *panels);

// Row n of packed weights as out[k] = value * scale: an embedding that shares its memory with the last layer.
void fv_i8_unpack_row(const fv_i8_weights *w, int32_t n, float scale, float *out);

// Quantizes into 4 bits; each group's scale is the one of several with the least squared error.
void fv_i4_pack(const float *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel, int32_t last_panel,
                uint8_t *nibbles, uint16_t *scales);

void fv_i4_unpack_row(const fv_i4_weights *w, int32_t n, float *out);

#endif
