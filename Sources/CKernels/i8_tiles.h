// 8-bit products of many rows in the tile registers of AMX; included by i8_vector.h.
//
// A tile of activations is 16 rows of 64 inputs, one of weights 64 inputs of 16 outputs, which is how a panel lies in
// memory, and one of sums 16 rows of 16 outputs (Intel, Instruction Set Extensions Programming Reference, chapter 3).
// Two of activations and two of weights fill four of sums.
#define TILE_ROWS 16
#define TILE_INPUTS 64
#define TILE_PANELS 2
#define TILE_BLOCK (2 * TILE_ROWS)
// Fewer rows are bound by the weights' way from memory, or done sooner by vectors.
#define TILES_FROM 8

enum { SUMS_00, SUMS_01, SUMS_10, SUMS_11, ROWS_0, ROWS_1, PANEL_0, PANEL_1 };

// Shapes for products of `rows` rows, 1 ... TILE_BLOCK.
INLINE void shape_tiles(int32_t rows) {
    fv_tile_shapes shapes = {.palette = 1};
    uint8_t first = (uint8_t)(rows < TILE_ROWS ? rows : TILE_ROWS), second = (uint8_t)(rows - first);
    for (int i = SUMS_00; i <= PANEL_1; i++) {
        shapes.bytes[i] = 64;
        shapes.rows[i] = i >= PANEL_0 ? TILE_INPUTS / 4 : i == SUMS_00 || i == SUMS_01 || i == ROWS_0 ? first : second;
        if (shapes.rows[i] == 0) shapes.bytes[i] = 0;
    }
    _tile_loadconfig(&shapes);
}

// Adds one step of TILE_INPUTS inputs, of R tiles of rows and P panels.
INLINE void tiles_step(const int R, const int P, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w) {
    _tile_loadd(PANEL_0, w, 64);
    _tile_loadd(ROWS_0, a, ld);
    _tile_dpbssd(SUMS_00, ROWS_0, PANEL_0);
    if (P > 1) {
        _tile_loadd(PANEL_1, w + ld_w, 64);
        _tile_dpbssd(SUMS_01, ROWS_0, PANEL_1);
    }
    if (R > 1) {
        _tile_loadd(ROWS_1, a + TILE_ROWS * ld, ld);
        _tile_dpbssd(SUMS_10, ROWS_1, PANEL_0);
        if (P > 1) _tile_dpbssd(SUMS_11, ROWS_1, PANEL_1);
    }
}

// The sums of `rows` rows and P panels over `count` inputs, a multiple of 32, as [rows, TILE_PANELS * 16].
INLINE void tiles_sums(const int R, const int P, int32_t rows, const int8_t *a, ptrdiff_t ld, const int8_t *w, ptrdiff_t ld_w,
                       int32_t count, int32_t *sums) {
    const ptrdiff_t ld_sums = TILE_PANELS * FV_PANEL * (ptrdiff_t)sizeof *sums;
    _tile_zero(SUMS_00);
    if (P > 1) _tile_zero(SUMS_01);
    if (R > 1) _tile_zero(SUMS_10);
    if (R > 1 && P > 1) _tile_zero(SUMS_11);
    for (; count >= TILE_INPUTS; count -= TILE_INPUTS, a += TILE_INPUTS, w += TILE_INPUTS * FV_PANEL)
        tiles_step(R, P, a, ld, w, ld_w);
    if (count > 0) {
        // Half a step: the other half is zero, as what lies behind may not be read.
        int8_t some_rows[TILE_BLOCK * TILE_INPUTS] __attribute__((aligned(64)));
        int8_t panels[TILE_PANELS * TILE_INPUTS * FV_PANEL] __attribute__((aligned(64)));
        const __m256i none = _mm256_setzero_si256();
        for (int32_t m = 0; m < rows; m++) {
            _mm256_store_si256((__m256i *)(some_rows + m * TILE_INPUTS), _mm256_loadu_si256((const __m256i *)(a + m * ld)));
            _mm256_store_si256((__m256i *)(some_rows + m * TILE_INPUTS + 32), none);
        }
        for (int p = 0; p < P; p++) {
            memcpy(panels + p * TILE_INPUTS * FV_PANEL, w + p * ld_w, FV_GROUP * FV_PANEL);
            memset(panels + p * TILE_INPUTS * FV_PANEL + FV_GROUP * FV_PANEL, 0, FV_GROUP * FV_PANEL);
        }
        tiles_step(R, P, some_rows, TILE_INPUTS, panels, TILE_INPUTS * FV_PANEL);
    }
    _tile_stored(SUMS_00, sums, ld_sums);
    if (P > 1) _tile_stored(SUMS_01, sums + FV_PANEL, ld_sums);
    if (R > 1) _tile_stored(SUMS_10, sums + TILE_ROWS * TILE_PANELS * FV_PANEL, ld_sums);
    if (R > 1 && P > 1) _tile_stored(SUMS_11, sums + TILE_ROWS * TILE_PANELS * FV_PANEL + FV_PANEL, ld_sums);
}

