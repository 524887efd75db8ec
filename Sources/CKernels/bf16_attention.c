// Attention in the tile registers of AMX, with bfloat16 factors and float32 sums.
//
// A lane is a query: scores^T = K Q^T are tiles of 16 keys by 16 queries, and out^T = V^T P^T. So sums over keys need no
// steps across a vector, and the weights P^T of two keys lie side by side, as the second product takes them. Queries and
// keys are sums of two bfloat16 numbers each, of whose products only that of the low parts is left out.
//
// Weights are 2^(score - shift), with a shift for each query. Softmax does not depend on it, and bfloat16 has float32's
// range, so mostly 0 will do; where the total of a query's weights shows that it does not, the largest score takes its place.
//
// While tiles compute the scores of one block of keys, vectors turn those of the block before into weights.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "f32_tables.h"
#include "i8_tables.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))

#define TILE 512        // elements of 16 bits
#define TILE_QUERIES 16 // Q tiles of queries, 1 or 2, are computed together
#define STEP_KEYS 32    // of a left tile of values
#define BLOCK_STEPS 2
#define BLOCK_KEYS (BLOCK_STEPS * STEP_KEYS)
#define TILES_FROM 4    // queries; vectors are faster for fewer
#define TILES_HEAD 128  // the largest head_dim
#define TILES_TOTAL_MIN 0x1p-30f
#define TILES_TOTAL_MAX 0x1p30f
// Bytes between what is read and written meanwhile, which would wait for each other at the same place of a page.
#define TILES_APART 2048

// Tiles 0 ... 3 are sums of values, the others first for scores and then for values.
enum { SCORES_0 = 4, SCORES_1, LEFT, RIGHT, VALUES_0 = 4, VALUES_1, WEIGHTS_0, WEIGHTS_1 };

typedef struct tile_group {
    float scores[2][BLOCK_KEYS * 2 * TILE_QUERIES + TILES_APART / 4];     // of two blocks, [64 keys][Q * 16 queries]
    uint16_t weights[2][BLOCK_KEYS * 2 * TILE_QUERIES + TILES_APART / 2]; // [32 pairs of keys][Q][16 queries][2]
    float sums[TILES_HEAD * 2 * TILE_QUERIES];        // of values, [head_dim / 16][Q][16 columns][16 queries]
    uint16_t queries[TILES_HEAD / 32 * 2 * 2 * TILE]; // [head_dim / 32][high, low][Q][16 pairs of columns][16 queries][2]
    float shift[2 * TILE_QUERIES];                    // negated
    float zeros[TILE_QUERIES];
    __m512 totals[2];       // of the weights
    __m512i visible[2];     // keys that each query sees
    int32_t count;          // queries
    int32_t whole;          // keys that all of them see
    int32_t steps;          // with keys that any of them sees
    int32_t parts;          // head_dim / 32
    const uint16_t *keys;   // [keys / 16][head_dim / 32][high, low][16 keys][32]
    const uint16_t *values; // [keys / 32][head_dim / 16][16 columns][32 keys]
} tile_group;

INLINE ptrdiff_t visible_keys(const fv_attention *a, ptrdiff_t query) {
    return a->first_visible + query < a->keys ? a->first_visible + query : a->keys;
}

// The high halves of a's elements and, above them, of b's.
INLINE __m512i high_halves(__m512i a, __m512i b) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi32((int)0xffff0000), b, _mm512_srli_epi32(a, 16), 0xea);
}

// Bits of floats, of which the high half is their bfloat16.
INLINE __m512i rounded(__m512 x) { return _mm512_add_epi32(_mm512_castps_si512(x), _mm512_set1_epi32(0x8000)); }

// 32 columns, times `scale`, as sums of two bfloat16 numbers. Columns i and i + 16 lie together.
INLINE void split(const float *x, float scale, __m512i *high, __m512i *low) {
    const __m512i mask = _mm512_set1_epi32((int)0xffff0000);
    __m512 a = _mm512_mul_ps(_mm512_loadu_ps(x), _mm512_set1_ps(scale));
    __m512 b = _mm512_mul_ps(_mm512_loadu_ps(x + 16), _mm512_set1_ps(scale));
    __m512i a_high = rounded(a), b_high = rounded(b);
    *high = high_halves(a_high, b_high);
    *low = high_halves(rounded(_mm512_sub_ps(a, _mm512_castsi512_ps(_mm512_and_si512(a_high, mask)))),
                       rounded(_mm512_sub_ps(b, _mm512_castsi512_ps(_mm512_and_si512(b_high, mask)))));
}

