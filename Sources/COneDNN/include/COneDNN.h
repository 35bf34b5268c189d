// The part of oneDNN this project calls, behind plain C types.
#ifndef PEFT_DIST_CONEDNN_H
#define PEFT_DIST_CONEDNN_H

#ifdef __cplusplus
extern "C" {
#endif

// "2.6.3" and the like.
const char *onednn_version(void);
// oneDNN's pool is OpenMP's, and OpenMP counts threads per calling thread: each worker calls this once.
void onednn_use_one_thread(void);
// C [m, n] = alpha op(A) op(B) + beta C, all row-major. 0 if done, otherwise oneDNN's status.
int onednn_sgemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc);

#ifdef __cplusplus
}
#endif
#endif
