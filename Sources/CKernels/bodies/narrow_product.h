// Products of a few rows (at most 8) with a large matrix that is read once, from memory: decoder steps, output heads.
// A general product packs the matrix first, which costs more than the product itself when there are few rows.
// x [m, k], w [n, k], y [m, n], rows ldx, ldw, ldy apart; unaligned, no overlap. w is fp32, fp16 or bfloat16: the same sums
// of the same numbers.
enum { WEIGHTS_FP32, WEIGHTS_FP16, WEIGHTS_BF16 };

#if KERNEL_REFERENCES
void reference_narrow_transposed(const float *x, long ldx, const float *w, long ldw, double *y, long ldy, long m,
                                 long n, long k) {
  for (long r = 0; r < m; r++)
    for (long j = 0; j < n; j++) {
      double sum = 0;
      for (long c = 0; c < k; c++) sum += (double)x[r * ldx + c] * w[j * ldw + c];
      y[r * ldy + j] = sum;
    }
}
#endif

// n entries of w from entry `at` on. `kind` is a constant where this is inlined.
INLINE f32x16 load_weights(const int kind, const void *w, long at, long n) {
  if (kind == WEIGHTS_FP32) return load((const float *)w + at, n);
  const u16x16 bits = load_halves((const uint16_t *)w + at, n);
  return kind == WEIGHTS_FP16 ? widen_halves(bits) : widen_bf16(bits);
}

// `m` and `columns` are constants where this is inlined, so that the sums stay in registers. `first`: entry of w.
INLINE void narrow_columns(const int kind, const long m, const long columns, const float *x, long ldx, const void *w,
                           long first, long ldw, float *y, long ldy, long k, float alpha, float beta) {
  f32x16 sums[8][2];
  for (long r = 0; r < m; r++)
    for (long j = 0; j < columns; j++) sums[r][j] = 0.0f;
  FOR_VECTORS(
      k, f32x16 weights[2];
      for (long j = 0; j < columns; j++) weights[j] = load_weights(kind, w, first + j * ldw + i, n);
      for (long r = 0; r < m; r++) {
        const f32x16 v = load(x + r * ldx + i, n);
        for (long j = 0; j < columns; j++) sums[r][j] = fused(v, weights[j], sums[r][j]);
      });
  for (long r = 0; r < m; r++)
    for (long j = 0; j < columns; j++) {
      const float product = alpha * sum_lanes(sums[r][j]);
      y[r * ldy + j] = beta == 0 ? product : fmaf(beta, y[r * ldy + j], product);
    }
}

INLINE void narrow_transposed_rows(const int kind, const long m, const float *x, long ldx, const void *w, long ldw,
                                   float *y, long ldy, long n, long k, float alpha, float beta) {
  long j = 0;
  for (; j + 2 <= n; j += 2) narrow_columns(kind, m, 2, x, ldx, w, j * ldw, ldw, y + j, ldy, k, alpha, beta);
  if (j < n) narrow_columns(kind, m, 1, x, ldx, w, j * ldw, ldw, y + j, ldy, k, alpha, beta);
}

INLINE void narrow_transposed_any(const int kind, const float *x, long ldx, const void *w, long ldw, float *y, long ldy,
                                  long m, long n, long k, float alpha, float beta) {
#define ROWS(M) \
  case M: narrow_transposed_rows(kind, M, x, ldx, w, ldw, y, ldy, n, k, alpha, beta); break;
  switch (m) { ROWS(1) ROWS(2) ROWS(3) ROWS(4) ROWS(5) ROWS(6) ROWS(7) ROWS(8) }
#undef ROWS
}

// y = alpha x w^T + beta y.
KERNEL(void, narrow_transposed)(const float *x, long ldx, const float *w, long ldw, float *y, long ldy, long m,
                                long n, long k, float alpha, float beta) {
  narrow_transposed_any(WEIGHTS_FP32, x, ldx, w, ldw, y, ldy, m, n, k, alpha, beta);
}

KERNEL(void, narrow_transposed_fp16)(const float *x, long ldx, const uint16_t *w, long ldw, float *y, long ldy, long m,
                                     long n, long k) {
  narrow_transposed_any(WEIGHTS_FP16, x, ldx, w, ldw, y, ldy, m, n, k, 1, 0);
}

