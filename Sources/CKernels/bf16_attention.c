// Attention in the tile registers of AMX, with bfloat16 factors and float32 sums.
#if defined(__x86_64__)
#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "f32_tables.h"
#include "i8_tables.h"

#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,amx-tile,amx-bf16"))), apply_to = function)
#define INLINE static inline __attribute__((always_inline))

enum {
    QUERIES = 32,  // that are computed together, in two tiles
    KEYS = 128,    // whose scores stay in the first-level cache
    PAIRS = 16,    // rows of a right tile: each has two factors of 16 columns
    LARGEST = 128, // head_dim
};

// Factors as a sum of two bfloat16 numbers: what is left of 16 bits of precision.
typedef struct two_parts {
    __m256bh high, low;
} two_parts;

INLINE two_parts parts_of(__m512 x) {
    two_parts p;
    p.high = _mm512_cvtneps_pbh(x);
    __m512 rounded = _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32((__m256i)p.high), 16));
    p.low = _mm512_cvtneps_pbh(_mm512_sub_ps(x, rounded));
    return p;
}

// Keys as right tiles: [keys / 16][head_dim / 32][high, low][PAIRS][16 keys][2].
static void pack_keys(const fv_attention *a, const float *key, int32_t padded, uint16_t *to) {
    for (int32_t t = 0; t < padded; t += 16)
        for (int32_t d = 0; d < a->head_dim; d += 32, to += 2 * PAIRS * 32)
            for (int32_t n = 0; n < 16; n++) {
                uint32_t pairs[2][PAIRS];
                memset(pairs, 0, sizeof pairs);
                if (t + n < a->keys)
                    for (int half = 0; half < 2; half++) {
                        two_parts p = parts_of(_mm512_loadu_ps(key + (t + n) * a->ld_key + d + 16 * half));
                        memcpy(pairs[0] + 8 * half, &p.high, 32);
                        memcpy(pairs[1] + 8 * half, &p.low, 32);
                    }
                for (int part = 0; part < 2; part++)
                    for (int r = 0; r < PAIRS; r++) memcpy(to + ((part * PAIRS + r) * 16 + n) * 2, &pairs[part][r], 4);
            }
}

// Values as right tiles: [keys / 32][head_dim / 16][PAIRS][16 columns][2 keys].
static void pack_values(const fv_attention *a, const float *value, int32_t padded, uint16_t *to) {
    for (int32_t t = 0; t < padded; t += 32)
        for (int32_t d = 0; d < a->head_dim; d += 16)
            for (int32_t r = 0; r < PAIRS; r++, to += 32) {
                __m512i both[2];
                for (int32_t i = 0; i < 2; i++) {
                    int32_t k = t + 2 * r + i;
                    __m512 x = k < a->keys ? _mm512_loadu_ps(value + k * a->ld_value + d) : _mm512_setzero_ps();
                    both[i] = _mm512_cvtepu16_epi32((__m256i)_mm512_cvtneps_pbh(x));
                }
                _mm512_storeu_si512(to, _mm512_or_si512(both[0], _mm512_slli_epi32(both[1], 16)));
            }
}

// Queries as left tiles: [head_dim / 32][high, low][QUERIES][32], zero from `count` on.
static void pack_queries(const fv_attention *a, const float *query, int32_t count, uint16_t *to) {
    for (int32_t d = 0; d < a->head_dim; d += 32, to += 2 * QUERIES * 32)
        for (int32_t m = 0; m < QUERIES; m++)
            for (int half = 0; half < 2; half++) {
                two_parts p = parts_of(m < count ? _mm512_loadu_ps(query + m * a->ld_query + d + 16 * half) : _mm512_setzero_ps());
                memcpy(to + m * 32 + 16 * half, &p.high, 32);
                memcpy(to + (QUERIES + m) * 32 + 16 * half, &p.low, 32);
            }
}

// Two tiles with rows of 64 bytes, `apart` factors from one to the other, into `first` and the next.
#define load_pair(first, from, apart)           \
    do {                                        \
        _tile_loadd(first, from, 64);           \
        _tile_loadd(first + 1, from + apart, 64); \
    } while (0)

