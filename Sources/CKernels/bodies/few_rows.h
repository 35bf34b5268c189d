// Products of a few to some hundred rows with a weight stored by output, as decoding makes them step after step.
// The weight is read once, 32 of its rows at a time as a panel [k, 32] that stays in cache while all rows of x pass over
// it. Panels are transposed on the way, or beforehand where the same weight comes back every step.
// x [m, k], w [n, k], y [m, n], rows ldx, ldw, ldy apart; unaligned, no overlap. Twin: reference_narrow_transposed.
//
// An entry of y is a sum over k in order, in blocks of FEW_DEPTH: it depends neither on m nor on its place in the tile.

enum { FEW_DEPTH = 256, FEW_COLUMNS = 32 };
#if KERNEL_HAS_MASKS
enum { FEW_TILE = 12 };  // x 2 vectors of sums: 24 of 32 registers
#else
enum { FEW_TILE = 2 };
#endif

// panel[q, c] = w[c, q] for 16 rows of w, of which `rows` exist, and 16 columns, of which `columns` exist.
INLINE void few_transpose(const float *w, long ldw, long rows, long columns, float *panel) {
  f32x16 v[16];
  for (int r = 0; r < 16; r++) v[r] = r < rows ? load(w + r * ldw, columns) : (f32x16)0.0f;
  transpose16(v);
  for (int q = 0; q < columns; q++) store(panel + q * FEW_COLUMNS, v[q], 16);
}

// One tile of y. `rows` and `fetches` are constants where this is inlined; with `fetches` the next block of panels is asked
// for meanwhile: sums alone would wait for memory.
INLINE void few_tile(const long rows, const int fetches, const float *x, long ldx, const float *panel, float *y, long ldy,
                     long columns, long depth, float alpha, float beta) {
  f32x16 sums[FEW_TILE][2];
  for (long r = 0; r < rows; r++) sums[r][0] = sums[r][1] = 0.0f;
  for (long q = 0; q < depth; q++) {
    if (fetches) {
      __builtin_prefetch(panel + (q + FEW_DEPTH) * FEW_COLUMNS);
      __builtin_prefetch(panel + (q + FEW_DEPTH) * FEW_COLUMNS + 16);
    }
    const f32x16 left = load(panel + q * FEW_COLUMNS, 16), right = load(panel + q * FEW_COLUMNS + 16, 16);
    for (long r = 0; r < rows; r++) {
      const f32x16 v = x[r * ldx + q];
      sums[r][0] = fused(v, left, sums[r][0]);
      sums[r][1] = fused(v, right, sums[r][1]);
    }
  }
  for (long r = 0; r < rows; r++)
    for (long half = 0; half < 2; half++) {
      const long n = columns - 16 * half < 16 ? columns - 16 * half : 16;
      if (n <= 0) continue;
      float *target = y + r * ldy + 16 * half;
      f32x16 sum = sums[r][half] * alpha;
      if (beta != 0) sum = fused(load(target, n), beta, sum);
      store(target, sum, n);
    }
}

// All rows of x against one block of a panel, in tiles of nearly equal height.
INLINE void few_block(const int fetches, const float *x, long ldx, const float *panel, float *y, long ldy, long m,
                      long columns, long depth, float alpha, float beta) {
  const long tiles = (m + FEW_TILE - 1) / FEW_TILE;
  for (long tile = 0; tile < tiles; tile++) {
    const long first = m * tile / tiles, rows = m * (tile + 1) / tiles - first;
    const float *xr = x + first * ldx;
    float *yr = y + first * ldy;
#define FEW_ROWS_CASE(count) \
  case count: \
    if (fetches && tile == 0) few_tile(count, 1, xr, ldx, panel, yr, ldy, columns, depth, alpha, beta); \
    else few_tile(count, 0, xr, ldx, panel, yr, ldy, columns, depth, alpha, beta); \
    break;
    switch (rows) {
      FEW_ROWS_CASE(1)
      FEW_ROWS_CASE(2)
#if KERNEL_HAS_MASKS
      FEW_ROWS_CASE(3)
      FEW_ROWS_CASE(4)
      FEW_ROWS_CASE(5)
      FEW_ROWS_CASE(6)
      FEW_ROWS_CASE(7)
      FEW_ROWS_CASE(8)
      FEW_ROWS_CASE(9)
      FEW_ROWS_CASE(10)
      FEW_ROWS_CASE(11)
      FEW_ROWS_CASE(12)
#endif
    }
#undef FEW_ROWS_CASE
  }
}

// panel[q, c] = w[c, q] for `columns` rows of w (at most FEW_COLUMNS, the rest zero) and `depth` of its columns.
INLINE void few_panel(const float *w, long ldw, long columns, long depth, float *panel) {
  for (long half = 0; half < 2; half++)
    for (long q = 0; q < depth; q += 16)
      few_transpose(w + 16 * half * ldw + q, ldw, columns - 16 * half, depth - q < 16 ? depth - q : 16,
                    panel + q * FEW_COLUMNS + 16 * half);
}

// y = alpha x w^T + beta y.
KERNEL(void, few_rows)(const float *x, long ldx, const float *w, long ldw, float *y, long ldy, long m, long n, long k,
                       float alpha, float beta) {
  float panel[FEW_DEPTH * FEW_COLUMNS] __attribute__((aligned(64)));
  for (long j = 0; j < n; j += FEW_COLUMNS) {
    const long columns = n - j < FEW_COLUMNS ? n - j : FEW_COLUMNS;
    for (long first = 0; first < k; first += FEW_DEPTH) {
      const long depth = k - first < FEW_DEPTH ? k - first : FEW_DEPTH;
      few_panel(w + j * ldw + first, ldw, columns, depth, panel);
      few_block(0, x + first, ldx, panel, y + j, ldy, m, columns, depth, alpha, first == 0 ? beta : 1);
    }
  }
}

KERNEL(void, pack_panels)(const float *w, long ldw, float *panels, long n, long k) {
  for (long j = 0; j < n; j += FEW_COLUMNS)
    few_panel(w + j * ldw, ldw, n - j < FEW_COLUMNS ? n - j : FEW_COLUMNS, k, panels + j * k);
}

// The same product, bit for bit, from panels made before.
KERNEL(void, panel_product)(const float *x, long ldx, const float *panels, float *y, long ldy, long m, long n, long k,
                            float alpha, float beta) {
  for (long j = 0; j < n; j += FEW_COLUMNS) {
    const long columns = n - j < FEW_COLUMNS ? n - j : FEW_COLUMNS;
    for (long first = 0; first < k; first += FEW_DEPTH) {
      const long depth = k - first < FEW_DEPTH ? k - first : FEW_DEPTH;
      few_block(1, x + first, ldx, panels + j * k + first * FEW_COLUMNS, y + j, ldy, m, columns, depth,
                alpha, first == 0 ? beta : 1);
    }
  }
}
