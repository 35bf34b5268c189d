// Philox4x32-10 (Salmon, Moraes, Dror & Shaw 2011, "Parallel random numbers: as easy as 1, 2, 3") and dropout
// by it. Integers alone decide, so every kernel set draws the same masks.

KERNEL(void, philox)(const uint32_t counter[4], uint64_t key, uint32_t out[4]) {
  uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t a = (uint64_t)c0 * 0xD2511F53u, b = (uint64_t)c2 * 0xCD9E8D57u;
    c0 = (uint32_t)(b >> 32) ^ c1 ^ k0;
    c1 = (uint32_t)b;
    c2 = (uint32_t)(a >> 32) ^ c3 ^ k1;
    c3 = (uint32_t)a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  out[0] = c0, out[1] = c1, out[2] = c2, out[3] = c3;
}

#if KERNEL_REFERENCES
void reference_dropout(const float *x, float *y, const uint32_t *example, const uint32_t *position, long rows,
                       long width, long ld, uint64_t key, float rate) {
  for (long r = 0; r < rows; r++) {
    for (long c = 0; c < width; c++) {
      const uint32_t counter[4] = {(uint32_t)(c / 4), position[r], example[r], 0};
      uint32_t words[4];
      k_philox(counter, key, words);
      const int keep = (double)words[c % 4] >= (double)rate * 4294967296.0;
      y[r * ld + c] = keep ? x[r * ld + c] * (float)(1 / (1 - (double)rate)) : 0;
    }
  }
}
#endif

// The high and low halves of x * factor, 16 products.
INLINE void multiply_wide(u32x16 x, uint32_t factor, u32x16 *high, u32x16 *low) {
  const u64x8 mask = (u64x8)(uint64_t)0xffffffffu;
  const u64x8 even = ((u64x8)x & mask) * (uint64_t)factor;
  const u64x8 odd = ((u64x8)x >> 32) * (uint64_t)factor;
  *high = (u32x16)((even >> 32) | (odd & ~mask));
  *low = (u32x16)((even & mask) | (odd << 32));
}

// Sixteen Philox blocks: words[k] holds word k of the blocks whose first counter word is in c0.
INLINE void philox16(u32x16 c0, uint32_t second, uint32_t third, uint64_t key, u32x16 words[4]) {
  u32x16 c1 = second, c2 = third, c3 = 0u;
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  for (int round = 0; round < 10; round++) {
    u32x16 high_a, low_a, high_b, low_b;
    multiply_wide(c0, 0xD2511F53u, &high_a, &low_a);
    multiply_wide(c2, 0xCD9E8D57u, &high_b, &low_b);
    c0 = high_b ^ c1 ^ k0;
    c1 = low_b;
    c2 = high_a ^ c3 ^ k1;
    c3 = low_a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  words[0] = c0, words[1] = c1, words[2] = c2, words[3] = c3;
}

// Words of blocks 4 quarter .. 4 quarter + 3 in column order: block by block, words 0 .. 3.
#define COLUMN_ORDER(words, quarter) \
  __builtin_shufflevector( \
      __builtin_shufflevector(words[0], words[1], 4 * quarter, 16 + 4 * quarter, 4 * quarter + 1, \
                              17 + 4 * quarter, 4 * quarter + 2, 18 + 4 * quarter, 4 * quarter + 3, \
                              19 + 4 * quarter, -1, -1, -1, -1, -1, -1, -1, -1), \
      __builtin_shufflevector(words[2], words[3], 4 * quarter, 16 + 4 * quarter, 4 * quarter + 1, \
                              17 + 4 * quarter, 4 * quarter + 2, 18 + 4 * quarter, 4 * quarter + 3, \
                              19 + 4 * quarter, -1, -1, -1, -1, -1, -1, -1, -1), \
      0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23)

INLINE void drop(const float *x, float *y, long count, u32x16 words, uint32_t threshold, float inverse_keep) {
  if (count <= 0) return;
  const long n = count < 16 ? count : 16;
  const i32x16 keep = words >= (u32x16)threshold;
  if (n == 16) {
    store(y, keep ? load(x, 16) * inverse_keep : (f32x16)0.0f, 16);
  } else {
    store(y, keep ? load(x, n) * inverse_keep : (f32x16)0.0f, n);
  }
}

KERNEL(void, dropout)(const float *x, float *y, const uint32_t *example, const uint32_t *position, long rows,
                      long width, long ld, uint64_t key, float rate) {
  const u32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  // A word w is kept if w >= rate 2^32; the smallest such integer is the threshold.
  const double bound = ceil((double)rate * 4294967296.0);
  const int drops_all = bound >= 4294967296.0;
  const uint32_t threshold = drops_all ? 0 : (uint32_t)(bound > 0 ? bound : 0);
  const float inverse_keep = drops_all ? 0 : (float)(1 / (1 - (double)rate));
  for (long r = 0; r < rows; r++) {
    const float *xr = x + r * ld;
    float *yr = y + r * ld;
    for (long c = 0; c < width; c += 64) {
      if (drops_all) {
        for (long k = c; k < width && k < c + 64; k++) yr[k] = 0;
        continue;
      }
      u32x16 words[4];
      philox16(lanes + (uint32_t)(c / 4), position[r], example[r], key, words);
      drop(xr + c, yr + c, width - c, COLUMN_ORDER(words, 0), threshold, inverse_keep);
      drop(xr + c + 16, yr + c + 16, width - c - 16, COLUMN_ORDER(words, 1), threshold, inverse_keep);
      drop(xr + c + 32, yr + c + 32, width - c - 32, COLUMN_ORDER(words, 2), threshold, inverse_keep);
      drop(xr + c + 48, yr + c + 48, width - c - 48, COLUMN_ORDER(words, 3), threshold, inverse_keep);
    }
  }
}
