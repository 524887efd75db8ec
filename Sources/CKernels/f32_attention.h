// Attention for one instruction set: a part of f32_vector.h, which includes it and has its vectors and macros.

// The scores of Q queries against V panels of LANES keys: scores[q, key] = query[q] . key. A panel is
// [head_dim, LANES].
INLINE void score_tile(const int Q, const int V, const fv_attention *a, const float *query, const float *panels,
                       float *scores, ptrdiff_t ld) {
    vf sums[PIXELS][2];
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < V; v++) sums[q][v] = splat(0);
    for (int32_t d = 0; d < a->head_dim; d++) {
        vf k[2];
        for (int v = 0; v < V; v++) k[v] = load(panels + ((ptrdiff_t)v * a->head_dim + d) * LANES);
        for (int q = 0; q < Q; q++) {
            vf x = splat(query[q * a->ld_query + d]);
            for (int v = 0; v < V; v++) sums[q][v] = fma_(x, k[v], sums[q][v]);
        }
    }
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < V; v++) store(scores + q * ld + v * LANES, sums[q][v] * a->scale);
}

// out[q, 0 ..< n of V vectors] = factor[q] * sum over keys of p[q, key] * value[key].
INLINE void value_tile(const int Q, const int V, const float *p, ptrdiff_t ld, ptrdiff_t keys, const float *value,
                       ptrdiff_t ld_value, const float *factor, float *out, ptrdiff_t ld_out, int32_t n) {
    vf sums[PIXELS][2];
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < V; v++) sums[q][v] = splat(0);
    for (ptrdiff_t t = 0; t < keys; t++) {
        vf x[2];
        for (int v = 0; v < V; v++) x[v] = load_n(value + t * ld_value + v * LANES, v == V - 1 ? n : LANES);
        for (int q = 0; q < Q; q++) {
            vf weight = splat(p[q * ld + t]);
            for (int v = 0; v < V; v++) sums[q][v] = fma_(weight, x[v], sums[q][v]);
        }
    }
    for (int q = 0; q < Q; q++)
        for (int v = 0; v < V; v++)
            store_n(out + q * ld_out + v * LANES, sums[q][v] * factor[q], v == V - 1 ? n : LANES);
}

// Turns the first `visible` scores into e^(score - largest), sets those up to `most` to 0 and returns the
// reciprocal of their sum. `scores` has room for whole vectors.
INLINE float soften(float *scores, ptrdiff_t visible, ptrdiff_t most) {
    ptrdiff_t c = 0;
    vf largest = splat(-INFINITY), total = splat(0);
    for (; c + LANES <= visible; c += LANES) largest = max_(largest, load(scores + c));
    float most_of = max_of(largest), sum = 0;
    for (ptrdiff_t i = c; i < visible; i++) most_of = most_of > scores[i] ? most_of : scores[i];
    for (c = 0; c + LANES <= visible; c += LANES) {
        vf e = exp_(load(scores + c) - most_of);
        store(scores + c, e);
        total += e;
    }
    if (c < visible) { // what lies behind the last visible key is padding or masked
        vf e = exp_(load_n(scores + c, (int32_t)(visible - c)) - most_of);
        store(scores + c, e);
        for (ptrdiff_t i = c; i < visible; i++) sum += scores[i];
    }
    for (ptrdiff_t i = visible; i < most; i++) scores[i] = 0;
    return 1 / (sum_of(total) + sum);
}

INLINE ptrdiff_t visible_keys(const fv_attention *a, ptrdiff_t query) {
    return a->first_visible + query < a->keys ? a->first_visible + query : a->keys;
}

