// Hand-written SIMD kernels over row-major fp32 arrays.
//
// Every kernel is written once, over vectors of 16 floats, and compiled for AVX-512, AVX2 and plain x86-64;
// `kernels_select` picks a set once per process, before any thread starts. A
// `reference_` twin in plain scalar C stands for each kernel whose arithmetic is worth checking.
//
// Conventions: pointers need no alignment; unless a comment says otherwise inputs and outputs must not
// overlap. Reductions run in one fixed order for a given shape, so a call gives the same bits each time it is
// made.
#ifndef PEFT_DIST_CKERNELS_H
#define PEFT_DIST_CKERNELS_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// ---------------------------------------------------------------------------------------------- dispatch
typedef enum {
  KERNEL_SET_SCALAR = 0,
  KERNEL_SET_AVX2 = 1,
  KERNEL_SET_AVX512 = 2,
  KERNEL_SET_AVX512_BF16 = 3,  // with products of bfloat16 pairs
} kernel_set;

// The best set this CPU runs (CPUID and XGETBV).
kernel_set kernels_best(void);
// What the CPU or the system lacks of AVX2, FMA and F16C, as "AVX2, FMA"; "" where kernels_best is more than scalar.
const char *kernels_missing(void);
// Chooses a set; 0 if done, -1 if this CPU cannot run it. Call before any other thread uses a kernel.
int kernels_select(kernel_set set);
// The set in use: at the start the one that the environment variable PEFT_DIST_KERNELS names, if this CPU runs it,
// otherwise the best.
kernel_set kernels_selected(void);
// "scalar", "avx2", "avx512" or "avx512-bf16".
const char *kernels_name(kernel_set set);
// The set of this name; 0 if done, -1 if there is none.
int kernels_named(const char *name, kernel_set *set);

// ---------------------------------------------------------------------------------------------- elementwise
typedef enum {
  ACTIVATION_RELU = 0,
  ACTIVATION_GELU_NEW = 1,  // 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))
  ACTIVATION_GELU = 2,      // 0.5 x (1 + erf(x / sqrt 2))
  ACTIVATION_SILU = 3,      // x / (1 + exp(-x))
  ACTIVATION_TANH = 4,
} activation_kind;

// y = f(x), [count]; y may be x.
void k_activation(activation_kind kind, const float *x, float *y, long count);
// dx = dy * f'(x); dx may be dy.
void k_activation_backward(activation_kind kind, const float *dy, const float *x, float *dx, long count);
// y = relu(x), and one bit for each positive entry, 16 to a word: positive [ceil(count / 16)]; y may be x.
void k_relu_signs(const float *x, float *y, uint16_t *positive, long count);
// dx = dy where the bit is set, else 0; dx may be dy.
void k_relu_signs_backward(const float *dy, const uint16_t *positive, float *dx, long count);
// y = f(a) * b.
void k_gated(activation_kind kind, const float *a, const float *b, float *y, long count);
// da = dy * b * f'(a); db = dy * f(a).
void k_gated_backward(activation_kind kind, const float *dy, const float *a, const float *b, float *da,
                      float *db, long count);

void k_add(const float *a, const float *b, float *y, long count);            // y = a + b; y may be a or b
void k_multiply(const float *a, const float *b, float *y, long count);       // y = a * b; y may be a or b
void k_accumulate(float *y, const float *x, float scale, long count);        // y += scale * x
void k_scale(float *x, float scale, long count);                             // x *= scale
void k_fill(float *x, float value, long count);
void k_add_bias(float *y, const float *bias, long rows, long width);         // y[r, c] += bias[c]
// sums[c] += sum over r of x[r, c], r ascending.
void k_column_sums(const float *x, float *sums, long rows, long width);

// ---------------------------------------------------------------------------------------------- reductions
double k_sum_squares(const float *x, long count);                            // in double
float k_max_abs(const float *x, long count);                                 // NaN if any entry is NaN
int k_all_finite(const float *x, long count);                                // 1 or 0

