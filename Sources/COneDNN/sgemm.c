#include "COneDNN.h"
#include "library.h"

void onednn_use_one_thread(void) {
  if (onednn.set_threads) onednn.set_threads(1);
}

int onednn_sgemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                 const float *b, int ldb, float beta, float *c, int ldc) {
  return onednn.sgemm(transpose_a ? 'T' : 'N', transpose_b ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
