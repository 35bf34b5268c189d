// AdamW (Loshchilov & Hutter 2019, "Decoupled weight decay regularization", algorithm 2).
// p, m, v, g: [count].

#if KERNEL_REFERENCES
void reference_adamw(double *p, double *m, double *v, const float *g, long count, const adamw_factors *f) {
  for (long i = 0; i < count; i++) {
    p[i] *= 1 - (double)f->rate * f->decay;
    m[i] = f->beta1 * m[i] + (double)f->complement1 * g[i];
    v[i] = f->beta2 * v[i] + (double)f->complement2 * g[i] * g[i];
    p[i] -= (double)f->rate / f->correction1 * m[i] / (sqrt(v[i]) / sqrt(f->correction2) + f->epsilon);
  }
}
#endif

KERNEL(void, adamw)(float *p, float *m, float *v, const float *g, long count, const adamw_factors *factors) {
  const adamw_factors f = *factors;
  const float kept = (float)(1 - (double)f.rate * f.decay);
  const float step = (float)((double)f.rate / f.correction1);
  const float root = (float)sqrt((double)f.correction2);
  FOR_VECTORS(count, const f32x16 gradient = load(g + i, n);
              const f32x16 mean = fused(f.beta1, load(m + i, n), f.complement1 * gradient);
              const f32x16 square = fused(f.beta2, load(v + i, n), f.complement2 * gradient * gradient);
              const f32x16 divisor = __builtin_elementwise_sqrt(square) / root + f.epsilon;
              store(p + i, fused(load(p + i, n), kept, -(step * (mean / divisor))), n); store(m + i, mean, n);
              store(v + i, square, n));
}