// ---------------------------------------------------------------------------------------------- norms
// T5 layer norm (RMS norm): y = x * inverse_rms * weight, inverse_rms[r] = 1 / sqrt(mean(x[r]^2) + epsilon).
// x, y [rows, width]; weight [width]; inverse_rms [rows], written.
void k_rms_norm(const float *x, const float *weight, float *y, float *inverse_rms, long rows, long width,
                float epsilon);
// dx (+)= gradient of the above; adds to dx if `accumulate`, else overwrites. dweight [width] += if not null;
// dx may be null.
void k_rms_norm_backward(const float *dy, const float *x, const float *weight, const float *inverse_rms,
                         float *dx, int accumulate, float *dweight, long rows, long width);

// Layer norm: y = (x - mean) * inverse_deviation * weight + bias, with the biased variance. mean and inverse_deviation
// [rows] are written.
void k_layer_norm(const float *x, const float *weight, const float *bias, float *y, float *mean,
                  float *inverse_deviation, long rows, long width, float epsilon);
// dx (+)= gradient of the above, as for the RMS norm; dweight, dbias [width] += if not null; dx may be null.
void k_layer_norm_backward(const float *dy, const float *x, const float *weight, const float *mean,
                           const float *inverse_deviation, float *dx, int accumulate, float *dweight, float *dbias,
                           long rows, long width);

// ---------------------------------------------------------------------------------------------- attention
// One tile of scores: query rows first_row .. first_row+rows-1 (positions within the sequence, or within the
// sequence plus cache) against keys 0 .. columns-1. s [rows, columns] with leading dimension ld holds q.k.
// z[i, j] = scale * s[i, j] + bias[j - i], i the absolute query position; bias may be null and otherwise
// points at the entry for offset 0 (negative indices are used). With `causal`, keys j > i count as minus
// infinity. s becomes softmax(z) row by row, log_sum_exp[row] = log sum exp z. A row that sees no key (all z
// minus infinity) gets zeros and log_sum_exp minus infinity.
void k_softmax(float *s, long rows, long columns, long ld, long first_row, const float *bias, int causal,
               float scale, float *log_sum_exp);
// The same probabilities again from raw scores and the saved log_sum_exp: s = exp(z - log_sum_exp).
void k_softmax_again(float *s, long rows, long columns, long ld, long first_row, const float *bias,
                     int causal, float scale, const float *log_sum_exp);
// dz[i, j] = p[i, j] * (dp[i, j] - delta[i]), written over dp. p, dp [rows, columns], both with leading
// dimension ld.
void k_softmax_backward(const float *p, float *dp, const float *delta, long rows, long columns, long ld);
// delta[i] = sum over c of a[i, c] * b[i, c]; a and b [rows, width] with leading dimensions lda, ldb.
void k_row_dots(const float *a, const float *b, float *delta, long rows, long width, long lda, long ldb);
// dbias[j - i] += dz[i, j]; dbias points at the entry for offset 0.
void k_bias_gradient(const float *dz, long rows, long columns, long ld, long first_row, float *dbias);

// ---------------------------------------------------------------------------------------------- products
// c [m, n] = alpha a b (+ c if `adds`): entry (r, q) of a at a[r * a_row + q * a_step], entry (q, j) of b at
// b[q * b_step + j * b_column]; one distance of each operand is 1, c's rows lie ldc apart and overlap no operand. Any sizes,
// k = 0 included. Operands are read as fp32, or rounded to bfloat16 (subnormal numbers zero) and multiplied in pairs.
//
// Each entry is one expression, whatever the other sizes, the set and the thread: see bodies/product.h.
typedef enum { OPERAND_FP32 = 0, OPERAND_BF16 = 1 } operand_kind;
void k_product(operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step, long b_column,
               float *c, long ldc, long m, long n, long k, float alpha, int adds);