// Q queries from `first` on; `values` is [keys, ld_values], padded to whole vectors.
INLINE void attend(const int Q, const fv_attention *a, ptrdiff_t first, const float *query, const float *panels,
                   const float *values, ptrdiff_t ld_values, float *out, float *scores, ptrdiff_t ld) {
    ptrdiff_t most = visible_keys(a, first + Q - 1), t = 0;
    for (; t + LANES < most; t += 2 * LANES) score_tile(Q, 2, a, query, panels + t * a->head_dim, scores + t, ld);
    if (t < most) score_tile(Q, 1, a, query, panels + t * a->head_dim, scores + t, ld);
    float factor[PIXELS];
    for (int q = 0; q < Q; q++) factor[q] = soften(scores + q * ld, visible_keys(a, first + q), most);
    for (int32_t d = 0; d < a->head_dim; d += 2 * LANES) {
        int32_t left = a->head_dim - d;
        float *to = out + d;
        if (left >= 2 * LANES)
            value_tile(Q, 2, scores, ld, most, values + d, ld_values, factor, to, a->ld_out, LANES);
        else if (left > LANES)
            value_tile(Q, 2, scores, ld, most, values + d, ld_values, factor, to, a->ld_out, left - LANES);
        else
            value_tile(Q, 1, scores, ld, most, values + d, ld_values, factor, to, a->ld_out, left);
    }
}

// A query on its own reads each key and value once, where they lie.
INLINE void attend_alone(const fv_attention *a, ptrdiff_t first, const float *query, const float *key, const float *value,
                         float *out, float *scores) {
    ptrdiff_t visible = visible_keys(a, first), t = 0;
    for (; t < visible; t += 4) {
        vf sums[4] = {splat(0), splat(0), splat(0), splat(0)};
        const float *k[4];
        for (int i = 0; i < 4; i++) k[i] = key + (t + i < visible ? t + i : t) * a->ld_key;
        int32_t d = 0;
        for (; d + LANES <= a->head_dim; d += LANES) {
            vf x = load(query + d);
            for (int i = 0; i < 4; i++) sums[i] = fma_(x, load(k[i] + d), sums[i]);
        }
        if (d < a->head_dim) {
            vf x = load_n(query + d, a->head_dim - d);
            for (int i = 0; i < 4; i++) sums[i] = fma_(x, load_n(k[i] + d, a->head_dim - d), sums[i]);
        }
        for (int i = 0; i < 4; i++) scores[t + i] = sum_of(sums[i]) * a->scale;
    }
    float factor = soften(scores, visible, visible);
    int32_t d = 0;
    for (; d + 2 * LANES <= a->head_dim; d += 2 * LANES)
        value_tile(1, 2, scores, 0, visible, value + d, a->ld_value, &factor, out + d, a->ld_out, LANES);
    for (; d < a->head_dim; d += LANES)
        value_tile(1, 1, scores, 0, visible, value + d, a->ld_value, &factor, out + d, a->ld_out,
                   a->head_dim - d < LANES ? a->head_dim - d : LANES);
}

static void FV_SUFFIX(f32_attention)(const fv_attention *a, const float *query, const float *key, const float *value,
                                     float *out, float *scratch) {
    int32_t i = 0, dim = a->head_dim;
    if (a->queries >= PIXELS) {
        // The keys in panels of LANES and the values densely: a head's rows are far apart in memory.
        ptrdiff_t ld = ((ptrdiff_t)a->keys + 63) / 64 * 64, ld_values = ((ptrdiff_t)dim + 15) / 16 * 16;
        float *panels = scratch, *values = panels + ld * dim, *scores = values + ld * ld_values;
        for (ptrdiff_t t = 0; t < ld; t++) {
            float *column = panels + t / LANES * LANES * dim + t % LANES;
            for (int32_t d = 0; d < dim; d++) column[(ptrdiff_t)d * LANES] = t < a->keys ? key[t * a->ld_key + d] : 0;
        }
        for (ptrdiff_t t = 0; t < a->keys; t++) {
            memcpy(values + t * ld_values, value + t * a->ld_value, 4 * (size_t)dim);
            for (ptrdiff_t d = dim; d < ld_values; d++) values[t * ld_values + d] = 0;
        }
        for (; i + PIXELS <= a->queries; i += PIXELS)
            attend(PIXELS, a, i, query + i * a->ld_query, panels, values, ld_values, out + i * a->ld_out, scores, ld);
    }
    for (; i < a->queries; i++)
        attend_alone(a, i, query + i * a->ld_query, key, value, out + i * a->ld_out, scratch);
}
