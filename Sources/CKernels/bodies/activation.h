// Activations and their derivatives, alone and as the gate of a gated feed-forward layer.
// x, y, a, b, dy, dx, da, db: [count], unaligned.

#if KERNEL_REFERENCES
double reference_activation(activation_kind kind, double x) {
  switch (kind) {
    case ACTIVATION_RELU: return x > 0 ? x : 0;
    case ACTIVATION_GELU_NEW: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case ACTIVATION_GELU: return 0.5 * x * (1 + erf(x / sqrt(2)));
    case ACTIVATION_SILU: return x / (1 + exp(-x));
    case ACTIVATION_TANH: return tanh(x);
  }
  return NAN;
}
#endif

// f(x) and f'(x); what the caller does not use costs nothing after inlining.
INLINE void activation_pair(activation_kind kind, f32x16 x, f32x16 *value, f32x16 *slope) {
  if (kind == ACTIVATION_RELU) {
    *value = x <= 0.0f ? (f32x16)0.0f : x;
    *slope = x > 0.0f ? (f32x16)1.0f : (f32x16)0.0f;
  } else if (kind == ACTIVATION_GELU_NEW) {
    // 0.5 (1 + tanh u) = logistic(2 u), which keeps its relative accuracy for negative u.
    const f32x16 z = x * x;
    const f32x16 s = logistic16(x * fused(0.07135481627260025f, z, 1.5957691216057308f));
    *value = x * s;
    *slope = fused(x * (s * (1.0f - s)), fused(0.21406444881780075f, z, 1.5957691216057308f), s);
  } else if (kind == ACTIVATION_GELU) {
    const f32x16 cumulative = fused(0.5f, erf16(x * 0.70710678118654752f), 0.5f);
    *value = x * cumulative;
    *slope = fused(x, exp16(x * x * -0.5f) * 0.39894228040143268f, cumulative);
  } else if (kind == ACTIVATION_SILU) {
    const f32x16 s = logistic16(x);
    *value = x * s;
    *slope = s * fused(x, 1.0f - s, 1.0f);
  } else {
    const f32x16 t = tanh16(x);
    *value = t;
    *slope = fused(-t, t, 1.0f);
  }
}

// Makes one loop per activation, each with a constant `kind`.
#define FOR_ACTIVATION(LOOP, ...) \
  switch (kind) { \
    case ACTIVATION_RELU: LOOP(ACTIVATION_RELU, __VA_ARGS__); break; \
    case ACTIVATION_GELU_NEW: LOOP(ACTIVATION_GELU_NEW, __VA_ARGS__); break; \
    case ACTIVATION_GELU: LOOP(ACTIVATION_GELU, __VA_ARGS__); break; \
    case ACTIVATION_SILU: LOOP(ACTIVATION_SILU, __VA_ARGS__); break; \
    case ACTIVATION_TANH: LOOP(ACTIVATION_TANH, __VA_ARGS__); break; \
  }

INLINE void activation_loop(activation_kind kind, const float *x, float *y, long count) {
  f32x16 value, slope;
  FOR_VECTORS(count, activation_pair(kind, load(x + i, n), &value, &slope); store(y + i, value, n));
}

INLINE void activation_backward_loop(activation_kind kind, const float *dy, const float *x, float *dx,
                                     long count) {
  f32x16 value, slope;
  FOR_VECTORS(count, activation_pair(kind, load(x + i, n), &value, &slope);
              store(dx + i, load(dy + i, n) * slope, n));
}

INLINE void gated_loop(activation_kind kind, const float *a, const float *b, float *y, long count) {
  f32x16 value, slope;
  FOR_VECTORS(count, activation_pair(kind, load(a + i, n), &value, &slope);
              store(y + i, value * load(b + i, n), n));
}

INLINE void gated_backward_loop(activation_kind kind, const float *dy, const float *a, const float *b,
                                float *da, float *db, long count) {
  f32x16 value, slope;
  FOR_VECTORS(count, const f32x16 d = load(dy + i, n); activation_pair(kind, load(a + i, n), &value, &slope);
              store(da + i, d * load(b + i, n) * slope, n); store(db + i, d * value, n));
}

KERNEL(void, activation)(activation_kind kind, const float *x, float *y, long count) {
  FOR_ACTIVATION(activation_loop, x, y, count)
}

KERNEL(void, activation_backward)(activation_kind kind, const float *dy, const float *x, float *dx,
                                  long count) {
  FOR_ACTIVATION(activation_backward_loop, dy, x, dx, count)
}

KERNEL(void, gated)(activation_kind kind, const float *a, const float *b, float *y, long count) {
  FOR_ACTIVATION(gated_loop, a, b, y, count)
}

KERNEL(void, gated_backward)(activation_kind kind, const float *dy, const float *a, const float *b, float *da,
                             float *db, long count) {
  FOR_ACTIVATION(gated_backward_loop, dy, a, b, da, db, count)
}

// One bit for each lane that is above zero.
INLINE uint16_t positive_lanes(f32x16 x) {
#if KERNEL_HAS_MASKS
  return _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_GT_OQ);
#else
  uint16_t bits = 0;
  for (int lane = 0; lane < 16; lane++) bits |= (uint16_t)((x[lane] > 0) << lane);
  return bits;
#endif
}

KERNEL(void, relu_signs)(const float *x, float *y, uint16_t *positive, long count) {
  FOR_VECTORS(count, const f32x16 v = load(x + i, n); positive[i / 16] = positive_lanes(v);
              store(y + i, v <= 0.0f ? (f32x16)0.0f : v, n));
}

KERNEL(void, relu_signs_backward)(const float *dy, const uint16_t *positive, float *dx, long count) {
  const i32x16 lane = {1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768};
  FOR_VECTORS(count, const i32x16 kept = (lane & (i32x16)(int32_t)positive[i / 16]) != 0;
              store(dx + i, kept ? load(dy + i, n) : (f32x16)0.0f, n));
}
