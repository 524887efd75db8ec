// Holds every kernel table that this processor runs against the scalar reference, in C alone, so that it can
// be built for another processor and run under an emulator, or built with sanitizers. Prints one line a table
// and operation that disagrees and exits 1 if there was any.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CKernels.h"

static uint64_t state;
static int failures, checks;

static uint64_t bits(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return state >> 33 ^ state;
}

static float number(void) { return (float)((int64_t)bits() >> 40) / (1 << 23); }

static float *numbers(ptrdiff_t count, float scale) {
    float *x = malloc(4 * (size_t)(count + 1));
    for (ptrdiff_t i = 0; i < count; i++) x[i] = number() * scale;
    return x;
}

// Output memory between canaries, at an odd address for its element.
enum { MARGIN = 19 };
typedef struct guarded {
    unsigned char *memory;
    size_t bytes;
} guarded;

static guarded guard(size_t bytes) {
    guarded g = {malloc(bytes + 8 * MARGIN), bytes};
    memset(g.memory, 0xa5, bytes + 8 * MARGIN);
    return g;
}

static void *at(guarded g) { return g.memory + 4 * MARGIN; }

static int intact(guarded g) {
    for (int i = 0; i < 4 * MARGIN; i++)
        if (g.memory[i] != 0xa5 || g.memory[4 * MARGIN + g.bytes + (size_t)i] != 0xa5) return 0;
    return 1;
}

static void fail(const char *table, const char *what, double apart) {
    failures++;
    printf("%s %s: %g\n", table, what, apart);
}

// Differences are relative to the larger of 1 and the reference's largest value.
static void compare(const char *table, const char *what, guarded got, guarded expected, float tolerance) {
    checks++;
    if (!intact(got) || !intact(expected)) fail(table, what, INFINITY);
    double largest = 1, apart = 0;
    const float *a = at(got), *b = at(expected);
    for (size_t i = 0; i < got.bytes / 4; i++) largest = fmax(largest, fabs((double)b[i]));
    for (size_t i = 0; i < got.bytes / 4; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (!(d <= apart)) apart = d;
    }
    if (!(apart / largest <= tolerance)) fail(table, what, apart / largest);
    free(got.memory);
    free(expected.memory);
}

// Runs `call` with `table` the one under test and the reference, and compares `count` floats at `out`.
#define AGREE(type, tested, reference, count, tolerance, what, call)                                                   \
    do {                                                                                                               \
        guarded expected = guard(4 * (size_t)(count)), got = guard(4 * (size_t)(count));                               \
        {                                                                                                              \
            const type *table = reference;                                                                             \
            float *out = at(expected);                                                                                 \
            call;                                                                                                      \
        }                                                                                                              \
        {                                                                                                              \
            const type *table = tested;                                                                                \
            float *out = at(got);                                                                                      \
            call;                                                                                                      \
        }                                                                                                              \
        compare(table_name, what, got, expected, tolerance);                                                           \
    } while (0)