// Adds the products of tiles 4 and 5 with 6 and 7 to 0 ... 3.
INLINE void multiply_pairs(void) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
}

// scores[m, 0 ..< 32] of QUERIES queries and two panels of keys: all products but that of two low parts.
INLINE void score_block(int32_t head_dim, const uint16_t *queries, const uint16_t *keys, float *scores) {
    const ptrdiff_t tile = PAIRS * 32, panel = (ptrdiff_t)head_dim / 32 * 2 * tile, ld = KEYS * sizeof *scores;
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
    for (int32_t d = 0; d < head_dim; d += 32, queries += 2 * QUERIES * 32, keys += 2 * tile) {
        load_pair(4, queries, 16 * 32);
        load_pair(6, keys + tile, panel);
        multiply_pairs();
        load_pair(6, keys, panel);
        multiply_pairs();
        load_pair(4, queries + QUERIES * 32, 16 * 32);
        multiply_pairs();
    }
    _tile_stored(0, scores, ld);
    _tile_stored(1, scores + 16, ld);
    _tile_stored(2, scores + 16 * KEYS, ld);
    _tile_stored(3, scores + 16 * KEYS + 16, ld);
}

// out[m, 0 ..< 32] += weights [QUERIES, KEYS] times `count` keys' values, a multiple of 32.
INLINE void value_block(int32_t head_dim, const uint16_t *weights, const uint16_t *values, int32_t count, float *out) {
    const ptrdiff_t ld = head_dim * (ptrdiff_t)sizeof *out;
    _tile_loadd(0, out, ld);
    _tile_loadd(1, out + 16, ld);
    _tile_loadd(2, out + 16 * head_dim, ld);
    _tile_loadd(3, out + 16 * head_dim + 16, ld);
    for (int32_t t = 0; t < count; t += 32, values += head_dim * 32) {
        _tile_loadd(4, weights + t, KEYS * 2);
        _tile_loadd(5, weights + t + 16 * KEYS, KEYS * 2);
        load_pair(6, values, PAIRS * 32);
        multiply_pairs();
    }
    _tile_stored(0, out, ld);
    _tile_stored(1, out + 16, ld);
    _tile_stored(2, out + 16 * head_dim, ld);
    _tile_stored(3, out + 16 * head_dim + 16, ld);
}

// 2^x for x <= 0: a polynomial of degree 4 on -0.5 ... 0.5, relative error below 5e-6, as bfloat16 has 4e-3.
INLINE __m512 power_of_two(__m512 x) {
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC), r = _mm512_sub_ps(x, n);
    __m512 p = _mm512_set1_ps(9.6181291e-3f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
    return _mm512_scalef_ps(p, n);
}

// What one query has seen of the keys so far.
typedef struct seen {
    __m512 totals; // of 2^(score - largest), lane by lane
    float largest; // score, in powers of two
} seen;

// Turns the first `visible` of `count` scores, times `factor`, into weights, and zero behind. `out` is [head_dim].
INLINE void soften(const float *scores, int32_t visible, int32_t count, float factor, int32_t head_dim, seen *s, uint16_t *weights,
                   float *out) {
    __m512 most = _mm512_set1_ps(-INFINITY);
    __mmask16 rest = (__mmask16)((1u << (visible & 15)) - 1);
    int32_t whole = visible & ~15, t = 0;
    for (; t < whole; t += 16) most = _mm512_max_ps(most, _mm512_loadu_ps(scores + t));
    if (rest) most = _mm512_mask_max_ps(most, rest, most, _mm512_maskz_loadu_ps(rest, scores + t));
    float largest = _mm512_reduce_max_ps(most) * factor;
    if (largest > s->largest) {
        float fewer = exp2f(s->largest - largest);
        s->largest = largest;
        s->totals = _mm512_mul_ps(s->totals, _mm512_set1_ps(fewer));
        for (int32_t d = 0; d < head_dim; d += 16)
            _mm512_storeu_ps(out + d, _mm512_mul_ps(_mm512_loadu_ps(out + d), _mm512_set1_ps(fewer)));
    }
    __m512 scale = _mm512_set1_ps(factor), less = _mm512_set1_ps(-s->largest), totals = s->totals;
    for (t = 0; t < whole; t += 16) {
        __m512 e = power_of_two(_mm512_fmadd_ps(_mm512_loadu_ps(scores + t), scale, less));
        totals = _mm512_add_ps(totals, e);
        _mm256_storeu_si256((__m256i *)(weights + t), (__m256i)_mm512_cvtneps_pbh(e));
    }
    if (rest) {
        __m512 e = _mm512_maskz_mov_ps(rest, power_of_two(_mm512_fmadd_ps(_mm512_maskz_loadu_ps(rest, scores + t), scale, less)));
        totals = _mm512_add_ps(totals, e);
        _mm256_storeu_si256((__m256i *)(weights + t), (__m256i)_mm512_cvtneps_pbh(e));
        t += 16;
    }
    for (; t < count; t += 16) _mm256_storeu_si256((__m256i *)(weights + t), _mm256_setzero_si256());
    s->totals = totals;
}

