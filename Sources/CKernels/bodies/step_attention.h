// Attention of single positions over a cache: the step of a decoder. A group of queries (the hypotheses of one sequence)
// looks at `count` keys each; where each has its own past, `slots` says where in the cache that lies.
// q, context [rows, heads * width]; key j of head h at keys + slot(j) * width + h * head_stride, values alike; unaligned,
// no overlap.

#if KERNEL_REFERENCES
void reference_step_attention(const float *q, double *context, long rows, long heads, long width, const float *keys,
                              const float *values, long head_stride, const int32_t *slots, long count, const float *bias,
                              long bias_stride, double scale) {
  for (long r = 0; r < rows; r++)
    for (long h = 0; h < heads; h++) {
      const float *query = q + (r * heads + h) * width;
      double *target = context + (r * heads + h) * width;
      double most = -INFINITY, sum = 0;
      for (int pass = 0; pass < 2; pass++)
        for (long j = 0; j < count; j++) {
          const long at = (slots ? slots[r * count + j] : j) * width + h * head_stride;
          double z = 0;
          for (long c = 0; c < width; c++) z += (double)query[c] * keys[at + c];
          z = scale * z + (bias ? bias[h * bias_stride + j] : 0);
          if (pass == 0) {
            most = z > most ? z : most;
            continue;
          }
          const double weight = exp(z - most);
          for (long c = 0; c < width; c++) target[c] = (j == 0 ? 0 : target[c]) + weight * values[at + c];
          sum += weight;
        }
      for (long c = 0; c < width; c++) target[c] /= sum;
    }
}
#endif

enum { STEP_BLOCK = 512 };

INLINE const float *step_row(const float *cache, const int32_t *slots, long j, long width) {
  return cache + (slots ? slots[j] : j) * width;
}