static const int32_t widths[] = {1, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 47, 48, 49, 63, 64, 65, 96, 100};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void convolutions(const char *table_name, const fv_f32_kernels *tested) {
    const fv_f32_kernels *reference = fv_f32_kernels_for(FV_ISA_SCALAR);
    static const int32_t kinds[][3] = {{3, 1, 1}, {7, 1, 1}, {3, 2, 1}, {7, 2, 2}, {3, 1, 2}};
    static const int32_t sizes[][2] = {{1, 1}, {2, 3}, {5, 4}, {7, 9}, {8, 17}, {13, 26}};
    for (int k = 0; k < 5; k++)
        for (int s = 0; s < 6; s++)
            for (int w = 0; w < WIDTHS; w++) {
                int32_t height = sizes[s][0], width = sizes[s][1], channels = widths[w], kernel = kinds[k][0];
                int32_t stride = kinds[k][1], multiplier = kinds[k][2];
                int32_t rows = (height + stride - 1) / stride, columns = (width + stride - 1) / stride;
                float *in = numbers((ptrdiff_t)height * width * channels, 1);
                float *weights = numbers((ptrdiff_t)multiplier * kernel * kernel * channels, 1);
                float *bias = numbers((ptrdiff_t)channels * multiplier, 1);
                for (int32_t gelu = 0; gelu < 2; gelu++) {
                    fv_depthwise d = {kernel, stride, multiplier, channels, height, width, 0, gelu};
                    int32_t first = rows / 2;
                    AGREE(fv_f32_kernels, tested, reference, (ptrdiff_t)(rows - first) * columns * channels * multiplier, 2e-6f,
                          "depthwise", table->depthwise(&d, in, weights, bias, out, first, rows));
                    AGREE(fv_f32_kernels, tested, reference, (ptrdiff_t)rows * columns * channels * multiplier, 2e-6f,
                          "depthwise", table->depthwise(&d, in, weights, bias, out, 0, rows));
                }
                free(in), free(weights), free(bias);
                if (k > 0) continue;
                in = numbers((ptrdiff_t)height * width * 3, 1), weights = numbers(27 * channels, 1), bias = numbers(channels, 1);
                rows = (height + 1) / 2;
                AGREE(fv_f32_kernels, tested, reference, (ptrdiff_t)rows * ((width + 1) / 2) * channels, 2e-6f, "stem",
                      table->stem(in, height, width, channels, weights, bias, out, 0, rows));
                free(in), free(weights), free(bias);
            }
}

static void rows_of_floats(const char *table_name, const fv_f32_kernels *tested) {
    const fv_f32_kernels *reference = fv_f32_kernels_for(FV_ISA_SCALAR);
    for (int w = 0; w < WIDTHS; w++) {
        int32_t n = widths[w], rows = 4;
        float *x = numbers(rows * n, 30), *weight = numbers(n, 1), *bias = numbers(n, 1), *residual = numbers(rows * n, 1);
        for (int parts = 0; parts < 16; parts++) {
            fv_ending e = {parts & 1 ? weight : NULL, parts & 2 ? bias : NULL, parts & 4 ? residual : NULL, n, parts & 8};
            AGREE(fv_f32_kernels, tested, reference, rows * n, 2e-6f, "finish", table->finish(x, n, &e, out, n, rows, n));
        }
        AGREE(fv_f32_kernels, tested, reference, rows * n, 1e-5f, "layer_norm",
              table->layer_norm(x, n, weight, bias, 1e-5f, out, n, rows, n));
        AGREE(fv_f32_kernels, tested, reference, rows * n, 2e-6f, "rms_norm",
              table->rms_norm(x, n, weight, 1e-6f, out, n, rows, n));
        AGREE(fv_f32_kernels, tested, reference, n, 2e-6f, "column_sums",
              (memset(out, 0, 4 * (size_t)n), table->column_sums(x, n, out, rows, n)));
        AGREE(fv_f32_kernels, tested, reference, rows * n, 2e-6f, "scale_gelu",
              (memcpy(out, x, 16 * (size_t)n), table->scale_gelu(out, n, weight, rows, n)));
        AGREE(fv_f32_kernels, tested, reference, rows * n, 2e-6f, "silu_multiply",
              (memcpy(out, x, 16 * (size_t)n), table->silu_multiply(out, x, rows * n)));
        AGREE(fv_f32_kernels, tested, reference, rows * 2 * n, 2e-6f, "rope",
              (memcpy(out, x, 16 * (size_t)n), memcpy(out + 4 * n, x, 16 * (size_t)n),
               table->rope(out, 2 * n, x, residual, rows, 1, 2 * n / 2 * 2)));
        for (int element = 0; element < 3; element++) {
            uint16_t *stored = malloc(4 * 11 * (size_t)n);
            for (int32_t i = 0; i < 11 * n; i++) {
                if (element == FV_F32)
                    ((float *)stored)[i] = number();
                else // finite halves of either kind
                    stored[i] = (uint16_t)((bits() & 0x8000) | (element == FV_F16 ? bits() % 0x4000 : 0x3000 + bits() % 0x1000));
            }
            AGREE(fv_f32_kernels, tested, reference, 11, 1e-5f, "gemv",
                  table->gemv(stored, (fv_element)element, residual, out, 0, 11, n));
            AGREE(fv_f32_kernels, tested, reference, 11 * n, 0, "expand", table->expand(stored, (fv_element)element, out, 11 * n));
            free(stored);
        }
        free(x), free(weight), free(bias), free(residual);
    }
}