// Transposes 16 x 16 elements: each turn shuffles rows i and i + 8 into rows 2 i and 2 i + 1.
INLINE void transpose(__m512i rows[16]) {
    const __m512i low = _mm512_setr_epi32(0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    const __m512i high = _mm512_add_epi32(low, _mm512_set1_epi32(8));
#pragma clang loop unroll(full)
    for (int turn = 0; turn < 4; turn++) {
        __m512i before[16];
        memcpy(before, rows, sizeof before);
#pragma clang loop unroll(full)
        for (int i = 0; i < 8; i++) {
            rows[2 * i] = _mm512_permutex2var_epi32(before[i], low, before[i + 8]);
            rows[2 * i + 1] = _mm512_permutex2var_epi32(before[i], high, before[i + 8]);
        }
    }
}

INLINE void store_rows(const __m512i rows[16], uint16_t *to) {
#pragma clang loop unroll(full)
    for (int r = 0; r < 16; r++) _mm512_storeu_si512(to + r * 32, rows[r]);
}

static void pack_keys(const fv_attention *a, const float *key, int32_t padded, uint16_t *to) {
    for (int32_t t = 0; t < padded; t += 16)
        for (int32_t d = 0; d < a->head_dim; d += 32, to += 2 * TILE)
            for (int32_t n = 0; n < 16; n++) {
                __m512i high = _mm512_setzero_si512(), low = high;
                if (t + n < a->keys) split(key + (t + n) * a->ld_key + d, 1, &high, &low);
                _mm512_storeu_si512(to + n * 32, high);
                _mm512_storeu_si512(to + TILE + n * 32, low);
            }
}

static void pack_values(const fv_attention *a, const float *value, int32_t padded, uint16_t *to) {
    for (int32_t t = 0; t < padded; t += STEP_KEYS)
        for (int32_t d = 0; d < a->head_dim; d += 16, to += TILE) {
            __m512i rows[16];
#pragma clang loop unroll(full)
            for (int32_t r = 0; r < 16; r++) {
                const float *from = value + (t + 2 * r) * a->ld_value + d;
                __m512 even = t + 2 * r < a->keys ? _mm512_loadu_ps(from) : _mm512_setzero_ps();
                __m512 odd = t + 2 * r + 1 < a->keys ? _mm512_loadu_ps(from + a->ld_value) : _mm512_setzero_ps();
                rows[r] = high_halves(rounded(even), rounded(odd));
            }
            transpose(rows);
            store_rows(rows, to);
        }
}

// Scaled so that scores are powers of two; zero from g->count on.
INLINE void pack_queries(const int Q, const fv_attention *a, const float *query, tile_group *g) {
    float scale = a->scale * 1.44269504f;
    uint16_t *to = g->queries;
    for (int32_t d = 0; d < a->head_dim; d += 32, to += 2 * Q * TILE)
        for (int q = 0; q < Q; q++) {
            __m512i high[16], low[16];
#pragma clang loop unroll(full)
            for (int32_t m = 0; m < 16; m++) {
                high[m] = low[m] = _mm512_setzero_si512();
                int32_t row = q * TILE_QUERIES + m;
                if (row < g->count) split(query + row * a->ld_query + d, scale, &high[m], &low[m]);
            }
            transpose(high);
            store_rows(high, to + q * TILE);
            transpose(low);
            store_rows(low, to + (Q + q) * TILE);
        }
}

// Scores of tile n of a block's keys and tile q of the queries, in tile S. A tile that is loaded, unlike one that is
// cleared, costs no time of the multiplier.
#define SCORE_TILE(S, n, q)                                                                  \
    do {                                                                                     \
        const uint16_t *k = keys + (n) * g->parts * 2 * TILE, *x = g->queries + (q) * TILE;  \
        _tile_loadd(S, g->shift + (q) * 16, 0);                                              \
        for (int32_t part = 0; part < g->parts; part++, k += 2 * TILE, x += 2 * Q * TILE) {  \
            _tile_loadd(LEFT, k, 64);                                                        \
            _tile_loadd(RIGHT, x, 64);                                                       \
            _tile_dpbf16ps(S, LEFT, RIGHT);                                                  \
            _tile_loadd(LEFT, k + TILE, 64);                                                 \
            _tile_dpbf16ps(S, LEFT, RIGHT);                                                  \
            _tile_loadd(LEFT, k, 64);                                                        \
            _tile_loadd(RIGHT, x + Q * TILE, 64);                                            \
            _tile_dpbf16ps(S, LEFT, RIGHT);                                                  \
        }                                                                                    \
        _tile_stored(S, scores + ((n) * 16 * Q + (q)) * 16, Q * 64);                         \
    } while (0)

// 2^x, or 0 where `which` is not set, to be cut to its high half: a cubic of the fraction, relative error 8e-5, plus half of
// the last bit that stays.
INLINE __m512i power(__mmask16 which, __m512 x) {
    __m512 r = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC), p = _mm512_set1_ps(0.0780245227f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.226067155f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.695833541f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0.999925219f + 0x1p-8f));
    return _mm512_castps_si512(_mm512_maskz_scalef_ps(which, p, x));
}

