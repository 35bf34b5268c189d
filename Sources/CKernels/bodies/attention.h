// The softmax of attention over one tile of scores, its recomputation and its gradient.
// s, p, dp, dz: [rows, columns] with leading dimension ld; bias: by offset key - query; unaligned.

#if KERNEL_REFERENCES
void reference_softmax(const float *s, double *p, double *log_sum_exp, long rows, long columns, long ld,
                       long first_row, const float *bias, int causal, double scale) {
  for (long r = 0; r < rows; r++) {
    const long query = first_row + r;
    double most = -INFINITY, sum = 0;
    for (long j = 0; j < columns; j++) {
      double *z = p + r * columns + j;
      *z = scale * s[r * ld + j] + (bias ? bias[j - query] : 0);
      if (causal && j > query) *z = -INFINITY;
      if (*z > most) most = *z;
    }
    for (long j = 0; j < columns; j++) sum += exp(p[r * columns + j] - most);
    log_sum_exp[r] = most + log(sum);
    for (long j = 0; j < columns; j++) p[r * columns + j] = exp(p[r * columns + j] - log_sum_exp[r]);
  }
}
#endif

// Keys the query at `query` may look at.
INLINE long visible_keys(long query, long columns, int causal) {
  if (!causal || query + 1 >= columns) return columns;
  return query + 1 > 0 ? query + 1 : 0;
}

INLINE void clear(float *x, long count) { FOR_VECTORS(count, store(x + i, (f32x16)0.0f, n)); }

// z at 16 keys from key i on; `bias_row` points at the entry for key 0 of this row.
INLINE f32x16 biased_score(const float *s, const float *bias_row, long i, long n, float scale) {
  const f32x16 z = load(s + i, n) * scale;
  return bias_row ? z + load(bias_row + i, n) : z;
}

KERNEL(void, softmax)(float *s, long rows, long columns, long ld, long first_row, const float *bias,
                      int causal, float scale, float *log_sum_exp) {
  for (long r = 0; r < rows; r++) {
    float *row = s + r * ld;
    const float *bias_row = bias ? bias - (first_row + r) : 0;
    const long visible = visible_keys(first_row + r, columns, causal);
    f32x16 most_lanes = -INFINITY;
    FOR_VECTORS(visible, const f32x16 z = biased_score(row, bias_row, i, n, scale); store(row + i, z, n);
                most_lanes = maximum(first_lanes(z, n, -INFINITY), most_lanes));
    const float most = max_lanes(most_lanes);
    clear(row + visible, columns - visible);
    if (most == -INFINITY) {  // nothing to look at: no probability anywhere (NaN scores end here as NaN)
      FOR_VECTORS(visible, const f32x16 z = load(row + i, n); store(row + i, z == z ? (f32x16)0.0f : z, n));
      log_sum_exp[r] = -INFINITY;
      continue;
    }
    f32x16 sums = 0.0f;
    FOR_VECTORS(visible, const f32x16 e = exp16(load(row + i, n) - most); store(row + i, e, n);
                sums += first_lanes(e, n, 0.0f));
    const float sum = sum_lanes(sums), inverse = 1.0f / sum;
    FOR_VECTORS(visible, store(row + i, load(row + i, n) * inverse, n));
    log_sum_exp[r] = most + (float)portable_log(sum);
  }
}

KERNEL(void, softmax_again)(float *s, long rows, long columns, long ld, long first_row, const float *bias,
                            int causal, float scale, const float *log_sum_exp) {
  for (long r = 0; r < rows; r++) {
    float *row = s + r * ld;
    const float *bias_row = bias ? bias - (first_row + r) : 0;
    long visible = visible_keys(first_row + r, columns, causal);
    if (log_sum_exp[r] == -INFINITY) visible = 0;
    FOR_VECTORS(visible,
                store(row + i, exp16(biased_score(row, bias_row, i, n, scale) - log_sum_exp[r]), n));
    clear(row + visible, columns - visible);
  }
}

KERNEL(void, softmax_backward)(const float *p, float *dp, const float *delta, long rows, long columns,
                               long ld) {
  for (long r = 0; r < rows; r++) {
    const float *pr = p + r * ld;
    float *dpr = dp + r * ld;
    FOR_VECTORS(columns, store(dpr + i, load(pr + i, n) * (load(dpr + i, n) - delta[r]), n));
  }
}

KERNEL(void, row_dots)(const float *a, const float *b, float *delta, long rows, long width, long lda,
                       long ldb) {
  for (long r = 0; r < rows; r++) {
    const float *ar = a + r * lda, *br = b + r * ldb;
    f32x16 products = 0.0f;
    FOR_VECTORS(width, products = fused(load(ar + i, n), load(br + i, n), products));
    delta[r] = sum_lanes(products);
  }
}

KERNEL(void, bias_gradient)(const float *dz, long rows, long columns, long ld, long first_row, float *dbias) {
  for (long r = 0; r < rows; r++) {
    const float *row = dz + r * ld;
    float *entry = dbias - (first_row + r);
    FOR_VECTORS(columns, store(entry + i, load(entry + i, n) + load(row + i, n), n));
  }
}
