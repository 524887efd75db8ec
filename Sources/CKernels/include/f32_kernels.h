#ifndef FASTVLM_F32_KERNELS_H
#define FASTVLM_F32_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "isa.h"

// Float32 kernels. Feature maps are NHWC (pixel-major, channel-minor); matrices are row-major with a
// leading dimension (`ld…`, elements between rows). No kernel allocates, none starts a thread: the
// caller splits the work by rows and hands every worker its own range and scratch. Pointers need only
// the alignment of their element.

// What a stored matrix element is.
typedef enum fv_element { FV_F32 = 0, FV_F16 = 1, FV_BF16 = 2 } fv_element;

// A depthwise convolution, padded by kernel/2 on every side, over an input of in_height x in_width x channels.
typedef struct fv_depthwise {
    int32_t kernel;       // 3 or 7
    int32_t stride;       // 1 or 2; the output has ceil(n / stride) rows and columns
    int32_t multiplier;   // outputs per input channel, 1 or 2: channel c feeds outputs c*multiplier ... + multiplier-1
    int32_t channels;     // of the input
    int32_t in_height;
    int32_t in_width;
    int32_t in_first_row; // the row that `in` points at, where only a window of the input is in memory
    int32_t gelu;         // nonzero: exact GELU after the bias
} fv_depthwise;

// How a matrix product ends: out = activation(sum * scale + bias) + residual.
typedef struct fv_ending {
    const float *scale;    // [columns], or NULL for 1
    const float *bias;     // [columns], or NULL for 0
    const float *residual; // [rows, columns], or NULL for 0; may be `out`
    ptrdiff_t ld_residual;
    int32_t gelu;          // nonzero: exact GELU as the activation
} fv_ending;

typedef struct fv_attention {
    int32_t queries;
    int32_t keys;
    int32_t head_dim;
    int32_t first_visible; // query i sees keys 0 ..< min(keys, first_visible + i); `keys` or more: all of them
    float scale;
    ptrdiff_t ld_query, ld_key, ld_value, ld_out;
} fv_attention;

typedef struct fv_f32_kernels {
    fv_isa isa;

    // out[y, x, :] for y in first_row ..< last_row. `out` points at row first_row.
    // weights [multiplier, kernel * kernel, channels], bias [channels * multiplier].
    void (*depthwise)(const fv_depthwise *d, const float *in, const float *weights, const float *bias, float *out,
                      int32_t first_row, int32_t last_row);

    // The stem's 3x3 stride-2 convolution of an RGB picture [in_height, in_width, 3], GELU after the bias:
    // out [rows, ceil(in_width / 2), channels]. weights [27, channels], row (ky*3 + kx)*3 + colour.
    void (*stem)(const float *in, int32_t in_height, int32_t in_width, int32_t channels, const float *weights,
                 const float *bias, float *out, int32_t first_row, int32_t last_row);

    // Ends a matrix product whose sums lie in `sums` [rows, columns]; `out` may be `sums`.
    void (*finish)(const float *sums, ptrdiff_t ld_sums, const fv_ending *ending, float *out, ptrdiff_t ld_out,
                   int32_t rows, int32_t columns);

    // out = (x - mean) / sqrt(variance + epsilon) * weight + bias, over each row.
    void (*layer_norm)(const float *x, ptrdiff_t ld_x, const float *weight, const float *bias, float epsilon, float *out,
                       ptrdiff_t ld_out, int32_t rows, int32_t columns);

    // out = x / sqrt(mean(x^2) + epsilon) * weight, over each row.
    void (*rms_norm)(const float *x, ptrdiff_t ld_x, const float *weight, float epsilon, float *out, ptrdiff_t ld_out,
                     int32_t rows, int32_t columns);

    // Rotary position embedding in place, halves paired (i, i + head_dim/2): x [rows, heads * head_dim].
    // cosines and sines [rows, head_dim / 2] belong to the rows' positions.
    void (*rope)(float *x, ptrdiff_t ld_x, const float *cosines, const float *sines, int32_t rows, int32_t heads,
                 int32_t head_dim);

    // gate = gate * sigmoid(gate) * up, elementwise over `count` values.
    void (*silu_multiply)(float *gate, const float *up, ptrdiff_t count);

    // softmax(scale * Q K^T) V of one head. scratch: fv_attention_scratch(keys, head_dim) floats.
    void (*attention)(const fv_attention *a, const float *query, const float *key, const float *value, float *out,
                      float *scratch);

    // sums[c] += sum over rows of x[row, c].
    void (*column_sums)(const float *x, ptrdiff_t ld_x, float *sums, int32_t rows, int32_t columns);

    // x[row, c] = gelu(x[row, c] * factor[c]) in place: squeeze-excite's end.
    void (*scale_gelu)(float *x, ptrdiff_t ld_x, const float *factor, int32_t rows, int32_t columns);

    // out[n] = sum over k of weights[n, k] * x[k], for rows first ..< last of weights [N, columns] (`element`).
    // `out` points at entry 0.
    void (*gemv)(const void *weights, fv_element element, const float *x, float *out, int32_t first, int32_t last,
                 int32_t columns);

    // `count` stored values as float32.
    void (*expand)(const void *in, fv_element element, float *out, ptrdiff_t count);
} fv_f32_kernels;

// The kernels of `isa`, or NULL where this processor cannot run them.
const fv_f32_kernels *fv_f32_kernels_for(fv_isa isa);

// The floats of scratch that `attention` needs.
ptrdiff_t fv_attention_scratch(int32_t keys, int32_t head_dim);

#endif