// Weights of the pairs of keys row ..< last of block b, and their totals.
INLINE void weigh_rows(const int Q, const int masked, tile_group *g, int32_t b, int32_t row, int32_t last) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    const float *scores = g->scores[b & 1] + row * Q * 32;
    uint16_t *to = g->weights[b & 1] + row * Q * 32;
    __m512 totals[2] = {g->totals[0], g->totals[1]};
    __m512i even_key = _mm512_set1_epi32(b * BLOCK_KEYS + 2 * row);
#pragma clang loop unroll(disable)
    for (; row < last; row++, scores += Q * 32, to += Q * 32) {
        __m512i odd_key = _mm512_add_epi32(even_key, _mm512_set1_epi32(1));
#pragma clang loop unroll(full)
        for (int q = 0; q < Q; q++) {
            __mmask16 even = masked ? _mm512_cmpgt_epi32_mask(g->visible[q], even_key) : 0xffff;
            __mmask16 odd = masked ? _mm512_cmpgt_epi32_mask(g->visible[q], odd_key) : 0xffff;
            __m512i pair = high_halves(power(even, _mm512_loadu_ps(scores + q * 16)),
                                       power(odd, _mm512_loadu_ps(scores + (Q + q) * 16)));
            totals[q] = _mm512_dpbf16_ps(totals[q], (__m512bh)pair, ones);
            _mm512_storeu_si512(to + q * 32, pair);
        }
        even_key = _mm512_add_epi32(even_key, _mm512_set1_epi32(2));
    }
    g->totals[0] = totals[0];
    if (Q > 1) g->totals[1] = totals[1];
}

// Not inlined, so that all that runs together stays in the instruction cache.
static __attribute__((noinline)) void weigh_tile(tile_group *g, int32_t b, int32_t row, int32_t last) {
    if ((b + 1) * BLOCK_KEYS <= g->whole)
        weigh_rows(1, 0, g, b, row, last);
    else
        weigh_rows(1, 1, g, b, row, last);
}

static __attribute__((noinline)) void weigh_two_tiles(tile_group *g, int32_t b, int32_t row, int32_t last) {
    if ((b + 1) * BLOCK_KEYS <= g->whole)
        weigh_rows(2, 0, g, b, row, last);
    else
        weigh_rows(2, 1, g, b, row, last);
}

INLINE void weigh(const int Q, tile_group *g, int32_t b, int32_t row, int32_t last) {
    if (Q > 1)
        weigh_two_tiles(g, b, row, last);
    else
        weigh_tile(g, b, row, last);
}

// Steps of block b, 0 behind the last.
INLINE int32_t block_steps(const tile_group *g, int32_t b) {
    int32_t left = g->steps - b * BLOCK_STEPS;
    return left < 0 ? 0 : left < BLOCK_STEPS ? left : BLOCK_STEPS;
}

// Scores of block b, if it has any, and meanwhile the weights of `rows` pairs of keys of the block before.
INLINE void score_block(const int Q, tile_group *g, int32_t b, int32_t rows) {
    const uint16_t *keys = g->keys + b * (ptrdiff_t)BLOCK_KEYS * g->parts * 64;
    float *scores = g->scores[b & 1];
    int32_t row = 0, turn = rows / (BLOCK_KEYS / 16 * Q);
    for (int32_t n = 0; n < 2 * block_steps(g, b); n += 2) {
        SCORE_TILE(SCORES_0, n, 0);
        if (turn) weigh(Q, g, b - 1, row, row + turn), row += turn;
        if (Q > 1) {
            SCORE_TILE(SCORES_1, n, 1);
            if (turn) weigh(Q, g, b - 1, row, row + turn), row += turn;
            SCORE_TILE(SCORES_0, n + 1, 0);
            if (turn) weigh(Q, g, b - 1, row, row + turn), row += turn;
        }
        SCORE_TILE(SCORES_1, n + 1, Q - 1);
        if (turn) weigh(Q, g, b - 1, row, row + turn), row += turn;
    }
    if (row < rows) weigh(Q, g, b - 1, row, rows);
}

