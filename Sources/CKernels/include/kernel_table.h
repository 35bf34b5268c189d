// The list of all kernels, from which the tables of the three sets and the public functions are made.
// Tests take a table and call each set without switching the one in use.
#ifndef PEFT_DIST_KERNEL_TABLE_H
#define PEFT_DIST_KERNEL_TABLE_H

// X(result, name, (parameters), (arguments))
#define KERNEL_LIST(X) \
  X(void, activation, (activation_kind kind, const float *x, float *y, long count), (kind, x, y, count)) \
  X(void, activation_backward, \
    (activation_kind kind, const float *dy, const float *x, float *dx, long count), \
    (kind, dy, x, dx, count)) \
  X(void, relu_signs, (const float *x, float *y, uint16_t *positive, long count), (x, y, positive, count)) \
  X(void, relu_signs_backward, (const float *dy, const uint16_t *positive, float *dx, long count), \
    (dy, positive, dx, count)) \
  X(void, gated, (activation_kind kind, const float *a, const float *b, float *y, long count), \
    (kind, a, b, y, count)) \
  X(void, gated_backward, \
    (activation_kind kind, const float *dy, const float *a, const float *b, float *da, float *db, \
     long count), \
    (kind, dy, a, b, da, db, count)) \
  X(void, add, (const float *a, const float *b, float *y, long count), (a, b, y, count)) \
  X(void, multiply, (const float *a, const float *b, float *y, long count), (a, b, y, count)) \
  X(void, accumulate, (float *y, const float *x, float scale, long count), (y, x, scale, count)) \
  X(void, scale, (float *x, float scale, long count), (x, scale, count)) \
  X(void, fill, (float *x, float value, long count), (x, value, count)) \
  X(void, add_bias, (float *y, const float *bias, long rows, long width), (y, bias, rows, width)) \
  X(void, column_sums, (const float *x, float *sums, long rows, long width), (x, sums, rows, width)) \
  X(double, sum_squares, (const float *x, long count), (x, count)) \
  X(float, max_abs, (const float *x, long count), (x, count)) \
  X(int, all_finite, (const float *x, long count), (x, count)) \
  X(void, rms_norm, \
    (const float *x, const float *weight, float *y, float *inverse_rms, long rows, long width, \
     float epsilon), \
    (x, weight, y, inverse_rms, rows, width, epsilon)) \
  X(void, rms_norm_backward, \
    (const float *dy, const float *x, const float *weight, const float *inverse_rms, float *dx, \
     int accumulate, float *dweight, long rows, long width), \
    (dy, x, weight, inverse_rms, dx, accumulate, dweight, rows, width)) \
  X(void, layer_norm, \
    (const float *x, const float *weight, const float *bias, float *y, float *mean, float *inverse_deviation, \
     long rows, long width, float epsilon), \
    (x, weight, bias, y, mean, inverse_deviation, rows, width, epsilon)) \
  X(void, layer_norm_backward, \
    (const float *dy, const float *x, const float *weight, const float *mean, const float *inverse_deviation, \
     float *dx, int accumulate, float *dweight, float *dbias, long rows, long width), \
    (dy, x, weight, mean, inverse_deviation, dx, accumulate, dweight, dbias, rows, width)) \
  X(void, softmax, \
    (float *s, long rows, long columns, long ld, long first_row, const float *bias, int causal, float scale, \
     float *log_sum_exp), \
    (s, rows, columns, ld, first_row, bias, causal, scale, log_sum_exp)) \
  X(void, softmax_again, \
    (float *s, long rows, long columns, long ld, long first_row, const float *bias, int causal, float scale, \
     const float *log_sum_exp), \
    (s, rows, columns, ld, first_row, bias, causal, scale, log_sum_exp)) \
  X(void, softmax_backward, (const float *p, float *dp, const float *delta, long rows, long columns, \
                             long ld), \
    (p, dp, delta, rows, columns, ld)) \
  X(void, row_dots, (const float *a, const float *b, float *delta, long rows, long width, long lda, \
                     long ldb), \
    (a, b, delta, rows, width, lda, ldb)) \
  X(void, bias_gradient, (const float *dz, long rows, long columns, long ld, long first_row, float *dbias), \
    (dz, rows, columns, ld, first_row, dbias)) \
  X(double, cross_entropy, \
    (float *logits, const int32_t *labels, long rows, long columns, float gradient_scale), \
    (logits, labels, rows, columns, gradient_scale)) \
  X(void, product, \
    (operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step, long b_column, float *c, \
     long ldc, long m, long n, long k, float alpha, int adds), \
    (kind, a, a_row, a_step, b, b_step, b_column, c, ldc, m, n, k, alpha, adds)) \
  X(double, arithmetic_peak, (operand_kind kind, long rounds), (kind, rounds)) \
  X(void, pack_weight, \
    (weight_format format, const float *w, long w_output, long w_input, void *panels, long outputs, long inputs), \
    (format, w, w_output, w_input, panels, outputs, inputs)) \
  X(void, weight_product, \
    (weight_format format, const float *x, long ldx, const void *panels, float *y, long ldy, long m, long outputs, \
     long inputs), \
    (format, x, ldx, panels, y, ldy, m, outputs, inputs)) \
  X(void, weight_product_back, \
    (weight_format format, const float *dy, long ldy, const void *panels, float *dx, long ldx, long m, long outputs, \
     long inputs), \
    (format, dy, ldy, panels, dx, ldx, m, outputs, inputs)) \
  X(void, step_attention, \
    (const float *q, float *context, long rows, long heads, long width, const float *keys, \
     const float *values, long head_stride, const int32_t *slots, long count, const float *bias, \
     long bias_stride, float scale), \
    (q, context, rows, heads, width, keys, values, head_stride, slots, count, bias, bias_stride, scale)) \
  X(void, log_softmax, (float *x, long rows, long columns), (x, rows, columns)) \
  X(long, top, (const float *x, long count, long wanted, int32_t *best), (x, count, wanted, best)) \
  X(long, argmax, (const float *x, long count), (x, count)) \
  X(void, philox, (const uint32_t counter[4], uint64_t key, uint32_t out[4]), (counter, key, out)) \
  X(void, dropout, \
    (const float *x, float *y, const uint32_t *example, const uint32_t *position, long rows, long width, \
     long ld, uint64_t key, float rate), \
    (x, y, example, position, rows, width, ld, key, rate)) \
  X(float, fixed_point_add, (int64_t *sum, const float *x, long count, int shift), (sum, x, count, shift)) \
  X(void, fixed_point_read, (const int64_t *sum, float *y, long count, int shift), (sum, y, count, shift)) \
  X(void, adamw, (float *p, float *m, float *v, const float *g, long count, const adamw_factors *factors), \
    (p, m, v, g, count, factors)) \
  X(void, bf16_to_float, (const uint16_t *x, float *y, long count), (x, y, count)) \
  X(void, fp16_to_float, (const uint16_t *x, float *y, long count), (x, y, count)) \
  X(void, float_to_bf16, (const float *x, uint16_t *y, long count), (x, y, count)) \
  X(void, float_to_fp16, (const float *x, uint16_t *y, long count), (x, y, count)) \
  X(void, round_fp16, (const float *x, float *y, long count), (x, y, count)) \
  X(void, round_bf16, (const float *x, float *y, long count), (x, y, count))

// One function pointer for each kernel, named without its `k_`.
#define KERNEL_POINTER(result, name, parameters, arguments) result(*name) parameters;
typedef struct {
  KERNEL_LIST(KERNEL_POINTER)
} kernel_table;

// The kernels of one set, null if this CPU cannot run it.
const kernel_table *kernels_table(kernel_set set);

#endif
