// Sums that do not depend on their order: floats as 64-bit fixed point, x * 2^shift rounded half to even.
// Each step below is exact but for that one rounding, so all kernel sets give the same integers.

#if KERNEL_REFERENCES
float reference_fixed_point_add(int64_t *sum, const float *x, long count, int shift) {
  float most = 0;
  for (long i = 0; i < count; i++) {
    if (isnan(x[i]) || fabsf(x[i]) > most) most = fabsf(x[i]);
    if (isnan(most)) return most;
    const double scaled = ldexp((double)x[i], shift);
    if (fabs(scaled) < 0x1p62) sum[i] += (int64_t)nearbyint(scaled);
  }
  return most;
}
#endif

// Round-half-even of d, |d| < 2^62, where d has the 24 significant bits of a float. d splits exactly into
// high * 2^32 + low with |high| <= 2^30 and |low| <= 2^31 (d itself if |d| < 2^31, an integer otherwise);
// adding 1.5 * 2^52 then rounds each part to the integer in its low bits.
INLINE i64x8 round_to_integer(f64x8 d) {
  const double rounder = 0x1.8p52;
  const f64x8 shifted_high = d * 0x1p-32 + rounder;
  const f64x8 low = d - (shifted_high - rounder) * 0x1p32;
  const f64x8 shifted_low = low + rounder;
  const i64x8 high_bits = (i64x8)shifted_high - (int64_t)0x4338000000000000;
  const i64x8 low_bits = (i64x8)shifted_low - (int64_t)0x4338000000000000;
  return (i64x8)((u64x8)high_bits << 32) + low_bits;
}

// Adds eight entries, the first n of them real; entries of 2^62 and more, and NaN, count as zero.
INLINE void add_eight(int64_t *sum, f32x8 x, double scale, long n) {
  f64x8 scaled = __builtin_convertvector(x, f64x8) * scale;
  scaled = (scaled < 0x1p62 && scaled > -0x1p62) ? scaled : (f64x8)0.0;
  i64x8 total = 0;
  if (n == 8) {
    memcpy(&total, sum, sizeof total);
    total += round_to_integer(scaled);
    memcpy(sum, &total, sizeof total);
  } else {
    memcpy(&total, sum, (size_t)n * sizeof(int64_t));
    total += round_to_integer(scaled);
    memcpy(sum, &total, (size_t)n * sizeof(int64_t));
  }
}

KERNEL(float, fixed_point_add)(int64_t *sum, const float *x, long count, int shift) {
  const double scale = ldexp(1, shift);
  i32x16 most = 0;
  FOR_VECTORS(count, const f32x16 v = load(x + i, n); const i32x16 bits = (i32x16)absolute(v);
              most = bits > most ? bits : most; add_eight(sum + i, v.lo, scale, n < 8 ? n : 8);
              if (n > 8) add_eight(sum + i + 8, v.hi, scale, n - 8));
  const int32_t bits = max_lanes_int(most);
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// The integer as a double with 53 bits rounded to odd, so that the later rounding to float is the only one
// that shows.
INLINE f64x8 odd_double(i64x8 value) {
  const i64x8 sign = value >> 63;
  u64x8 magnitude = (u64x8)((value ^ sign) - sign);
  const u64x8 kept = magnitude & ~(uint64_t)0x7ff;
  const u64x8 sticky = kept == magnitude ? (u64x8)(uint64_t)0 : (u64x8)(uint64_t)0x800;
  magnitude = magnitude < (u64x8)(uint64_t)1 << 53 ? magnitude : (kept | sticky);
  const f64x8 result = __builtin_convertvector(magnitude, f64x8);
  return sign != 0 ? -result : result;
}

KERNEL(void, fixed_point_read)(const int64_t *sum, float *y, long count, int shift) {
  const double scale = ldexp(1, -shift);
  for (long i = 0; i < count; i += 8) {
    const long n = count - i < 8 ? count - i : 8;
    i64x8 value = 0;
    memcpy(&value, sum + i, (size_t)n * sizeof(int64_t));
    const f32x8 result = __builtin_convertvector(odd_double(value) * scale, f32x8);
    memcpy(y + i, &result, (size_t)n * sizeof(float));
  }
}