INLINE void load_sums(const int Q, const float *sums, ptrdiff_t tile, ptrdiff_t ld) {
    _tile_loadd(0, sums, ld);
    _tile_loadd(1, sums + tile, ld);
    if (Q > 1) {
        _tile_loadd(2, sums + 2 * tile, ld);
        _tile_loadd(3, sums + 3 * tile, ld);
    }
}

INLINE void store_sums(const int Q, float *sums) {
    _tile_stored(0, sums, 64);
    _tile_stored(1, sums + 256, 64);
    if (Q > 1) {
        _tile_stored(2, sums + 512, 64);
        _tile_stored(3, sums + 768, 64);
    }
}

// Adds the values of block b. Sums of a single part of head_dim stay in their tiles until the last block.
INLINE void value_block(const int Q, tile_group *g, int32_t b) {
    const uint16_t *block = g->values + b * (ptrdiff_t)BLOCK_KEYS * g->parts * 32;
    for (int32_t d = 0; d < g->parts; d++) {
        const uint16_t *values = block + d * 2 * TILE, *weights = g->weights[b & 1];
        float *sums = g->sums + d * 2 * Q * 256;
        if (b == 0)
            load_sums(Q, g->zeros, 0, 0);
        else if (g->parts > 1)
            load_sums(Q, sums, 256, 64);
        for (int32_t s = 0; s < block_steps(g, b); s++, values += g->parts * 2 * TILE, weights += Q * TILE) {
            _tile_loadd(VALUES_0, values, 64);
            _tile_loadd(WEIGHTS_0, weights, Q * 64);
            _tile_dpbf16ps(0, VALUES_0, WEIGHTS_0);
            _tile_loadd(VALUES_1, values + TILE, 64);
            if (Q > 1) {
                _tile_loadd(WEIGHTS_1, weights + 32, Q * 64);
                _tile_dpbf16ps(1, VALUES_0, WEIGHTS_1);
                _tile_dpbf16ps(2, VALUES_1, WEIGHTS_0);
                _tile_dpbf16ps(3, VALUES_1, WEIGHTS_1);
            } else {
                _tile_dpbf16ps(1, VALUES_1, WEIGHTS_0);
            }
        }
        if (g->parts > 1 || block_steps(g, b + 1) == 0) store_sums(Q, sums);
    }
}

// Makes the largest score of each query its shift.
INLINE void find_shift(const int Q, tile_group *g) {
    __m512 most[2] = {_mm512_set1_ps(-INFINITY), _mm512_set1_ps(-INFINITY)};
    for (int32_t b = 0; block_steps(g, b) > 0; b++) {
        score_block(Q, g, b, 0);
        for (int32_t n = 0; n < block_steps(g, b) * STEP_KEYS; n++)
            for (int q = 0; q < Q; q++) {
                __mmask16 seen = _mm512_cmpgt_epi32_mask(g->visible[q], _mm512_set1_epi32(b * BLOCK_KEYS + n));
                most[q] = _mm512_mask_max_ps(most[q], seen, most[q], _mm512_loadu_ps(g->scores[b & 1] + (n * Q + q) * 16));
            }
    }
    for (int q = 0; q < Q; q++) _mm512_storeu_ps(g->shift + q * 16, _mm512_sub_ps(_mm512_setzero_ps(), most[q]));
}

// Sums of values, and whether the totals show that the shifts suit.
INLINE int weighted_sums(const int Q, tile_group *g) {
    int32_t blocks = (g->steps + BLOCK_STEPS - 1) / BLOCK_STEPS;
    g->totals[0] = g->totals[1] = _mm512_setzero_ps();
    score_block(Q, g, 0, 0);
    for (int32_t b = 0; b < blocks; b++) {
        score_block(Q, g, b + 1, block_steps(g, b) * STEP_KEYS / 2);
        if (b > 0) value_block(Q, g, b - 1);
    }
    value_block(Q, g, blocks - 1);
    __mmask16 good = 0xffff;
    for (int q = 0; q < Q; q++)
        good &= _mm512_cmp_ps_mask(g->totals[q], _mm512_set1_ps(TILES_TOTAL_MIN), _CMP_GE_OQ) &
                _mm512_cmp_ps_mask(g->totals[q], _mm512_set1_ps(TILES_TOTAL_MAX), _CMP_LE_OQ);
    return good == 0xffff;
}