static void attention(const char *table_name, const fv_f32_kernels *tested, float tolerance) {
    const fv_f32_kernels *reference = fv_f32_kernels_for(FV_ISA_SCALAR);
    static const int32_t shapes[][3] = {{1, 1, 8},     {1, 37, 32},    {5, 5, 64},   {6, 64, 40}, {9, 130, 16},
                                        {33, 257, 128}, {100, 300, 64}, {16, 40, 32}, {64, 64, 96}};
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int causal = 0; causal < 2; causal++) {
            int32_t queries = shapes[s][0], keys = shapes[s][1], dim = shapes[s][2];
            float *q = numbers(queries * dim, 3), *k = numbers(keys * dim, 1), *v = numbers(keys * dim, 1);
            fv_attention a = {queries, keys, dim, causal ? keys - queries + 1 : keys, 0.3f, dim, dim, dim, dim};
            float *scratch = malloc(4 * (size_t)fv_attention_scratch(keys, dim));
            AGREE(fv_f32_kernels, tested, reference, queries * dim, tolerance, "attention",
                  table->attention(&a, q, k, v, out, scratch));
            free(scratch), free(q), free(k), free(v);
        }
}

// Activations with memory of their own.
typedef struct activations {
    fv_i8_rows rows;
    guarded values, scales, sums;
} activations;

static activations quantized(const fv_quant_kernels *table, const float *x, int32_t rows, int32_t columns, int32_t group) {
    size_t groups = (size_t)fv_quant_groups(columns, group), ld = (size_t)fv_quant_columns(columns) + 4;
    activations a = {.values = guard((size_t)rows * ld), .scales = guard(4 * (size_t)rows * groups), .sums = guard(4 * (size_t)rows * groups)};
    memset(at(a.values), 0x5a, a.values.bytes); // what lies between rows belongs to nobody
    a.rows = (fv_i8_rows){at(a.values), (ptrdiff_t)ld, at(a.scales), at(a.sums), columns, group};
    table->quantize_rows(x, columns, rows, &a.rows);
    return a;
}

static void release(activations a) { free(a.values.memory), free(a.scales.memory), free(a.sums.memory); }

static int same(guarded a, guarded b) { return intact(a) && intact(b) && memcmp(at(a), at(b), a.bytes) == 0; }

static void quantizing(const fv_quant_kernels *tested, const float *x, int32_t rows, int32_t columns, int32_t group) {
    activations a = quantized(tested, x, rows, columns, group), b = quantized(fv_quant_kernels_at(0), x, rows, columns, group);
    checks++;
    if (!same(a.values, b.values) || !same(a.scales, b.scales) || !same(a.sums, b.sums))
        fail(tested->name, "quantize_rows", columns);
    release(a), release(b);
}

