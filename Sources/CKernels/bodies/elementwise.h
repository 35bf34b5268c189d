// Sums, products and scans over [count] or [rows, width], unaligned.

KERNEL(void, add)(const float *a, const float *b, float *y, long count) {
  FOR_VECTORS(count, store(y + i, load(a + i, n) + load(b + i, n), n));
}

KERNEL(void, multiply)(const float *a, const float *b, float *y, long count) {
  FOR_VECTORS(count, store(y + i, load(a + i, n) * load(b + i, n), n));
}

KERNEL(void, accumulate)(float *y, const float *x, float scale, long count) {
  FOR_VECTORS(count, store(y + i, fused(scale, load(x + i, n), load(y + i, n)), n));
}

KERNEL(void, scale)(float *x, float scale, long count) {
  FOR_VECTORS(count, store(x + i, load(x + i, n) * scale, n));
}

KERNEL(void, fill)(float *x, float value, long count) { FOR_VECTORS(count, store(x + i, (f32x16)value, n)); }

KERNEL(void, add_bias)(float *y, const float *bias, long rows, long width) {
  for (long r = 0; r < rows; r++) {
    float *row = y + r * width;
    FOR_VECTORS(width, store(row + i, load(row + i, n) + load(bias + i, n), n));
  }
}

KERNEL(void, column_sums)(const float *x, float *sums, long rows, long width) {
  for (long r = 0; r < rows; r++) {
    const float *row = x + r * width;
    FOR_VECTORS(width, store(sums + i, load(sums + i, n) + load(row + i, n), n));
  }
}

KERNEL(double, sum_squares)(const float *x, long count) {
  f64x8 low = 0.0, high = 0.0;
  FOR_VECTORS(count, const f32x16 v = load(x + i, n); const f64x8 a = __builtin_convertvector(v.lo, f64x8);
              const f64x8 b = __builtin_convertvector(v.hi, f64x8); low += a * a; high += b * b);
  return sum_lanes_double(low + high);
}

// The bits of |x| order like integers, with every NaN above infinity.
INLINE int32_t max_magnitude_bits(const float *x, long count) {
  i32x16 most = 0;
  FOR_VECTORS(count, const i32x16 bits = (i32x16)absolute(load(x + i, n)); most = bits > most ? bits : most);
  return max_lanes_int(most);
}

KERNEL(float, max_abs)(const float *x, long count) {
  const int32_t bits = max_magnitude_bits(x, count);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

KERNEL(int, all_finite)(const float *x, long count) { return max_magnitude_bits(x, count) < 0x7f800000; }
