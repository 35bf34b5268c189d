// Vectors of 16 floats, the unit every kernel is written in, and what clang's vector extensions lack.
//
// A body file works in whole vectors; the last, partial one is loaded with zeros behind the end and stored in
// part. Lane structure and order depend on counts alone, never on addresses, so equal arguments give equal
// bits.

typedef float f32x4 __attribute__((ext_vector_type(4)));
typedef float f32x8 __attribute__((ext_vector_type(8)));
typedef float f32x16 __attribute__((ext_vector_type(16)));
typedef int32_t i32x16 __attribute__((ext_vector_type(16)));
typedef uint32_t u32x16 __attribute__((ext_vector_type(16)));
typedef double f64x4 __attribute__((ext_vector_type(4)));
typedef double f64x8 __attribute__((ext_vector_type(8)));
typedef int64_t i64x8 __attribute__((ext_vector_type(8)));
typedef uint64_t u64x8 __attribute__((ext_vector_type(8)));

#define INLINE static inline __attribute__((always_inline, unused))

// Runs a statement over [0, count) in vectors: it sees the position `i` and the number `n` of entries there,
// 16 but for the last. `n` is a constant in the main loop, so partial loads and stores cost nothing there.
#define FOR_VECTORS(count, ...) \
  do { \
    const long vector_count_ = (count); \
    long i = 0; \
    for (; i + 16 <= vector_count_; i += 16) { \
      const long n = 16; \
      (void)n; \
      __VA_ARGS__; \
    } \
    if (i < vector_count_) { \
      const long n = vector_count_ - i; \
      (void)n; \
      __VA_ARGS__; \
    } \
  } while (0)

INLINE f32x16 load(const float *p, long n) {
  f32x16 v = 0.0f;
  if (n == 16) {
    memcpy(&v, p, sizeof v);
  } else {
#if KERNEL_HAS_MASKS
    v = (f32x16)_mm512_maskz_loadu_ps((__mmask16)((1u << n) - 1), p);
#else
    memcpy(&v, p, (size_t)n * sizeof(float));
#endif
  }
  return v;
}

INLINE void store(float *p, f32x16 v, long n) {
  if (n == 16) {
    memcpy(p, &v, sizeof v);
  } else {
#if KERNEL_HAS_MASKS
    _mm512_mask_storeu_ps(p, (__mmask16)((1u << n) - 1), (__m512)v);
#else
    memcpy(p, &v, (size_t)n * sizeof(float));
#endif
  }
}

// Lanes 0 .. n-1 of v, and `other` behind them.
INLINE f32x16 first_lanes(f32x16 v, long n, float other) {
  if (n == 16) return v;
  const i32x16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (i32x16)(int32_t)n ? v : (f32x16)other;
}

// a b + c, rounded once: the compiler fuses nothing by itself (-ffp-contract=off), so that every set rounds alike.
INLINE f32x16 fused(f32x16 a, f32x16 b, f32x16 c) { return __builtin_elementwise_fma(a, b, c); }

INLINE f32x16 maximum(f32x16 a, f32x16 b) { return a > b ? a : b; }  // b where a is NaN

INLINE float sum_lanes(f32x16 v) {
  const f32x8 a = v.lo + v.hi;
  const f32x4 b = a.lo + a.hi;
  return (b.x + b.z) + (b.y + b.w);
}

INLINE double sum_lanes_double(f64x8 v) {
  const f64x4 a = v.lo + v.hi;
  return (a.x + a.z) + (a.y + a.w);
}

INLINE float max_lanes(f32x16 v) {
  float best = v[0];
  for (int lane = 1; lane < 16; lane++) best = v[lane] > best ? v[lane] : best;
  return best;
}

INLINE int32_t max_lanes_int(i32x16 v) {
  int32_t best = v[0];
  for (int lane = 1; lane < 16; lane++) best = v[lane] > best ? v[lane] : best;
  return best;
}

INLINE f32x16 select_sign(f32x16 magnitude, f32x16 sign) {
  const i32x16 bit = (i32x16)(int32_t)0x80000000;
  return (f32x16)(((i32x16)magnitude & ~bit) | ((i32x16)sign & bit));
}

INLINE f32x16 absolute(f32x16 x) { return (f32x16)((i32x16)x & (i32x16)0x7fffffff); }

// Swaps the off-diagonal blocks of `b` lanes between vectors i and i + b; with b = 8, 4, 2, 1 in turn 16 vectors are
// transposed. The lanes are those of the first result; the second has the same ones b further on.
#define SWAP_BLOCKS(v, b, ...) SWAP_BLOCKS_OF(16, v, b, __VA_ARGS__)
#define SWAP_BLOCKS_OF(count, v, b, ...) \
  for (int i = 0; i < (count); i++) { \
    if (i & (b)) continue; \
    const f32x16 upper = v[i], lower = v[i + (b)]; \
    v[i] = __builtin_shufflevector(upper, lower, __VA_ARGS__); \
    v[i + (b)] = __builtin_shufflevector(upper, lower, SHIFTED_LANES(b, __VA_ARGS__)); \
  }
#define SHIFTED_LANES(b, ...) SHIFTED_LANES_OF(b, __VA_ARGS__)
#define SHIFTED_LANES_OF(b, l0, l1, l2, l3, l4, l5, l6, l7, l8, l9, l10, l11, l12, l13, l14, l15) \
  l0 + b, l1 + b, l2 + b, l3 + b, l4 + b, l5 + b, l6 + b, l7 + b, l8 + b, l9 + b, l10 + b, l11 + b, l12 + b, \
      l13 + b, l14 + b, l15 + b

INLINE void transpose16(f32x16 v[16]) {
  SWAP_BLOCKS(v, 8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
  SWAP_BLOCKS(v, 4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
  SWAP_BLOCKS(v, 2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
  SWAP_BLOCKS(v, 1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
}

// The 8 x 8 blocks that lie in the lower and in the upper halves of 8 vectors, each by itself.
INLINE void transpose8(f32x16 v[8]) {
  SWAP_BLOCKS_OF(8, v, 4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
  SWAP_BLOCKS_OF(8, v, 2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
  SWAP_BLOCKS_OF(8, v, 1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
}