// Independent fused operations in registers, 48 vectors of 16 a round: their number, to be divided by the time they took.
double k_arithmetic_peak(operand_kind kind, long rounds);
// A weight W [outputs, inputs] in panels [ceil(outputs / 16)][inputs][16], zero behind the last output, aligned to 64.
typedef enum { WEIGHT_FP32 = 0, WEIGHT_FP16 = 1, WEIGHT_BF16 = 2 } weight_format;
// W[o, i] at w[o * w_output + i * w_input], one distance of which is 1; rounded to nearest in the 16-bit formats.
void k_pack_weight(weight_format format, const float *w, long w_output, long w_input, void *panels, long outputs,
                   long inputs);
// y [m, outputs] = x [m, inputs] W^T and dx [m, inputs] = dy [m, outputs] W: the bits of k_product with the numbers that
// are stored, with OPERAND_BF16 for bfloat16, else with OPERAND_FP32.
void k_weight_product(weight_format format, const float *x, long ldx, const void *panels, float *y, long ldy, long m,
                      long outputs, long inputs);
void k_weight_product_back(weight_format format, const float *dy, long ldy, const void *panels, float *dx, long ldx,
                           long m, long outputs, long inputs);

// ---------------------------------------------------------------------------------------------- decoding steps
// Attention of `rows` single queries of one sequence: context = softmax(scale q.k + bias) v, head by head, over `count`
// keys. Key j of head h is at keys + j * width + h * head_stride, or, with slots [rows, count], for query r at
// keys + slots[r, j] * width + h * head_stride; values alike.
// q, context [rows, heads * width]; bias [heads, count] with stride bias_stride, or null. count >= 1.
void k_step_attention(const float *q, float *context, long rows, long heads, long width, const float *keys,
                      const float *values, long head_stride, const int32_t *slots, long count, const float *bias,
                      long bias_stride, float scale);
// x = log softmax(x) row by row, [rows, columns].
void k_log_softmax(float *x, long rows, long columns);
// Indices of the `wanted` largest entries, best first, the lowest index first among equals; NaN is passed over.
// Returns how many there are. count < 2^31.
long k_top(const float *x, long count, long wanted, int32_t *best);

// ---------------------------------------------------------------------------------------------- loss
// Softmax cross-entropy of logits [rows, columns] against labels [rows]; label -100 is ignored. Returns the
// sum of -log softmax(logits)[label] in double, rows ascending. If gradient_scale is not 0, logits become
// gradient_scale * (softmax - onehot), zero in ignored rows. NaN for a label outside 0 ..< columns.
double k_cross_entropy(float *logits, const int32_t *labels, long rows, long columns, float gradient_scale);
// Index of the largest entry, the lowest index among equals; NaN never wins; 0 if there is no entry.
// count < 2^31.
long k_argmax(const float *x, long count);

// ---------------------------------------------------------------------------------------------- randomness
// Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): four words from a
// counter of four words and a key of two.
void k_philox(const uint32_t counter[4], uint64_t key, uint32_t out[4]);
// y = x * keep / (1 - rate), keep one with probability 1 - rate; y may be x. Entry (r, c) looks at word c % 4
// of philox((c / 4, position[r], example[r], 0), key): below rate * 2^32 means dropped. [rows, width],
// leading dimension ld for both. The mask belongs to (key, example, position, column), never to the row's
// place in the batch.
void k_dropout(const float *x, float *y, const uint32_t *example, const uint32_t *position, long rows,
               long width, long ld, uint64_t key, float rate);

// ---------------------------------------------------------------------------------------------- exact sums
// sum[i] += round_to_even(x[i] * 2^shift) in 64-bit fixed point. Returns the largest |x[i]|: infinity or NaN
// if any entry is not finite, and nothing is promised of `sum` then. The caller sees to it that nothing
// overflows: entries with |x| * 2^shift >= 2^62 are added as zero, and the returned maximum tells.
float k_fixed_point_add(int64_t *sum, const float *x, long count, int shift);
// y[i] = (float)(sum[i] * 2^-shift), rounded once.
void k_fixed_point_read(const int64_t *sum, float *y, long count, int shift);