static void products(const char *table_name, const fv_quant_kernels *tested, int32_t rows, int32_t outputs, int32_t inputs) {
    const fv_quant_kernels *reference = fv_quant_kernels_at(0);
    float *x = numbers((ptrdiff_t)rows * inputs, 3), *w = numbers((ptrdiff_t)outputs * inputs, 1);
    float *bias = numbers(outputs, 1), *residual = numbers((ptrdiff_t)rows * outputs, 1), *scale = malloc(4 * (size_t)outputs);
    int32_t panels = fv_quant_panels(outputs);
    int8_t *packed = malloc(fv_i8_weights_bytes(outputs, inputs));
    fv_i8_pack(w, inputs, outputs, inputs, 0, panels, packed, scale);
    fv_i8_weights w8 = {packed, outputs, inputs};
    static const int32_t groups[] = {1 << 20, 32, 96};
    for (int g = 0; g < 3; g++) {
        quantizing(tested, x, rows, inputs, groups[g]);
        activations a = quantized(reference, x, rows, inputs, groups[g]);
        for (int parts = 0; parts < 8; parts++) {
            fv_ending e = {scale, parts & 1 ? bias : NULL, parts & 2 ? residual : NULL, outputs, parts & 4};
            AGREE(fv_quant_kernels, tested, reference, (ptrdiff_t)rows * outputs, parts & 4 ? 2e-4f : 2e-6f, "i8_gemm",
                  table->i8_gemm(&a.rows, rows, &w8, 0, panels, &e, out, outputs));
            if (panels < 2) continue;
            int32_t first = panels / 2 * FV_PANEL, width = outputs - first;
            AGREE(fv_quant_kernels, tested, reference, (ptrdiff_t)(rows - 1) * outputs + width, parts & 4 ? 2e-4f : 2e-6f,
                  "i8_gemm of some panels",
                  (memset(out, 0, 4 * ((size_t)(rows - 1) * (size_t)outputs + (size_t)width)),
                   table->i8_gemm(&a.rows, rows, &w8, panels / 2, panels, &e, out - first, outputs)));
        }
        release(a);
    }
    uint8_t *nibbles = malloc(fv_i4_nibbles_bytes(outputs, inputs));
    uint16_t *factors = malloc(fv_i4_scales_bytes(outputs, inputs));
    fv_i4_pack(w, inputs, outputs, inputs, 0, panels, nibbles, factors);
    fv_i4_weights w4 = {nibbles, factors, outputs, inputs};
    activations a = quantized(reference, x, rows, inputs, FV_GROUP);
    for (int parts = 0; parts < 16; parts++) {
        fv_ending e = {parts & 8 ? scale : NULL, parts & 1 ? bias : NULL, parts & 2 ? residual : NULL, outputs, parts & 4};
        AGREE(fv_quant_kernels, tested, reference, (ptrdiff_t)rows * outputs, parts & 4 ? 2e-4f : 2e-6f, "i4_gemm",
              table->i4_gemm(&a.rows, rows, &w4, 0, panels, &e, out, outputs));
    }
    release(a);
    free(x), free(w), free(bias), free(residual), free(scale), free(packed), free(nibbles), free(factors);
}

// Two layers at once are, bit for bit, the same table's products one after the other.
static void two_layers(const fv_quant_kernels *tested, int32_t rows, int32_t inputs, int32_t wide, int32_t outputs) {
    float *x = numbers((ptrdiff_t)rows * inputs, 3), *w = numbers((ptrdiff_t)wide * (inputs + outputs), 1);
    float *bias = numbers(wide, 1), *residual = numbers((ptrdiff_t)rows * outputs, 1), *scale = malloc(4 * (size_t)(wide + outputs));
    int8_t *first = malloc(fv_i8_weights_bytes(wide, inputs)), *second = malloc(fv_i8_weights_bytes(outputs, wide));
    fv_i8_pack(w, inputs, wide, inputs, 0, fv_quant_panels(wide), first, scale);
    fv_i8_pack(w + (ptrdiff_t)wide * inputs, wide, outputs, wide, 0, fv_quant_panels(outputs), second, scale + wide);
    fv_i8_weights w1 = {first, wide, inputs}, w2 = {second, outputs, wide};
    fv_ending e1 = {scale, bias, NULL, 0, 1}, e2 = {scale + wide, NULL, residual, outputs, 0};
    activations a = quantized(tested, x, rows, inputs, inputs);
    float *hidden = malloc(4 * (size_t)rows * (size_t)wide);
    tested->i8_gemm(&a.rows, rows, &w1, 0, fv_quant_panels(wide), &e1, hidden, wide);
    activations middle = quantized(tested, hidden, rows, wide, wide);
    guarded expected = guard(4 * (size_t)rows * (size_t)outputs), got = guard(4 * (size_t)rows * (size_t)outputs);
    tested->i8_gemm(&middle.rows, rows, &w2, 0, fv_quant_panels(outputs), &e2, at(expected), outputs);
    size_t bytes = fv_i8_mlp_scratch(wide);
    void *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64);
    tested->i8_mlp(&a.rows, rows, &w1, &e1, &w2, &e2, scratch, at(got), outputs);
    compare(tested->name, "i8_mlp", got, expected, 0);
    release(a), release(middle);
    free(x), free(w), free(bias), free(residual), free(scale), free(first), free(second), free(hidden), free(scratch);
}

