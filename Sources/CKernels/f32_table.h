// The table of one instruction set: FV_SUFFIX(name) is its function names' ending.
const fv_f32_kernels FV_SUFFIX(fv_f32_kernels) = {
    .isa = FV_ISA_OF_TABLE,
    .depthwise = FV_SUFFIX(f32_depthwise),
    .stem = FV_SUFFIX(f32_stem),
    .finish = FV_SUFFIX(f32_finish),
    .layer_norm = FV_SUFFIX(f32_layer_norm),
    .rms_norm = FV_SUFFIX(f32_rms_norm),
    .rope = FV_SUFFIX(f32_rope),
    .silu_multiply = FV_SUFFIX(f32_silu_multiply),
    .attention = FV_SUFFIX(f32_attention),
    .column_sums = FV_SUFFIX(f32_column_sums),
    .scale_gelu = FV_SUFFIX(f32_scale_gelu),
    .gemv = FV_SUFFIX(f32_gemv),
    .expand = FV_SUFFIX(f32_expand),
};