// ---------------------------------------------------------------------------------------------- optimizers
// AdamW (Loshchilov & Hutter 2019, algorithm 2, as PyTorch computes it):
//   p *= 1 - rate * decay;  m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2;
//   p -= rate / correction1 * m / (sqrt(v) / sqrt(correction2) + epsilon),  correction_k = 1 - beta_k^t.
typedef struct {
  float rate, beta1, beta2, epsilon, decay, correction1, correction2;
  float complement1, complement2;  // 1 - beta_k, rounded once: 1 - (float)0.999 is off by 1e-5 of itself
} adamw_factors;
void k_adamw(float *p, float *m, float *v, const float *g, long count, const adamw_factors *factors);

// ---------------------------------------------------------------------------------------------- conversion
void k_bf16_to_float(const uint16_t *x, float *y, long count);
void k_fp16_to_float(const uint16_t *x, float *y, long count);
void k_float_to_bf16(const float *x, uint16_t *y, long count);   // round to nearest even, NaN kept
// round to nearest even, overflow to infinity
void k_float_to_fp16(const float *x, uint16_t *y, long count);
void k_round_fp16(const float *x, float *y, long count);         // to fp16 and back; y may be x
void k_round_bf16(const float *x, float *y, long count);         // to bfloat16 and back; y may be x

// ---------------------------------------------------------------------------------------------- references
// Plain scalar twins, in double where rounding is the question, to hold the kernels against in tests.
double reference_activation(activation_kind kind, double x);
void reference_product(operand_kind kind, const float *a, long a_row, long a_step, const float *b, long b_step,
                       long b_column, float *c, long ldc, long m, long n, long k, float alpha, int adds);
void reference_rms_norm(const float *x, const float *weight, double *y, long rows, long width,
                        double epsilon);
void reference_layer_norm(const float *x, const float *weight, const float *bias, double *y, long rows, long width,
                          double epsilon);
// p [rows, columns] without gaps, whatever ld.
void reference_softmax(const float *s, double *p, double *log_sum_exp, long rows, long columns, long ld,
                       long first_row, const float *bias, int causal, double scale);
double reference_cross_entropy(const float *logits, const int32_t *labels, double *gradient, long rows,
                               long columns);
void reference_log_softmax(const float *x, double *y, long rows, long columns);
void reference_step_attention(const float *q, double *context, long rows, long heads, long width, const float *keys,
                              const float *values, long head_stride, const int32_t *slots, long count, const float *bias,
                              long bias_stride, double scale);
void reference_dropout(const float *x, float *y, const uint32_t *example, const uint32_t *position, long rows,
                       long width, long ld, uint64_t key, float rate);
float reference_fixed_point_add(int64_t *sum, const float *x, long count, int shift);
void reference_adamw(double *p, double *m, double *v, const float *g, long count,
                     const adamw_factors *factors);
float reference_fp16_to_float(uint16_t x);
uint16_t reference_float_to_fp16(float x);
uint16_t reference_float_to_bf16(float x);

#include "kernel_table.h"

// Whether SIGHUP was ignored when the process began, as under nohup; libraries may have changed that since.
int process_ignored_hangup(void);

// The floating-point control register (MXCSR) of this thread. A library may have set its bits for "subnormal numbers are
// zero" while it was loaded, and threads inherit them. The usual state: to nearest even, subnormals kept, no traps.
enum { ROUNDING_USUAL = 0x1f80, ROUNDING_WITHOUT_SUBNORMALS = 0x9fc0 };
void set_rounding(unsigned control);

// A file is mapped from `start` on, and is not any more: if it becomes shorter meanwhile, the end of the process names it. One call
// at a time.
void mapped_file_begin(const void *start, long size, const char *path);
void mapped_file_end(const void *start);

// Writes a range of an open file to the disk and waits for it; 0, or -1 where the file system or device knows no such thing.
int file_range_to_disk(int descriptor, long start, long count);

// ---------------------------------------------------------------------------------------------- elementary functions
// With the same bits everywhere; errors in `Portable.swift`.
double portable_exp(double x);
double portable_log(double x);
double portable_log1p(double x);
double portable_cosine_of_turns(double turns);  // cos(2 pi turns)
double portable_pow(double base, double exponent);  // base >= 0

#ifdef __cplusplus
}
#endif
#endif
