// The arithmetic peak: independent fused operations in registers and nothing else, the ceiling of every product.

enum { PEAK_SUMS = KERNEL_HAS_MASKS ? 16 : 6 };  // enough to keep two units busy at a latency of four cycles

// `rounds` times 48 operations on vectors of 16; the count of floating-point operations, a product and a sum each.
KERNEL(double, arithmetic_peak)(operand_kind kind, long rounds) {
  f32x16 sums[PEAK_SUMS];
  f32x16 a = 0x1p-20f, b = 0x1p-20f;
  for (int i = 0; i < PEAK_SUMS; i++) sums[i] = (float)i;
  for (long round = 0; round < rounds; round++) {
    __asm__ volatile("" : "+m"(a), "+m"(b));  // the compiler may neither fold the operands nor the rounds
    const f32x16 left = a, right = b;
#pragma clang loop unroll(full)
    for (int turn = 0; turn < 48 / PEAK_SUMS; turn++)
#pragma clang loop unroll(full)
      for (int i = 0; i < PEAK_SUMS; i++) sums[i] = add_products(step_of(kind), left, right, sums[i]);
  }
  f32x16 total = 0.0f;
  for (int i = 0; i < PEAK_SUMS; i++) total += sums[i];
  volatile float kept = sum_lanes(total);
  (void)kept;
  return (double)rounds * 48 * 16 * (step_of(kind) == STEP_PAIR ? 4 : 2);
}