void fv_bf16_attention__amx(const fv_attention *a, const float *query, const float *key, const float *value, float *out,
                            float *scratch) {
    int32_t dim = a->head_dim, padded = (a->keys + 31) / 32 * 32;
    if (dim % 32 != 0 || dim > LARGEST || a->queries < 16) {
        fv_f32_kernels__avx512.attention(a, query, key, value, out, scratch);
        return;
    }
    float scores[QUERIES * KEYS] __attribute__((aligned(64))), sums[QUERIES * LARGEST] __attribute__((aligned(64)));
    uint16_t weights[QUERIES * KEYS] __attribute__((aligned(64))), queries[QUERIES * 2 * LARGEST] __attribute__((aligned(64)));
    uint16_t *keys = (uint16_t *)scratch, *values = keys + (ptrdiff_t)padded * dim * 2;
    fv_tile_shapes shapes = {.palette = 1};
    for (int i = 0; i < 8; i++) shapes.bytes[i] = 64, shapes.rows[i] = 16;
    pack_keys(a, key, padded, keys);
    pack_values(a, value, padded, values);
    _tile_loadconfig(&shapes);
    float factor = a->scale * 1.44269504f;
    for (int32_t first = 0; first < a->queries; first += QUERIES) {
        int32_t count = a->queries - first < QUERIES ? a->queries - first : QUERIES;
        int64_t seen_last = (int64_t)a->first_visible + first + count - 1;
        int32_t most = seen_last < a->keys ? (int32_t)seen_last : a->keys;
        seen rows[QUERIES];
        for (int32_t m = 0; m < QUERIES; m++) rows[m] = (seen){_mm512_setzero_ps(), -INFINITY};
        memset(sums, 0, sizeof(float) * QUERIES * (size_t)dim);
        memset(weights, 0, sizeof weights); // those of queries that do not exist stay zero
        pack_queries(a, query + first * a->ld_query, count, queries);
        for (int32_t t = 0; t < most; t += KEYS) {
            int32_t here = ((most - t < KEYS ? most - t : KEYS) + 31) / 32 * 32;
            for (int32_t k = 0; k < here; k += 32) score_block(dim, queries, keys + (ptrdiff_t)(t + k) * dim * 2, scores + k);
            for (int32_t m = 0; m < count; m++) {
                int64_t sees = (int64_t)a->first_visible + first + m - t;
                int32_t last = a->keys - t < here ? a->keys - t : here, visible = sees < last ? (int32_t)sees : last;
                if (visible > 0)
                    soften(scores + m * KEYS, visible, here, factor, dim, &rows[m], weights + m * KEYS, sums + m * dim);
                else
                    memset(weights + m * KEYS, 0, sizeof *weights * (size_t)here);
            }
            for (int32_t d = 0; d < dim; d += 32) value_block(dim, weights, values + (ptrdiff_t)t * dim + d * 32, here, sums + d);
        }
        for (int32_t m = 0; m < count; m++) {
            __m512 each = _mm512_set1_ps(1 / _mm512_reduce_add_ps(rows[m].totals));
            for (int32_t d = 0; d < dim; d += 16)
                _mm512_storeu_ps(out + (first + m) * a->ld_out + d, _mm512_mul_ps(_mm512_loadu_ps(sums + m * dim + d), each));
        }
    }
    _tile_release();
}
#pragma clang attribute pop
#endif
