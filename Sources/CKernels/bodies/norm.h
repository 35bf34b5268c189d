// T5 layer norm (Zhang & Sennrich 2019, "Root mean square layer normalization") and layer norm (Ba, Kiros & Hinton 2016),
// forward and backward. x, y, dy, dx: [rows, width]; weight, bias, dweight, dbias: [width]; inverse_rms, mean,
// inverse_deviation: [rows]; unaligned, no overlap.

#if KERNEL_REFERENCES
void reference_rms_norm(const float *x, const float *weight, double *y, long rows, long width,
                        double epsilon) {
  for (long r = 0; r < rows; r++) {
    double squares = 0;
    for (long c = 0; c < width; c++) squares += (double)x[r * width + c] * x[r * width + c];
    const double inverse = 1 / sqrt(squares / (double)width + epsilon);
    for (long c = 0; c < width; c++) y[r * width + c] = x[r * width + c] * inverse * weight[c];
  }
}

void reference_layer_norm(const float *x, const float *weight, const float *bias, double *y, long rows, long width,
                          double epsilon) {
  for (long r = 0; r < rows; r++) {
    double sum = 0, squares = 0;
    for (long c = 0; c < width; c++) sum += x[r * width + c];
    const double mean = sum / (double)width;
    for (long c = 0; c < width; c++) squares += (x[r * width + c] - mean) * (x[r * width + c] - mean);
    const double inverse = 1 / sqrt(squares / (double)width + epsilon);
    for (long c = 0; c < width; c++) y[r * width + c] = (x[r * width + c] - mean) * inverse * weight[c] + bias[c];
  }
}
#endif

KERNEL(void, rms_norm)(const float *x, const float *weight, float *y, float *inverse_rms, long rows,
                       long width, float epsilon) {
  for (long r = 0; r < rows; r++) {
    const float *xr = x + r * width;
    float *yr = y + r * width;
    f32x16 squares = 0.0f;
    FOR_VECTORS(width, const f32x16 v = load(xr + i, n); squares = fused(v, v, squares));
    const float inverse = 1.0f / sqrtf(sum_lanes(squares) / (float)width + epsilon);
    inverse_rms[r] = inverse;
    FOR_VECTORS(width, store(yr + i, load(xr + i, n) * inverse * load(weight + i, n), n));
  }
}

// dx = k w dy - x k^3 / width * sum(w dy x), k the inverse rms; dweight += dy x k.
KERNEL(void, rms_norm_backward)(const float *dy, const float *x, const float *weight,
                                const float *inverse_rms,
                                float *dx, int accumulate, float *dweight, long rows, long width) {
  for (long r = 0; r < rows; r++) {
    const float *dyr = dy + r * width, *xr = x + r * width;
    const float inverse = inverse_rms[r];
    if (dweight) {
      FOR_VECTORS(width, const f32x16 product = load(dyr + i, n) * (load(xr + i, n) * inverse);
                  store(dweight + i, load(dweight + i, n) + product, n));
    }
    if (!dx) continue;
    float *dxr = dx + r * width;
    f32x16 products = 0.0f;
    FOR_VECTORS(width, products = fused(load(weight + i, n) * load(dyr + i, n), load(xr + i, n), products));
    const float along = sum_lanes(products) / (float)width * inverse * inverse * inverse;
    FOR_VECTORS(width, f32x16 d = fused(load(weight + i, n) * load(dyr + i, n), inverse, -(load(xr + i, n) * along));
                if (accumulate) d += load(dxr + i, n); store(dxr + i, d, n));
  }
}

KERNEL(void, layer_norm)(const float *x, const float *weight, const float *bias, float *y, float *mean,
                         float *inverse_deviation, long rows, long width, float epsilon) {
  for (long r = 0; r < rows; r++) {
    const float *xr = x + r * width;
    float *yr = y + r * width;
    f32x16 sums = 0.0f, squares = 0.0f;
    FOR_VECTORS(width, sums += load(xr + i, n));
    const float m = sum_lanes(sums) / (float)width;
    FOR_VECTORS(width, const f32x16 d = first_lanes(load(xr + i, n) - m, n, 0.0f); squares = fused(d, d, squares));
    const float inverse = 1.0f / sqrtf(sum_lanes(squares) / (float)width + epsilon);
    mean[r] = m;
    inverse_deviation[r] = inverse;
    FOR_VECTORS(width,
                store(yr + i, fused((load(xr + i, n) - m) * inverse, load(weight + i, n), load(bias + i, n)), n));
  }
}

// With z = (x - mean) k, k the inverse deviation, and g = w dy:
// dx = k (g - mean(g) - z mean(g z)); dweight += dy z; dbias += dy.
KERNEL(void, layer_norm_backward)(const float *dy, const float *x, const float *weight, const float *mean,
                                  const float *inverse_deviation, float *dx, int accumulate, float *dweight,
                                  float *dbias, long rows, long width) {
  for (long r = 0; r < rows; r++) {
    const float *dyr = dy + r * width, *xr = x + r * width;
    const float m = mean[r], inverse = inverse_deviation[r];
    if (dweight) {
      FOR_VECTORS(width, const f32x16 product = load(dyr + i, n) * ((load(xr + i, n) - m) * inverse);
                  store(dweight + i, load(dweight + i, n) + product, n));
    }
    if (dbias) FOR_VECTORS(width, store(dbias + i, load(dbias + i, n) + load(dyr + i, n), n));
    if (!dx) continue;
    float *dxr = dx + r * width;
    f32x16 sums = 0.0f, products = 0.0f;
    FOR_VECTORS(width, const f32x16 g = load(weight + i, n) * load(dyr + i, n); sums += g;
                products = fused(g, (load(xr + i, n) - m) * inverse, products));
    const float offset = sum_lanes(sums) / (float)width, along = sum_lanes(products) / (float)width;
    FOR_VECTORS(width, const f32x16 z = (load(xr + i, n) - m) * inverse;
                f32x16 d = fused(-z, along, fused(load(weight + i, n), load(dyr + i, n), -offset)) * inverse;
                if (accumulate) d += load(dxr + i, n); store(dxr + i, d, n));
  }
}
