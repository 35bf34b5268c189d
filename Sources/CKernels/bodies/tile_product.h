// Products of attention tiles: c [m, n] = alpha a b (+ c), with b packed to lie ready in cache.
//
// An operand is fp32, or bfloat16 in pairs: two neighbours along the summed dimension k in one 32-bit word, the first in
// its lower half, added up in fp32. A "step" is one word: k steps are k entries in fp32, 2 k entries in bfloat16.
// b [steps, n]: rows ldb apart, a multiple of 16 that is at least n, columns behind n readable and zero.
// a: word of row r and step p at a[r * a_row + p * a_step], so that it may lie transposed.
// Every entry of c is one sum over the steps in ascending order, whatever the blocking.

// Sums of one block held in registers.
#if KERNEL_HAS_MASKS
enum { BLOCK_ROWS = 6, BLOCK_VECTORS = 4 };
#else
enum { BLOCK_ROWS = 4, BLOCK_VECTORS = 1 };
#endif

INLINE f32x16 add_products(const operand_kind kind, f32x16 sum, u32x16 a, u32x16 b) {
  if (kind == OPERAND_FP32) return fused((f32x16)a, (f32x16)b, sum);
#if KERNEL_HAS_BF16
  return (f32x16)_mm512_dpbf16_ps((__m512)sum, (__m512bh)a, (__m512bh)b);
#else
  sum = fused((f32x16)(a << 16), (f32x16)(b << 16), sum);
  return fused((f32x16)(a & 0xffff0000u), (f32x16)(b & 0xffff0000u), sum);
#endif
}

// `kind`, `rows` and `vectors` are constants where this is inlined.
INLINE void product_block(const operand_kind kind, const int rows, const int vectors, const uint32_t *a, long a_row,
                          long a_step, const uint32_t *b, long ldb, float *c, long ldc, long steps, float alpha,
                          int accumulate, long lanes) {
  f32x16 sums[BLOCK_ROWS][BLOCK_VECTORS];
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) sums[r][v] = 0.0f;
  for (long p = 0; p < steps; p++) {
    u32x16 right[BLOCK_VECTORS];
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) memcpy(&right[v], b + p * ldb + 16 * v, sizeof right[v]);
#pragma clang loop unroll(full)
    for (int r = 0; r < rows; r++) {
      const u32x16 left = a[r * a_row + p * a_step];
#pragma clang loop unroll(full)
      for (int v = 0; v < vectors; v++) sums[r][v] = add_products(kind, sums[r][v], left, right[v]);
    }
  }
#pragma clang loop unroll(full)
  for (int r = 0; r < rows; r++)
#pragma clang loop unroll(full)
    for (int v = 0; v < vectors; v++) {
      const long n = v == vectors - 1 ? lanes : 16;
      float *target = c + r * ldc + 16 * v;
      f32x16 sum = sums[r][v] * alpha;
      if (accumulate) sum += load(target, n);
      store(target, sum, n);
    }
}

// All rows of one block of columns.
INLINE void product_columns(const operand_kind kind, const int vectors, const uint32_t *a, long a_row, long a_step,
                            const uint32_t *b, long ldb, float *c, long ldc, long m, long steps, float alpha,
                            int accumulate, long lanes) {
  long r = 0;
  for (; r + BLOCK_ROWS <= m; r += BLOCK_ROWS)
    product_block(kind, BLOCK_ROWS, vectors, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, steps, alpha,
                  accumulate, lanes);
  for (; r < m; r++)
    product_block(kind, 1, vectors, a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, steps, alpha, accumulate,
                  lanes);
}

INLINE void product_of_kind(const operand_kind kind, const uint32_t *a, long a_row, long a_step, const uint32_t *b,
                            long ldb, float *c, long ldc, long m, long n, long steps, float alpha, int accumulate) {
  for (long first = 0; first < n; first += 16 * BLOCK_VECTORS) {
    const long width = n - first < 16 * BLOCK_VECTORS ? n - first : 16 * BLOCK_VECTORS;
    const long vectors = (width + 15) / 16, lanes = width - 16 * (vectors - 1);
#define COLUMNS(V) \
  case V: \
    product_columns(kind, V, a, a_row, a_step, b + first, ldb, c + first, ldc, m, steps, alpha, accumulate, lanes); \
    break;
    switch (vectors) {
      COLUMNS(1)
#if KERNEL_HAS_MASKS
      COLUMNS(2) COLUMNS(3) COLUMNS(4)
#endif
    }
#undef COLUMNS
  }
}

KERNEL(void, tile_product)(operand_kind kind, const void *a, long a_row, long a_step, const void *b, long ldb, float *c,
                           long ldc, long m, long n, long steps, float alpha, int accumulate) {
  if (kind == OPERAND_FP32)
    product_of_kind(OPERAND_FP32, a, a_row, a_step, b, ldb, c, ldc, m, n, steps, alpha, accumulate);
  else
    product_of_kind(OPERAND_BF16, a, a_row, a_step, b, ldb, c, ldc, m, n, steps, alpha, accumulate);
}

