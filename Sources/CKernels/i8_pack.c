// The layouts of packed weights and what writes them: once a model, so plain C.
#include <math.h>
#include <string.h>

#include "i8_tables.h"

int32_t fv_quant_columns(int32_t columns) { return (columns + FV_GROUP - 1) / FV_GROUP * FV_GROUP; }

int32_t fv_quant_groups(int32_t columns, int32_t group) {
    return group >= columns ? 1 : (columns + group - 1) / group;
}

int32_t fv_quant_panels(int32_t outputs) { return outputs / FV_PANEL + (outputs % FV_PANEL != 0); }

static size_t weights(int32_t outputs, int32_t inputs) {
    if (outputs < 1 || inputs < 1 || inputs > FV_QUANT_MAX_INPUTS) return 0;
    return (size_t)fv_quant_panels(outputs) * FV_PANEL * (size_t)fv_quant_columns(inputs);
}

size_t fv_i8_weights_bytes(int32_t outputs, int32_t inputs) { return weights(outputs, inputs); }
size_t fv_i4_nibbles_bytes(int32_t outputs, int32_t inputs) { return weights(outputs, inputs) / 2; }
size_t fv_i4_scales_bytes(int32_t outputs, int32_t inputs) { return weights(outputs, inputs) / FV_GROUP * sizeof(uint16_t); }

size_t fv_i8_mlp_scratch(int32_t hidden) {
    size_t row = sizeof(float) * (size_t)hidden + sizeof(int32_t) * FV_PANEL + sizeof(float) + sizeof(int32_t);
    return FV_MLP_ROWS * (row + (size_t)fv_quant_columns(hidden));
}

static void place(const int8_t *row, int32_t padded, int8_t *panel, int32_t lane) {
    for (int32_t k = 0; k < padded; k += 4) memcpy(panel + ((ptrdiff_t)k / 4 * FV_PANEL + lane) * 4, row + k, 4);
}

void fv_i8_pack(const float *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel, int32_t last_panel,
                int8_t *panels, float *scales) {
    int32_t padded = fv_quant_columns(inputs);
    int8_t row[FV_QUANT_MAX_INPUTS];
    for (int32_t n = first_panel * FV_PANEL; n < last_panel * FV_PANEL; n++, w += ld_w) {
        int32_t sum;
        if (n < outputs)
            fv_i8_quantize_group(w, inputs, padded, row, scales + n, &sum);
        else
            memset(row, 0, (size_t)padded);
        place(row, padded, panels + (ptrdiff_t)(n / FV_PANEL) * FV_PANEL * padded, n % FV_PANEL);
    }
}

void fv_i8_pack_values(const int8_t *w, ptrdiff_t ld_w, int32_t outputs, int32_t inputs, int32_t first_panel,
                       int32_t last_panel, int8_t *panels) {
    int32_t padded = fv_quant_columns(inputs);
    int8_t row[FV_QUANT_MAX_INPUTS];
    for (int32_t n = first_panel * FV_PANEL; n < last_panel * FV_PANEL; n++, w += ld_w) {
        memset(row, 0, (size_t)padded);
        if (n < outputs) memcpy(row, w, (size_t)inputs);
        place(row, padded, panels + (ptrdiff_t)(n / FV_PANEL) * FV_PANEL * padded, n % FV_PANEL);
    }
}

void fv_i8_unpack_row(const fv_i8_weights *w, int32_t n, float scale, float *out) {
    const int8_t *panel = w->panels + (ptrdiff_t)(n / FV_PANEL) * FV_PANEL * fv_quant_columns(w->inputs);
    for (int32_t k = 0; k < w->inputs; k++) out[k] = (float)panel[(k / 4 * FV_PANEL + n % FV_PANEL) * 4 + k % 4] * scale;
}