KERNEL(void, narrow_transposed_bf16)(const float *x, long ldx, const uint16_t *w, long ldw, float *y, long ldy, long m,
                                     long n, long k) {
  narrow_transposed_any(WEIGHTS_BF16, x, ldx, w, ldw, y, ldy, m, n, k, 1, 0);
}

enum { NARROW_COLUMNS = 512, NARROW_BLOCK = 512 };

// sums[r][c] += sum over j in [0, rows) of x[r, j] w[j, c], for `width` <= NARROW_COLUMNS columns.
// `first`: entry of w.
INLINE void narrow_block(const int kind, const float *x, long ldx, const void *w, long first, long ldw,
                         float sums[8][NARROW_COLUMNS], long m, long width, long rows) {
  long j = 0;
  for (; j + 4 <= rows; j += 4) {
    const long at = first + j * ldw;
    FOR_VECTORS(
        width, const f32x16 v0 = load_weights(kind, w, at + i, n);
        const f32x16 v1 = load_weights(kind, w, at + ldw + i, n);
        const f32x16 v2 = load_weights(kind, w, at + 2 * ldw + i, n);
        const f32x16 v3 = load_weights(kind, w, at + 3 * ldw + i, n); for (long r = 0; r < m; r++) {
          const float *xr = x + r * ldx + j;
          f32x16 sum = load(sums[r] + i, n);
          sum = fused(v0, xr[0], sum);
          sum = fused(v1, xr[1], sum);
          sum = fused(v2, xr[2], sum);
          sum = fused(v3, xr[3], sum);
          store(sums[r] + i, sum, n);
        });
  }
  for (; j < rows; j++) {
    FOR_VECTORS(
        width, const f32x16 v = load_weights(kind, w, first + j * ldw + i, n);
        for (long r = 0; r < m; r++) store(sums[r] + i, fused(v, x[r * ldx + j], load(sums[r] + i, n)), n););
  }
}

// x [m, rows], w [rows, k], y [m, k]: y = alpha x w + beta y. Blocks of rows are summed apart, so that the rounding error
// of a long sum stays that of a short one.
INLINE void narrow_plain_any(const int kind, const float *x, long ldx, const void *w, long ldw, float *y, long ldy,
                             long m, long k, long rows, float alpha, float beta) {
  float sums[8][NARROW_COLUMNS];
  if (m > 8) return;
  for (long first = 0; first < k; first += NARROW_COLUMNS) {
    const long width = k - first < NARROW_COLUMNS ? k - first : NARROW_COLUMNS;
    for (long r = 0; r < m; r++) {
      float *yr = y + r * ldy + first;
      FOR_VECTORS(width, store(yr + i, beta == 0 ? (f32x16)0.0f : load(yr + i, n) * beta, n));
    }
    for (long j = 0; j < rows; j += NARROW_BLOCK) {
      for (long r = 0; r < m; r++) FOR_VECTORS(width, store(sums[r] + i, (f32x16)0.0f, n));
      narrow_block(kind, x + j, ldx, w, j * ldw + first, ldw, sums, m, width,
                   rows - j < NARROW_BLOCK ? rows - j : NARROW_BLOCK);
      for (long r = 0; r < m; r++) {
        float *yr = y + r * ldy + first;
        FOR_VECTORS(width, store(yr + i, fused(load(sums[r] + i, n), alpha, load(yr + i, n)), n));
      }
    }
  }
}

KERNEL(void, narrow_plain)(const float *x, long ldx, const float *w, long ldw, float *y, long ldy, long m, long k,
                           long rows, float alpha, float beta) {
  narrow_plain_any(WEIGHTS_FP32, x, ldx, w, ldw, y, ldy, m, k, rows, alpha, beta);
}

KERNEL(void, narrow_plain_fp16)(const float *x, long ldx, const uint16_t *w, long ldw, float *y, long ldy, long m,
                                long k, long rows) {
  narrow_plain_any(WEIGHTS_FP16, x, ldx, w, ldw, y, ldy, m, k, rows, 1, 0);
}

KERNEL(void, narrow_plain_bf16)(const float *x, long ldx, const uint16_t *w, long ldw, float *y, long ldy, long m,
                                long k, long rows) {
  narrow_plain_any(WEIGHTS_BF16, x, ldx, w, ldw, y, ldy, m, k, rows, 1, 0);
}
