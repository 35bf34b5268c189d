// fp32 from and to the 16-bit formats: bfloat16 (upper half of a float) and IEEE half precision.
// x, y: [count].

#if KERNEL_REFERENCES
float reference_fp16_to_float(uint16_t x) {
  const uint32_t sign = (uint32_t)(x & 0x8000) << 16, exponent = (x >> 10) & 31, fraction = x & 0x3ff;
  uint32_t bits = sign | (exponent + 112) << 23 | fraction << 13;
  if (exponent == 31) bits = sign | 0x7f800000 | (fraction ? 0x400000 | fraction << 13 : 0);
  float value;
  memcpy(&value, &bits, sizeof value);
  if (exponent == 0) value = (sign ? -1.0f : 1.0f) * (float)fraction * 0x1p-24f;
  return value;
}

uint16_t reference_float_to_fp16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  const uint32_t magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return (uint16_t)(sign | 0x7e00 | (magnitude >> 13 & 0x3ff));
  if (magnitude >= 0x477ff000) return sign | 0x7c00;  // 65520 and more rounds to infinity
  if (magnitude < 0x38800000) {                       // below 2^-14: a multiple of 2^-24
    return (uint16_t)(sign | (uint16_t)nearbyintf(fabsf(x) * 0x1p24f));
  }
  const uint32_t rounded = magnitude - 0x38000000 + 0xfff + (magnitude >> 13 & 1);
  return (uint16_t)(sign | rounded >> 13);
}

uint16_t reference_float_to_bf16(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
#endif

typedef uint16_t u16x8 __attribute__((ext_vector_type(8)));
typedef uint16_t u16x16 __attribute__((ext_vector_type(16)));

INLINE u16x16 load_halves(const uint16_t *p, long n) {
  u16x16 v = (uint16_t)0;
  if (n == 16) {
    memcpy(&v, p, sizeof v);
  } else {
    memcpy(&v, p, (size_t)n * sizeof(uint16_t));
  }
  return v;
}

INLINE void store_halves(uint16_t *p, u16x16 v, long n) {
  if (n == 16) {
    memcpy(p, &v, sizeof v);
  } else {
    memcpy(p, &v, (size_t)n * sizeof(uint16_t));
  }
}

INLINE f32x16 widen_bf16(u16x16 x) { return (f32x16)(__builtin_convertvector(x, u32x16) << 16); }

KERNEL(void, bf16_to_float)(const uint16_t *x, float *y, long count) {
  FOR_VECTORS(count, store(y + i, widen_bf16(load_halves(x + i, n)), n));
}

INLINE u16x16 round_to_bf16(f32x16 x) {
  const u32x16 bits = (u32x16)x;
  const u32x16 rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const u32x16 quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded, u16x16);
}

KERNEL(void, float_to_bf16)(const float *x, uint16_t *y, long count) {
  FOR_VECTORS(count, store_halves(y + i, round_to_bf16(load(x + i, n)), n));
}

KERNEL(void, round_bf16)(const float *x, float *y, long count) {
  FOR_VECTORS(count, store(y + i, widen_bf16(round_to_bf16(load(x + i, n))), n));
}

INLINE f32x16 widen_halves(u16x16 x) {
  f32x16 y;
#if KERNEL_HAS_MASKS
  y = (f32x16)_mm512_cvtph_ps((__m256i)x);
#elif KERNEL_HAS_F16C
  y.lo = (f32x8)_mm256_cvtph_ps((__m128i)x.lo);
  y.hi = (f32x8)_mm256_cvtph_ps((__m128i)x.hi);
#else
  for (int lane = 0; lane < 16; lane++) y[lane] = reference_fp16_to_float(x[lane]);
#endif
  return y;
}

INLINE u16x16 narrow_to_halves(f32x16 x) {
  u16x16 y;
#if KERNEL_HAS_MASKS
  y = (u16x16)_mm512_cvtps_ph((__m512)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
#elif KERNEL_HAS_F16C
  y.lo = (u16x8)_mm256_cvtps_ph((__m256)x.lo, _MM_FROUND_TO_NEAREST_INT);
  y.hi = (u16x8)_mm256_cvtps_ph((__m256)x.hi, _MM_FROUND_TO_NEAREST_INT);
#else
  for (int lane = 0; lane < 16; lane++) y[lane] = reference_float_to_fp16(x[lane]);
#endif
  return y;
}

KERNEL(void, fp16_to_float)(const uint16_t *x, float *y, long count) {
  FOR_VECTORS(count, store(y + i, widen_halves(load_halves(x + i, n)), n));
}

KERNEL(void, float_to_fp16)(const float *x, uint16_t *y, long count) {
  FOR_VECTORS(count, store_halves(y + i, narrow_to_halves(load(x + i, n)), n));
}

KERNEL(void, round_fp16)(const float *x, float *y, long count) {
  FOR_VECTORS(count, store(y + i, widen_halves(narrow_to_halves(load(x + i, n))), n));
}