// scores[j] = scale q.key[j] (+ bias[j]) for 16 keys: a vector of partial sums for each key, then all 16 folded into one.
INLINE void step_scores16(const float *q, const float *keys, const int32_t *slots, long first, long width,
                          const float *bias, float scale, float *scores) {
  f32x16 v[16];
#pragma clang loop unroll(full)
  for (long j = 0; j < 16; j++) {
    const float *key = step_row(keys, slots, first + j, width);
    f32x16 sum = 0.0f;
    FOR_VECTORS(width, sum = fused(load(q + i, n), load(key + i, n), sum));
    v[j] = sum;
  }
#pragma clang loop unroll(full)
  for (int j = 0; j < 8; j++)
    v[j] = __builtin_shufflevector(v[j], v[j + 8], 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23) +
           __builtin_shufflevector(v[j], v[j + 8], 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
#pragma clang loop unroll(full)
  for (int j = 0; j < 4; j++)
    v[j] = __builtin_shufflevector(v[j], v[j + 4], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27) +
           __builtin_shufflevector(v[j], v[j + 4], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
#pragma clang loop unroll(full)
  for (int j = 0; j < 2; j++)
    v[j] = __builtin_shufflevector(v[j], v[j + 2], 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29) +
           __builtin_shufflevector(v[j], v[j + 2], 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
  f32x16 z = __builtin_shufflevector(v[0], v[1], 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30) +
             __builtin_shufflevector(v[0], v[1], 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  z *= scale;
  if (bias) z += load(bias + first, 16);
  store(scores, z, 16);
}

INLINE void step_scores(const float *q, const float *keys, const int32_t *slots, long first, long count, long width,
                        const float *bias, float scale, float *scores) {
  long j = 0;
  for (; j + 16 <= count; j += 16) step_scores16(q, keys, slots, first + j, width, bias, scale, scores + j);
  for (; j < count; j++) {
    const float *key = step_row(keys, slots, first + j, width);
    f32x16 sum = 0.0f;
    FOR_VECTORS(width, sum = fused(load(q + i, n), load(key + i, n), sum));
    scores[j] = fmaf(scale, sum_lanes(sum), bias ? bias[first + j] : 0);
  }
}

// context += scores values, 64 columns at a time: eight sums side by side, of even and of odd keys.
INLINE void step_context(const float *scores, const float *values, const int32_t *slots, long first, long count,
                         long width, float *context) {
  long column = 0;
  for (; column + 64 <= width; column += 64) {
    f32x16 even[4], odd[4];
    for (long v = 0; v < 4; v++) {
      even[v] = load(context + column + 16 * v, 16);
      odd[v] = 0.0f;
    }
    long j = 0;
    for (; j + 2 <= count; j += 2) {
      const float *a = step_row(values, slots, first + j, width) + column;
      const float *b = step_row(values, slots, first + j + 1, width) + column;
      for (long v = 0; v < 4; v++) {
        even[v] = fused(load(a + 16 * v, 16), scores[j], even[v]);
        odd[v] = fused(load(b + 16 * v, 16), scores[j + 1], odd[v]);
      }
    }
    if (j < count) {
      const float *a = step_row(values, slots, first + j, width) + column;
      for (long v = 0; v < 4; v++) even[v] = fused(load(a + 16 * v, 16), scores[j], even[v]);
    }
    for (long v = 0; v < 4; v++) store(context + column + 16 * v, even[v] + odd[v], 16);
  }
  for (; column < width; column += 16) {
    const long n = width - column < 16 ? width - column : 16;
    f32x16 total = load(context + column, n);
    for (long j = 0; j < count; j++)
      total = fused(load(step_row(values, slots, first + j, width) + column, n), scores[j], total);
    store(context + column, total, n);
  }
}

// One query and head. Keys come in blocks; when the maximum rises, what was summed before is scaled down.
INLINE void step_head(const float *q, float *context, const float *keys, const float *values, const int32_t *slots,
                      long count, long width, const float *bias, float scale) {
  float scores[STEP_BLOCK];
  float most = -INFINITY, sum = 0;
  FOR_VECTORS(width, store(context + i, (f32x16)0.0f, n));
  for (long first = 0; first < count; first += STEP_BLOCK) {
    const long block = count - first < STEP_BLOCK ? count - first : STEP_BLOCK;
    step_scores(q, keys, slots, first, block, width, bias, scale, scores);
    f32x16 lanes = -INFINITY;
    FOR_VECTORS(block, lanes = maximum(first_lanes(load(scores + i, n), n, -INFINITY), lanes));
    const float block_most = max_lanes(lanes);
    if (block_most > most) {
      if (first > 0) {
        const float shrink = exp16((f32x16)(most - block_most))[0];
        sum *= shrink;
        FOR_VECTORS(width, store(context + i, load(context + i, n) * shrink, n));
      }
      most = block_most;
    }
    f32x16 sums = 0.0f;
    FOR_VECTORS(block, const f32x16 e = first_lanes(exp16(load(scores + i, n) - most), n, 0.0f);
                store(scores + i, e, n); sums += e);
    sum += sum_lanes(sums);
    step_context(scores, values, slots, first, block, width, context);
  }
  const float inverse = 1.0f / sum;
  FOR_VECTORS(width, store(context + i, load(context + i, n) * inverse, n));
}

KERNEL(void, step_attention)(const float *q, float *context, long rows, long heads, long width, const float *keys,
                             const float *values, long head_stride, const int32_t *slots, long count, const float *bias,
                             long bias_stride, float scale) {
  // Head by head: the queries of a group find its keys in cache.
  for (long h = 0; h < heads; h++)
    for (long r = 0; r < rows; r++) {
      const long at = (r * heads + h) * width;
      const float *k = keys + h * head_stride, *v = values + h * head_stride;
      const float *head_bias = bias ? bias + h * bias_stride : 0;
      const int32_t *own = slots ? slots + r * count : 0;
      if (width == 64) {
        step_head(q + at, context + at, k, v, own, count, 64, head_bias, scale);
      } else {
        step_head(q + at, context + at, k, v, own, count, width, head_bias, scale);
      }
    }
}
