// 4-bit products: part of i8_vector.h. Each group of 32 inputs is a sum of integers, scaled and added as float.

INLINE void i4_tile(const int R, const int P, const tile *t, const fv_i4_weights *w, int32_t row, int32_t panel, ahead next) {
    int32_t groups = t->groups;
    const int8_t *a = t->a->values + row * t->a->ld;
    const float *scale = t->a->scales + (ptrdiff_t)row * groups;
    const int32_t *sum = t->a->sums + (ptrdiff_t)row * groups;
    const uint8_t *nibbles = w->nibbles + (ptrdiff_t)panel * groups * 256;
    const uint16_t *factors = w->scales + (ptrdiff_t)panel * groups * FV_PANEL;
    vf totals[I4_ROWS][I4_PANELS * VECTORS];
    for (int m = 0; m < R; m++)
        for (int v = 0; v < P * VECTORS; v++) totals[m][v] = splat(0);
    for (int32_t g = 0; g < groups; g++) {
        vi sums[I4_ROWS][I4_PANELS * VECTORS];
        ask_for(part_of(next, g, groups));
#pragma clang loop unroll(full)
        for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
            for (int v = 0; v < P * VECTORS; v++)
                sums[m][v] = I4_OFFSET ? (vi){} - I4_OFFSET * sum[(ptrdiff_t)m * groups + g] : (vi){};
        i4_dot(R, P, a + g * FV_GROUP, t->a->ld, nibbles + (ptrdiff_t)g * 256, (ptrdiff_t)groups * 256, sums);
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) {
            vf factor = load_half(factors + ((ptrdiff_t)(v / VECTORS) * groups + g) * FV_PANEL + v % VECTORS * LANES);
#pragma clang loop unroll(full)
            for (int m = 0; m < R; m++) {
                vf x = __builtin_convertvector(sums[m][v], vf) * scale[(ptrdiff_t)m * groups + g];
                totals[m][v] = fma_(x, factor, totals[m][v]);
            }
        }
    }
    float values[I4_ROWS * I4_PANELS * FV_PANEL] __attribute__((aligned(64)));
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int v = 0; v < P * VECTORS; v++) store(values + (m * P * VECTORS + v) * LANES, totals[m][v]);
    int32_t left = t->outputs - panel * FV_PANEL;
    end_rows(R, t->e, values, P * FV_PANEL, panel * FV_PANEL, left < P * FV_PANEL ? left : P * FV_PANEL, row, t->out,
             t->ld_out);
}

// The tiles of P panels over rows row ..< last; `next` panels follow.
INLINE void i4_column(const int P, const tile *t, const fv_i4_weights *w, int32_t row, int32_t last, int32_t panel, int32_t next) {
    ptrdiff_t ld_w = (ptrdiff_t)t->groups * 256;
    ahead following = {(const char *)w->nibbles + (panel + P) * ld_w, next * ld_w < FV_AHEAD ? next * ld_w : 0};
    int32_t parts = (last - row) / I4_ROWS;
    for (int32_t part = 0; part < parts; part++, row += I4_ROWS)
        i4_tile(I4_ROWS, P, t, w, row, panel, part_of(following, part, parts));
    following.bytes = 0;
    if (I4_ROWS > 4 && row + 4 <= last) i4_tile(I4_ROWS < 4 ? I4_ROWS : 4, P, t, w, row, panel, following), row += 4;
    if (row + 2 <= last) i4_tile(2, P, t, w, row, panel, following), row += 2;
    if (row < last) i4_tile(1, P, t, w, row, panel, following);
}

static void FV_SUFFIX(i4_gemm)(const fv_i8_rows *a, int32_t rows, const fv_i4_weights *w, int32_t first_panel,
                               int32_t last_panel, const fv_ending *e, float *out, ptrdiff_t ld_out) {
    int32_t padded = fv_quant_columns(w->inputs);
    tile t = {a, padded / FV_GROUP, padded, w->outputs, e, out, ld_out, 0};
    int32_t block = FV_ACTIVATION_CACHE / padded / I4_ROWS * I4_ROWS;
    if (block < I4_ROWS) block = I4_ROWS;
    for (int32_t row = 0; row < rows; row += block) {
        int32_t last = rows - row < block ? rows : row + block, panel = first_panel;
        if (I4_PANELS > 1 && last - row > I4_ROWS) {
            for (; panel + I4_PANELS <= last_panel; panel += I4_PANELS)
                i4_column(I4_PANELS, &t, w, row, last, panel, following(I4_PANELS, panel, last_panel));
        }
        for (; panel < last_panel; panel++) i4_column(1, &t, w, row, last, panel, 0);
    }
}
