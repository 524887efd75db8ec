// 8-bit products of many rows in the tile registers of AMX; included by i8_vector.h.
//
// A tile of activations is 16 rows of 64 inputs, one of weights 64 inputs of 16 outputs, which is how a panel lies in
// memory, and one of sums 16 rows of 16 outputs (Intel, Instruction Set Extensions Programming Reference, chapter 3).
// Two of activations and two of weights fill four of sums. While the tiles of one block are multiplied, vectors end the
// sums of the block before: the two units work at the same time.
#define TILE_ROWS 16
#define TILE_INPUTS 64
#define TILE_PANELS 2
#define TILE_BLOCK (2 * TILE_ROWS)
#define TILE_SUMS (TILE_BLOCK * TILE_PANELS * FV_PANEL)
// Fewer rows are bound by the weights' way from memory, or done sooner by vectors.
#define TILES_FROM 8
// Weights of more bytes do not stay in the second-level cache.
#define TILES_NEAR (1024 * 1024)

enum { SUMS_00, SUMS_01, SUMS_10, SUMS_11, ROWS_0, ROWS_1, PANEL_0, PANEL_1 };

// Shapes for products of `rows` rows, 1 ... TILE_BLOCK, and steps of `inputs` inputs.
INLINE void shape_tiles(int32_t rows, int32_t inputs) {
    fv_tile_shapes shapes = {.palette = 1};
    uint8_t first = (uint8_t)(rows < TILE_ROWS ? rows : TILE_ROWS), second = (uint8_t)(rows - first);
    for (int i = SUMS_00; i <= PANEL_1; i++) {
        shapes.rows[i] = i >= PANEL_0 ? (uint8_t)(inputs / 4) : i == SUMS_00 || i == SUMS_01 || i == ROWS_0 ? first : second;
        shapes.bytes[i] = shapes.rows[i] == 0 ? 0 : i == ROWS_0 || i == ROWS_1 ? (uint16_t)inputs : 64;
    }
    _tile_loadconfig(&shapes);
}

// Adds one step of inputs, of R tiles of rows and P panels.
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

// Stored sums of a block, [rows, TILE_PANELS * 16], that are still to be ended.
typedef struct ending_block {
    const int32_t *sums;
    int32_t row, rows; // from `row` on
    int32_t next;      // of these the first that is not ended
    int32_t panel, panels;
} ending_block;

// Ends R rows and P panels.
INLINE void end_stored(const int R, const int P, const tile *t, const ending_block *b) {
    const int32_t *stored = b->sums + b->next * TILE_PANELS * FV_PANEL;
    vi sums[I8_ROWS][I8_PANELS * VECTORS];
#pragma clang loop unroll(full)
    for (int m = 0; m < R; m++)
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) memcpy(&sums[m][p], stored + (m * TILE_PANELS + p) * FV_PANEL, sizeof(vi));
    end_tile(R, P, t, sums, b->row + b->next, b->panel);
}

// Rows that are ended between two steps.
#define END_ROWS 4

static __attribute__((noinline)) void FV_SUFFIX(end_some)(const tile *t, ending_block *b) {
    int32_t last = b->rows - b->next < END_ROWS ? b->rows : b->next + END_ROWS;
    if (b->panels > 1 && last - b->next == END_ROWS) {
        end_stored(END_ROWS, 2, t, b);
        b->next = last;
    } else {
        for (; b->next < last; b->next++)
            if (b->panels > 1)
                end_stored(1, 2, t, b);
            else
                end_stored(1, 1, t, b);
    }
}

// Adds stored sums of group `g` of `rows` rows and P panels to their totals, [rows, TILE_PANELS * 16].
INLINE void add_group(const int P, const tile *t, const int32_t *sums, float *totals, int32_t g, int32_t row, int32_t rows) {
    const float *scales = t->a->scales + (ptrdiff_t)row * t->groups + g;
#pragma clang loop unroll_count(4)
    for (int32_t m = 0; m < rows; m++) {
        vf scale = splat(scales[(ptrdiff_t)m * t->groups]);
#pragma clang loop unroll(full)
        for (int p = 0; p < P; p++) {
            int32_t at = (m * TILE_PANELS + p) * FV_PANEL;
            vi sum;
            memcpy(&sum, sums + at, sizeof sum);
            store(totals + at, fma_(__builtin_convertvector(sum, vf), scale, g == 0 ? splat(0) : load(totals + at)));
        }
    }
}

INLINE void zero_sums(const int R, const int P) {
    _tile_zero(SUMS_00);
    if (P > 1) _tile_zero(SUMS_01);
    if (R > 1) _tile_zero(SUMS_10);
    if (R > 1 && P > 1) _tile_zero(SUMS_11);
}

INLINE void store_sums(const int R, const int P, int32_t *sums) {
    const ptrdiff_t ld = TILE_PANELS * FV_PANEL * (ptrdiff_t)sizeof *sums;
    _tile_stored(SUMS_00, sums, ld);
    if (P > 1) _tile_stored(SUMS_01, sums + FV_PANEL, ld);
    if (R > 1) _tile_stored(SUMS_10, sums + TILE_ROWS * TILE_PANELS * FV_PANEL, ld);
    if (R > 1 && P > 1) _tile_stored(SUMS_11, sums + TILE_ROWS * TILE_PANELS * FV_PANEL + FV_PANEL, ld);
}