// g->count queries from `first` on, up to Q tiles. `shifted` asks for shifts, and becomes nonzero where they are needed.
INLINE void attend_tiles(const int Q, const fv_attention *a, ptrdiff_t first, tile_group *g, const float *query, float *out,
                         int *shifted) {
    int32_t seen[2 * TILE_QUERIES];
    for (int32_t m = 0; m < Q * TILE_QUERIES; m++)
        seen[m] = (int32_t)visible_keys(a, first + (m < g->count ? m : g->count - 1));
    g->whole = seen[0];
    g->steps = (seen[g->count - 1] + STEP_KEYS - 1) / STEP_KEYS;
    for (int q = 0; q < Q; q++) g->visible[q] = _mm512_loadu_si512(seen + q * TILE_QUERIES);
    pack_queries(Q, a, query, g);
    memset(g->shift, 0, sizeof g->shift);
    memset(g->zeros, 0, sizeof g->zeros);
    if (*shifted || !weighted_sums(Q, g)) {
        *shifted = 1;
        find_shift(Q, g);
        weighted_sums(Q, g);
    }
    for (int q = 0; q < Q; q++) {
        __m512 factor = _mm512_div_ps(_mm512_set1_ps(1), g->totals[q]);
        int32_t rows = g->count - q * TILE_QUERIES < TILE_QUERIES ? g->count - q * TILE_QUERIES : TILE_QUERIES;
        for (int32_t d = 0; d < 2 * g->parts; d++) {
            __m512i columns[16];
#pragma clang loop unroll(full)
            for (int i = 0; i < 16; i++)
                columns[i] = _mm512_castps_si512(_mm512_mul_ps(_mm512_loadu_ps(g->sums + ((d * Q + q) * 16 + i) * 16), factor));
            transpose(columns);
            float *to = out + q * TILE_QUERIES * a->ld_out + d * 16;
#pragma clang loop unroll(full)
            for (int m = 0; m < 16; m++)
                if (m < rows) _mm512_storeu_si512(to + m * a->ld_out, columns[m]);
        }
    }
}

static void attend_tile(const fv_attention *a, ptrdiff_t first, tile_group *g, const float *query, float *out, int *shifted) {
    attend_tiles(1, a, first, g, query, out, shifted);
}

static void attend_two_tiles(const fv_attention *a, ptrdiff_t first, tile_group *g, const float *query, float *out,
                             int *shifted) {
    attend_tiles(2, a, first, g, query, out, shifted);
}

void fv_bf16_attention__amx(const fv_attention *a, const float *query, const float *key, const float *value, float *out,
                            float *scratch) {
    int32_t dim = a->head_dim, shifted = 0;
    if (a->queries < TILES_FROM || dim % 32 != 0 || dim > TILES_HEAD) {
        fv_f32_kernels__avx512.attention(a, query, key, value, out, scratch);
        return;
    }
    int32_t padded = ((int32_t)visible_keys(a, a->queries - 1) + STEP_KEYS - 1) / STEP_KEYS * STEP_KEYS;
    uint16_t *keys = (uint16_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63), *values = keys + (ptrdiff_t)padded * dim * 2;
    tile_group g __attribute__((aligned(64)));
    g.parts = dim / 32;
    g.keys = keys;
    g.values = values;
    pack_keys(a, key, padded, keys);
    pack_values(a, value, padded, values);
    fv_tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.rows[i] = 16, shapes.bytes[i] = 64;
    _tile_loadconfig(&shapes);
    // Weights below the smallest normal number become 0: the processor takes very long for others.
    uint32_t control = _mm_getcsr();
    _mm_setcsr(control | _MM_FLUSH_ZERO_ON);
    for (int32_t i = 0; i < a->queries; i += g.count) {
        int32_t left = a->queries - i;
        g.count = left < 2 * TILE_QUERIES ? left : 2 * TILE_QUERIES;
        if (left > TILE_QUERIES)
            attend_two_tiles(a, i, &g, query + i * a->ld_query, out + i * a->ld_out, &shifted);
        else
            attend_tile(a, i, &g, query + i * a->ld_query, out + i * a->ld_out, &shifted);
    }
    _mm_setcsr(control);
    _tile_release();
}
#pragma clang attribute pop
#endif