// The largest numbers that a product can meet: no sum may overflow or saturate.
static void extremes(const char *table_name, const fv_quant_kernels *tested) {
    enum { INPUTS = FV_QUANT_MAX_INPUTS };
    int8_t *w = malloc(3 * INPUTS), *packed = malloc(fv_i8_weights_bytes(3, INPUTS));
    float *x = malloc(4 * 2 * INPUTS), scale[3] = {1, 1, 1};
    for (int32_t k = 0; k < INPUTS; k++) {
        w[k] = 127, w[INPUTS + k] = -127, w[2 * INPUTS + k] = k % 2 ? 127 : -127;
        x[k] = 1, x[INPUTS + k] = k % 2 ? -1 : 1;
    }
    fv_i8_pack_values(w, INPUTS, 3, INPUTS, 0, 1, packed);
    fv_i8_weights weights = {packed, 3, INPUTS};
    fv_ending e = {scale, NULL, NULL, 0, 0};
    activations a = quantized(tested, x, 2, INPUTS, INPUTS);
    AGREE(fv_quant_kernels, tested, fv_quant_kernels_at(0), 6, 1e-7f, "i8_gemm of extremes",
          table->i8_gemm(&a.rows, 2, &weights, 0, 1, &e, out, 3));
    release(a);
    for (int kind = 0; kind < 8; kind++)
        for (int32_t columns = 1; columns <= 70; columns += 23) {
            static const float odd[] = {0, NAN, INFINITY, -INFINITY, 1e-38f, 3.4e38f, 1e-30f, 3e38f};
            for (int32_t k = 0; k < 3 * columns; k++) x[k] = k < columns || kind >= 4 ? odd[kind] : number();
            x[columns / 2] = odd[kind], x[columns * 2] = odd[kind];
            quantizing(tested, x, 3, columns, 1 << 20);
            quantizing(tested, x, 3, columns, FV_GROUP);
        }
    free(w), free(packed), free(x);
}

int main(void) {
    state = 2026;
    for (int isa = 1; isa < FV_ISA_COUNT; isa++) {
        if (!fv_isa_supported((fv_isa)isa)) continue;
        const fv_f32_kernels *table = fv_f32_kernels_for((fv_isa)isa);
        const char *name = fv_isa_name((fv_isa)isa);
        int before = failures;
        convolutions(name, table), rows_of_floats(name, table), attention(name, table, 5e-6f);
        printf("float32 %s: %s\n", name, failures == before ? "agrees" : "disagrees");
    }
    for (int32_t i = 1; fv_quant_kernels_at(i); i++) {
        const fv_quant_kernels *table = fv_quant_kernels_at(i);
        int before = failures;
        for (int w = 0; w < WIDTHS; w++)
            for (int32_t rows = 0; rows < 20; rows += rows < 9 ? 1 : 5)
                products(table->name, table, rows == 0 ? 33 : rows, widths[w], widths[(w * 5 + rows) % WIDTHS]);
        products(table->name, table, 21, 50, 4864);
        products(table->name, table, 70, 49, 8960);
        products(table->name, table, 3, 1000, 896);
        for (int w = 0; w < WIDTHS; w++) two_layers(table, 1 + w * 7, widths[(w * 5 + 3) % WIDTHS], widths[w], widths[(w * 3 + 1) % WIDTHS]);
        extremes(table->name, table);
        if (table->attention) {
            fv_f32_kernels rounding = *fv_f32_kernels_for(FV_ISA_SCALAR);
            rounding.attention = table->attention;
            attention(table->name, &rounding, 1e-2f);
        }
        printf("quantized %s: %s\n", table->name, failures == before ? "agrees" : "disagrees");
    }
    printf("%d checks, %d failures\n", checks, failures);
    return failures != 0;
}