// bfloat16 of 16 floats, to nearest even. Where the CPU has the instruction, subnormal numbers become zero.
INLINE u16x16 attention_bf16(f32x16 x) {
#if KERNEL_HAS_BF16
  return (u16x16)_mm512_cvtneps_pbh((__m512)x);
#else
  return round_to_bf16(x);
#endif
}

INLINE u32x16 widen_bits(u16x16 x) { return __builtin_convertvector(x, u32x16); }

// 32 neighbours of a row as 16 pairs; n of them exist.
INLINE u32x16 row_pairs(const float *x, long n) {
  u16x16 halves[2];
  halves[0] = attention_bf16(load(x, n < 16 ? n : 16));
  halves[1] = n > 16 ? attention_bf16(load(x + 16, n - 16)) : (u16x16)(uint16_t)0;
  u32x16 pairs;
  memcpy(&pairs, halves, sizeof pairs);
  return pairs;
}

INLINE void store_words(uint32_t *p, u32x16 v, long n) {
  if (n == 16)
    memcpy(p, &v, sizeof v);
  else
    memcpy(p, &v, (size_t)n * sizeof(uint32_t));
}

// x [rows, width] as a left operand summed over its columns: bfloat16 pairs y [rows, ceil(width / 2)], rows ldy words apart.
KERNEL(void, pack_left)(const float *x, long ldx, uint32_t *y, long ldy, long rows, long width) {
  for (long r = 0; r < rows; r++) {
    const float *row = x + r * ldx;
    uint32_t *target = y + r * ldy;
    for (long c = 0; c < width; c += 32) {
      const long n = width - c < 32 ? width - c : 32;
      store_words(target + c / 2, row_pairs(row + c, n), (n + 1) / 2);
    }
  }
}

// x [rows, width] summed over its rows: y [steps, ldy], columns behind `width` zero up to a multiple of 16.
KERNEL(void, pack_rows)(operand_kind kind, const float *x, long ldx, void *y, long ldy, long rows, long width) {
  if (kind == OPERAND_FP32) {
    for (long r = 0; r < rows; r++) {
      const float *row = x + r * ldx;
      float *target = (float *)y + r * ldy;
      FOR_VECTORS(width, store(target + i, load(row + i, n), 16));
    }
    return;
  }
  for (long r = 0; r < rows; r += 2) {
    const float *row = x + r * ldx;
    const int has_second = r + 1 < rows;
    uint32_t *target = (uint32_t *)y + r / 2 * ldy;
    FOR_VECTORS(width, u32x16 pairs = widen_bits(attention_bf16(load(row + i, n)));
                if (has_second) pairs |= widen_bits(attention_bf16(load(row + ldx + i, n))) << 16;
                memcpy(target + i, &pairs, sizeof pairs));
  }
}

// Columns of a 16 x 16 block become rows.
INLINE void transpose_block(u32x16 rows[16]) {
#define EXCHANGE(S, ...) \
  _Pragma("clang loop unroll(full)") for (int r = 0; r < 16; r++) if (!(r & S)) { \
    const u32x16 upper = rows[r], lower = rows[r + S]; \
    rows[r] = __builtin_shufflevector(upper, lower, __VA_ARGS__); \
    rows[r + S] = __builtin_shufflevector(upper, lower, OTHER_##S); \
  }
#define OTHER_1 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31
#define OTHER_2 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#define OTHER_4 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31
#define OTHER_8 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31
  EXCHANGE(1, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30)
  EXCHANGE(2, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29)
  EXCHANGE(4, 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27)
  EXCHANGE(8, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23)
#undef EXCHANGE
#undef OTHER_1
#undef OTHER_2
#undef OTHER_4
#undef OTHER_8
}

// x [rows, width] summed over its columns: y [steps, ldy], one column for each row of x, zero behind them up to a multiple
// of 16.
KERNEL(void, pack_columns)(operand_kind kind, const float *x, long ldx, void *y, long ldy, long rows, long width) {
  const long entries = kind == OPERAND_FP32 ? 16 : 32;
  for (long r = 0; r < rows; r += 16)
    for (long c = 0; c < width; c += entries) {
      const long n = width - c < entries ? width - c : entries;
      u32x16 block[16];
      for (int i = 0; i < 16; i++) {
        const float *row = x + (r + i) * ldx + c;
        if (r + i >= rows)
          block[i] = 0u;
        else
          block[i] = kind == OPERAND_FP32 ? (u32x16)load(row, n) : row_pairs(row, n);
      }
      transpose_block(block);
      const long steps = kind == OPERAND_FP32 ? n : (n + 1) / 2;
      uint32_t *target = (uint32_t *)y + (kind == OPERAND_FP32 ? c : c / 2) * ldy + r;
      for (long i = 0; i < steps; i++) memcpy(target + i * ldy, &block[i], sizeof block[i]);
    }
}
