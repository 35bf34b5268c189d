// T5 layer norm (Zhang & Sennrich 2019, "Root mean square layer normalization"), forward and backward.
// x, y, dy, dx: [rows, width]; weight, dweight: [width]; inverse_rms: [rows]; unaligned, no overlap.

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
#endif

KERNEL(void, rms_norm)(const float *x, const float *weight, float *y, float *inverse_rms, long rows,
                       long width, float epsilon) {
  for (long r = 0; r < rows; r++) {
    const float *xr = x + r * width;
    float *yr = y + r * width;
    f32x16 squares = 0.0f;
    FOR_VECTORS(width, const f32x16 v = load(xr + i, n); squares += v * v);
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
    FOR_VECTORS(width, products += load(weight + i, n) * load(dyr + i, n) * load(xr + i, n));
    const float along = sum_lanes(products) / (float)width * inverse * inverse * inverse;
    FOR_VECTORS(width, f32x16 d = load(weight + i, n) * load(dyr + i, n) * inverse - load(xr + i, n) * along;
                if (accumulate) d += load(dxr + i, n); store(dxr + i, d, n));
  }
}
