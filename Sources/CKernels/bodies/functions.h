// exp, tanh, logistic function and erf of 16 floats at once.

// e^x within about 1 ulp; 0 below -86.6 (where e^x < 2.5e-38), infinity above 88.7228, NaN for NaN.
// Cody-Waite reduction x = n ln 2 + r and the polynomial of Cephes' expf (Moshier 1992) for |r| <= ln 2 / 2.
INLINE f32x16 exp16(f32x16 x) {
  const float rounder = 0x1.8p23f;  // adding it leaves the nearest integer in the low mantissa bits
  const f32x16 shifted = fused(x, 1.44269504088896341f, rounder);
  const f32x16 n = shifted - rounder;
  f32x16 r = fused(n, -0.693359375f, x);
  r = fused(n, 2.12194440e-4f, r);
  f32x16 p = 1.9875691500e-4f;
  p = fused(p, r, 1.3981999507e-3f);
  p = fused(p, r, 8.3334519073e-3f);
  p = fused(p, r, 4.1665795894e-2f);
  p = fused(p, r, 1.6666665459e-1f);
  p = fused(p, r, 5.0000001201e-1f);
  p = fused(p, r * r, r);
  p = p + 1.0f;
  // 2^(n-1), then doubled: n = 128 has no power of its own.
  const u32x16 half_power = ((u32x16)shifted - 0x4b400000u + 126u) << 23;
  f32x16 y = (p * (f32x16)half_power) * 2.0f;
  y = x > 88.7228390f ? (f32x16)INFINITY : y;
  return x < -86.6f ? (f32x16)0.0f : y;
}

// 1 / (1 + e^-x).
INLINE f32x16 logistic16(f32x16 x) { return 1.0f / (1.0f + exp16(-x)); }

// tanh x within about 2 ulp: near zero the polynomial of Cephes' tanhf, elsewhere (1 - e) / (1 + e) with
// e = exp(-2 |x|).
INLINE f32x16 tanh16(f32x16 x) {
  const f32x16 z = x * x;
  f32x16 p = -5.70498872745e-3f;
  p = fused(p, z, 2.06390887954e-2f);
  p = fused(p, z, -5.37397155531e-2f);
  p = fused(p, z, 1.33314422036e-1f);
  p = fused(p, z, -3.33332819422e-1f);
  const f32x16 near_zero = fused(x, z * p, x);
  const f32x16 e = exp16(absolute(x) * -2.0f);
  const f32x16 far = select_sign((1.0f - e) / (1.0f + e), x);
  return absolute(x) < 0.625f ? near_zero : far;
}

// erf x within 1e-7: x + x P(x^2) below 0.925, 1 - exp(t Q(t)) with t = min(|x|, 4) above; P and Q
// interpolate at Chebyshev nodes (largest error of the polynomials themselves 2e-8).
INLINE f32x16 erf16(f32x16 x) {
  const f32x16 z = x * x;
  f32x16 p = -0.00059899474f;
  p = fused(p, z, 0.00499330043f);
  p = fused(p, z, -0.02676694627f);
  p = fused(p, z, 0.11281833847f);
  p = fused(p, z, -0.37612496439f);
  p = fused(p, z, 0.12837915019f);
  const f32x16 near_zero = fused(x, p, x);
  const f32x16 t = absolute(x) > 4.0f ? (f32x16)4.0f : absolute(x);  // erfc(4) = 1.5e-8
  f32x16 q = -1.65269739e-05f;
  q = fused(q, t, 0.00037251283f);
  q = fused(q, t, -0.00382593308f);
  q = fused(q, t, 0.02409881035f);
  q = fused(q, t, -0.10655501765f);
  q = fused(q, t, -0.63500964345f);
  q = fused(q, t, -1.12866977995f);
  const f32x16 far = select_sign(1.0f - exp16(q * t), x);
  return absolute(x) < 0.925f || x != x ? near_zero : far;
}
