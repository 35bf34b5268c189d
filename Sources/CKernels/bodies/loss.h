// Softmax cross-entropy over logits [rows, columns] with its gradient in place; log-softmax; the largest entries of a row.

#if KERNEL_REFERENCES
double reference_cross_entropy(const float *logits, const int32_t *labels, double *gradient, long rows,
                               long columns) {
  double loss = 0;
  for (long r = 0; r < rows; r++) {
    const float *row = logits + r * columns;
    double most = -INFINITY, sum = 0;
    for (long c = 0; c < columns; c++) most = row[c] > most ? row[c] : most;
    for (long c = 0; c < columns; c++) sum += exp(row[c] - most);
    const int ignored = labels[r] == -100;
    if (!ignored) loss += most + log(sum) - row[labels[r]];
    for (long c = 0; c < columns; c++) {
      gradient[r * columns + c] = ignored ? 0 : exp(row[c] - most) / sum - (c == labels[r]);
    }
  }
  return loss;
}
#endif

// Largest entry, NaN passed over; four vectors at a time, as one chain of maxima would wait for itself.
INLINE float row_maximum(const float *x, long count) {
  f32x16 a = -INFINITY, b = a, c = a, d = a;
  long start = 0;
  for (; start + 64 <= count; start += 64) {
    a = maximum(load(x + start, 16), a);
    b = maximum(load(x + start + 16, 16), b);
    c = maximum(load(x + start + 32, 16), c);
    d = maximum(load(x + start + 48, 16), d);
  }
  const float *rest = x + start;
  FOR_VECTORS(count - start, a = maximum(first_lanes(load(rest + i, n), n, -INFINITY), a));
  return max_lanes(maximum(maximum(a, b), maximum(c, d)));
}

// sum over c of e^(x[c] - most) in double; writes the terms over x if `keep`.
INLINE double sum_of_exponentials(float *x, long count, float most, int keep) {
  f64x8 low = 0.0, high = 0.0;
  FOR_VECTORS(count, f32x16 e = exp16(load(x + i, n) - most); if (keep) store(x + i, e, n);
              e = first_lanes(e, n, 0.0f); low += __builtin_convertvector(e.lo, f64x8);
              high += __builtin_convertvector(e.hi, f64x8));
  return sum_lanes_double(low + high);
}

KERNEL(double, cross_entropy)(float *logits, const int32_t *labels, long rows, long columns,
                              float gradient_scale) {
  double loss = 0;
  const int wants_gradient = gradient_scale != 0.0f;
  for (long r = 0; r < rows; r++) {
    float *row = logits + r * columns;
    const int32_t label = labels[r];
    if (label == -100) {
      if (wants_gradient) FOR_VECTORS(columns, store(row + i, (f32x16)0.0f, n));
      continue;
    }
    if (label < 0 || label >= columns) return NAN;
    const float most = row_maximum(row, columns);
    const double target = row[label];
    const double sum = wants_gradient ? sum_of_exponentials(row, columns, most, 1)
                                      : sum_of_exponentials(row, columns, most, 0);
    loss += (double)most + portable_log(sum) - target;
    if (!wants_gradient) continue;
    const float factor = (float)((double)gradient_scale / sum);
    FOR_VECTORS(columns, store(row + i, load(row + i, n) * factor, n));
    row[label] -= gradient_scale;
  }
  return loss;
}

KERNEL(long, argmax)(const float *x, long count) {
  const i32x16 lanes = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  f32x16 best = -INFINITY;
  i32x16 where = 0x7fffffff, here = lanes;
  FOR_VECTORS(count, const f32x16 v = first_lanes(load(x + i, n), n, -INFINITY);
              const i32x16 better = v > best;
              best = better ? v : best; where = better ? here : where; here += 16);
  const float most = max_lanes(best);
  int32_t first = 0x7fffffff;
  for (int lane = 0; lane < 16; lane++) {
    if (best[lane] == most && where[lane] < first) first = where[lane];
  }
  return first == 0x7fffffff ? 0 : first;
}

#if KERNEL_REFERENCES
void reference_log_softmax(const float *x, double *y, long rows, long columns) {
  for (long r = 0; r < rows; r++) {
    const float *row = x + r * columns;
    double most = -INFINITY, sum = 0;
    for (long c = 0; c < columns; c++) most = row[c] > most ? row[c] : most;
    for (long c = 0; c < columns; c++) sum += exp(row[c] - most);
    for (long c = 0; c < columns; c++) y[r * columns + c] = row[c] - most - log(sum);
  }
}
#endif

KERNEL(void, log_softmax)(float *x, long rows, long columns) {
  for (long r = 0; r < rows; r++) {
    float *row = x + r * columns;
    const float most = row_maximum(row, columns);
    const float log_sum = (float)portable_log(sum_of_exponentials(row, columns, most, 0));
    FOR_VECTORS(columns, store(row + i, (load(row + i, n) - most) - log_sum, n));
  }
}

KERNEL(long, top)(const float *x, long count, long wanted, int32_t *best) {
  long found = 0;
  float least = -INFINITY;  // the last of the best so far, once there are enough
  for (long block = 0; block < count; block += 64) {
    const long length = count - block < 64 ? count - block : 64;
    const float *here = x + block;
    if (found == wanted) {
      f32x16 most = -INFINITY;
      FOR_VECTORS(length, most = maximum(first_lanes(load(here + i, n), n, -INFINITY), most));
      if (!__builtin_reduce_or((i32x16)(most > least))) continue;
    }
    for (long i = 0; i < length; i++) {
      const float value = here[i];
      if (value != value || (found == wanted && !(value > least))) continue;
      long place = found < wanted ? found++ : wanted - 1;
      for (; place > 0 && x[best[place - 1]] < value; place--) best[place] = best[place - 1];
      best[place] = (int32_t)(block + i);
      least = x[best[found - 1]];
    }
  }
  return found;
}