// Ends R rows and P panels of stored sums.
INLINE void end_stored(const int R, const int P, const tile *t, const int32_t *stored, int32_t row, int32_t panel) {
    vi sums[I8_ROWS][I8_PANELS * VECTORS];
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) memcpy(&sums[m][p], stored + (m * TILE_PANELS + p) * FV_PANEL, sizeof(vi));
    end_tile(R, P, t, sums, row, panel);
}

// `rows` rows from `row` on, of which the first `done` are ended already.
INLINE void tiles_block(const int R, const int P, const tile *t, const int8_t *panels, int32_t row, int32_t rows, int32_t done,
                        int32_t panel) {
    int32_t sums[TILE_BLOCK * TILE_PANELS * FV_PANEL] __attribute__((aligned(64)));
    ptrdiff_t ld_w = (ptrdiff_t)t->padded * FV_PANEL, ld = t->a->ld;
    const int8_t *a = t->a->values + row * ld, *w = panels + panel * ld_w;
    if (t->groups == 1) {
        tiles_sums(R, P, rows, a, ld, w, ld_w, t->padded, sums);
        int32_t m = done;
        for (; m + 4 <= rows; m += 4) end_stored(4, P, t, sums + m * TILE_PANELS * FV_PANEL, row + m, panel);
        for (; m < rows; m++) end_stored(1, P, t, sums + m * TILE_PANELS * FV_PANEL, row + m, panel);
        return;
    }
    float totals[TILE_BLOCK * TILE_PANELS * FV_PANEL] __attribute__((aligned(64)));
    for (int32_t g = 0, first = 0; g < t->groups; g++, first += t->a->group) {
        int32_t end = g + 1 < t->groups ? first + t->a->group : t->padded;
        tiles_sums(R, P, rows, a + first, ld, w + (ptrdiff_t)first * FV_PANEL, ld_w, end - first, sums);
        for (int32_t m = done; m < rows; m++) {
            vf scale = splat(t->a->scales[(ptrdiff_t)(row + m) * t->groups + g]);
#pragma clang loop unroll(full)
            for (int p = 0; p < P; p++) {
                float *total = totals + (m * TILE_PANELS + p) * FV_PANEL;
                vi sum;
                memcpy(&sum, sums + (m * TILE_PANELS + p) * FV_PANEL, sizeof sum);
                store(total, fma_(__builtin_convertvector(sum, vf), scale, g == 0 ? splat(0) : load(total)));
            }
        }
    }
    int32_t left = t->outputs - panel * FV_PANEL;
    end_rows(rows - done, t->e, totals + done * TILE_PANELS * FV_PANEL, TILE_PANELS * FV_PANEL, panel * FV_PANEL,
             left < P * FV_PANEL ? left : P * FV_PANEL, row + done, t->out, t->ld_out);
}

// Whether tiles are worth it for `rows` rows: half a step for each group would be wasted on groups of 32.
INLINE int tiles_suit(const tile *t, int32_t rows) {
    return rows >= TILES_FROM && (t->groups == 1 || t->a->group % TILE_INPUTS == 0);
}

// Rows row ..< last of all panels, in blocks of the same height, the last of which begins among rows that are done.
INLINE void i8_tiles(const tile *t, const int8_t *panels, int32_t row, int32_t last, int32_t first_panel, int32_t last_panel) {
    int32_t rows = last - row, blocks = (rows + TILE_BLOCK - 1) / TILE_BLOCK, height = (rows + blocks - 1) / blocks;
    shape_tiles(height);
    for (int32_t panel = first_panel; panel < last_panel; panel += TILE_PANELS) {
        for (int32_t next = row; next < last; next += height) {
            int32_t from = next + height <= last ? next : last - height;
            if (panel + 1 == last_panel) {
                if (height > TILE_ROWS)
                    tiles_block(2, 1, t, panels, from, height, next - from, panel);
                else
                    tiles_block(1, 1, t, panels, from, height, next - from, panel);
            } else if (height > TILE_ROWS)
                tiles_block(2, 2, t, panels, from, height, next - from, panel);
            else
                tiles_block(1, 2, t, panels, from, height, next - from, panel);
        }
    }
    _tile_release();
}
