// oneDNN, loaded while the program runs, as far as this project calls it. Versions 2 and 3 alike; no header of either is
// needed, and a machine without the library does without it.
#ifndef PEFT_DIST_CONEDNN_H
#define PEFT_DIST_CONEDNN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Loads the library once. 0 if it is there; otherwise -1 and `message` (of `capacity` bytes) says why. Call it before any
// function below; from any thread.
int onednn_load(char *message, int capacity);
// "2.6.3" and the like; null if the library cannot be loaded.
const char *onednn_version(void);
// oneDNN's pool is OpenMP's, and OpenMP counts threads per calling thread: each worker calls this once. Nothing is done
// before the library is loaded.
void onednn_use_one_thread(void);
// C [m, n] = alpha op(A) op(B) + beta C, all row-major. 0 if done, otherwise oneDNN's status.
int onednn_sgemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);

// ---------------------------------------------------------------------------------------------- bfloat16 products
// A constant right operand W [k, n] in oneDNN's own blocked bfloat16 layout.
typedef struct onednn_weight onednn_weight;

// Whether the library is there and multiplies bfloat16 by the CPU's instructions (AVX-512 BF16 or AMX).
int onednn_has_bf16(void);
// Bytes of the packed form of a [k, n] operand; 0 if oneDNN refuses such a product.
long onednn_packed_bytes(int k, int n);
// Packs `w` into `packed` (onednn_packed_bytes, aligned to 64): w is [n, k] if transposed, else [k, n], fp32 row-major.
// 0 if done.
int onednn_pack(const float *w, int transposed, int k, int n, void *packed);
// An operand over packed bytes, which must outlive it; null if oneDNN refuses a product of one row or of many with it.
// Freed with onednn_release.
onednn_weight *onednn_open(const void *packed, int k, int n);
void onednn_release(onednn_weight *weight);
// y [m, n] = x [m, k] W, x bfloat16 and y fp32, both row-major and dense; sums in fp32. 0 if done.
// Any number of threads at once; each keeps a stream and a scratchpad of its own.
int onednn_multiply_packed(const uint16_t *x, const onednn_weight *weight, float *y, int m);

#ifdef __cplusplus
}
#endif
#endif