// Sums of R tiles of rows and P panels over all inputs, `inputs` a step, into `sums`, ending `before` and asking for the
// weights at `next`, if any, meanwhile.
INLINE void tiles_block(const int R, const int P, const tile *t, const int8_t *a, const int8_t *w, int32_t inputs,
                        ahead next, ending_block *before, int32_t *sums) {
    int32_t steps = t->padded / inputs, turns = (before->rows - before->next + END_ROWS - 1) / END_ROWS;
    int32_t a_step = (turns + steps - 1) / steps;
    zero_sums(R, P);
    for (int32_t step = 0; step < steps; step++, a += inputs, w += inputs * FV_PANEL) {
        tiles_step(R, P, a, t->a->ld, w, (ptrdiff_t)t->padded * FV_PANEL);
        ask_for(part_of(next, step, steps));
        for (int32_t turn = 0; turn < a_step && before->next < before->rows; turn++) FV_SUFFIX(end_some)(t, before);
    }
    store_sums(R, P, sums);
}

// The same in groups, ended at once: `rows` rows from `row` on, of which the first `done` are ended already.
INLINE void tiles_groups(const int R, const int P, const tile *t, const int8_t *a, const int8_t *w, int32_t inputs, int32_t row,
                         int32_t rows, int32_t done, int32_t panel, ahead next) {
    int32_t sums[2][TILE_SUMS] __attribute__((aligned(64)));
    float totals[TILE_SUMS] __attribute__((aligned(64)));
    for (int32_t g = 0, first = 0; g < t->groups; g++, first += t->a->group) {
        int32_t end = g + 1 < t->groups ? first + t->a->group : t->padded;
        zero_sums(R, P);
        for (int32_t k = first; k < end; k += inputs) {
            tiles_step(R, P, a + k, t->a->ld, w + (ptrdiff_t)k * FV_PANEL, (ptrdiff_t)t->padded * FV_PANEL);
        }
        ask_for(part_of(next, g, t->groups));
        if (g > 0) add_group(P, t, sums[(g - 1) % 2], totals, g - 1, row, rows);
        store_sums(R, P, sums[g % 2]);
    }
    add_group(P, t, sums[(t->groups - 1) % 2], totals, t->groups - 1, row, rows);
    int32_t left = t->outputs - panel * FV_PANEL;
    end_rows(rows - done, t->e, totals + done * TILE_PANELS * FV_PANEL, TILE_PANELS * FV_PANEL, panel * FV_PANEL,
             left < P * FV_PANEL ? left : P * FV_PANEL, row + done, t->out, t->ld_out);
}

// Inputs of a step: of the last half step of some layers the other half lies behind the rows.
INLINE int32_t tiles_inputs(const tile *t) { return t->padded % TILE_INPUTS == 0 ? TILE_INPUTS : TILE_INPUTS / 2; }

// Whether tiles are worth it for `rows` rows: not where each group is half a step.
INLINE int tiles_suit(const tile *t, int32_t rows) {
    return rows >= TILES_FROM && (t->groups == 1 || t->a->group % TILE_INPUTS == 0);
}

// Rows row ..< last of all panels, in blocks of the same height, the last of which begins among rows that are done.
INLINE void i8_tiles(const tile *t, const int8_t *panels, int32_t row, int32_t last, int32_t first_panel, int32_t last_panel) {
    int32_t sums[2][TILE_SUMS] __attribute__((aligned(64)));
    int32_t rows = last - row, blocks = (rows + TILE_BLOCK - 1) / TILE_BLOCK, height = (rows + blocks - 1) / blocks;
    int32_t inputs = tiles_inputs(t), which = 0;
    int32_t all = fv_quant_panels(t->outputs), far = all * (ptrdiff_t)t->padded * FV_PANEL > TILES_NEAR;
    ending_block before = {.rows = 0};
    shape_tiles(height, inputs);
#define EACH_SHAPE(f, ...)                                                       \
    (height > TILE_ROWS ? width > 1 ? f(2, 2, __VA_ARGS__) : f(2, 1, __VA_ARGS__) \
                        : width > 1 ? f(1, 2, __VA_ARGS__) : f(1, 1, __VA_ARGS__))
    for (int32_t panel = first_panel; panel < last_panel; panel += TILE_PANELS) {
        int32_t width = last_panel - panel < TILE_PANELS ? last_panel - panel : TILE_PANELS;
        const int8_t *w = panels + panel * (ptrdiff_t)t->padded * FV_PANEL;
        ptrdiff_t bytes = TILE_PANELS * (ptrdiff_t)t->padded * FV_PANEL;
        ahead following = {(const char *)w + bytes, far && panel + 2 * TILE_PANELS <= all ? bytes : 0};
        int32_t block = 0;
        for (int32_t next = row; next < last; next += height, block++) {
            ahead part = part_of(following, block, blocks);
            int32_t from = next + height <= last ? next : last - height;
            const int8_t *a = t->a->values + from * t->a->ld;
            if (t->groups > 1) {
                EACH_SHAPE(tiles_groups, t, a, w, inputs, from, height, next - from, panel, part);
                continue;
            }
            EACH_SHAPE(tiles_block, t, a, w, inputs, part, &before, sums[which]);
            before = (ending_block){sums[which], from, height, next - from, panel, width};
            which = !which;
        }
    }
    while (before.next < before.rows) FV_SUFFIX(end_some)(t, &before);
    _tile_release();
}
