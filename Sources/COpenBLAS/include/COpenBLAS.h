// OpenBLAS, loaded while the program runs.
//
// OpenBLAS picks its kernels when the library is loaded, and picks slow ones on CPUs it does not know. Loading it here,
// after OPENBLAS_CORETYPE is set, lets all ranks of a job agree on one set first.
#ifndef PEFT_DIST_COPENBLAS_H
#define PEFT_DIST_COPENBLAS_H

#ifdef __cplusplus
extern "C" {
#endif

// Loads libopenblas.so.0 with one thread and the kernels of `core_type` ("SkylakeX", "Haswell", ...; null: the
// library's own choice). 0 if done or done before; otherwise -1 and `message` (of `capacity` bytes) says why.
int openblas_load(const char *core_type, char *message, int capacity);
// The kernels in use, such as "SkylakeX"; null before loading.
const char *openblas_core(void);
// Version and build options; null before loading.
const char *openblas_configuration(void);

// Loading the library (some 40 MiB) maps a buffer in some versions (0.3.29), and the first product of each thread maps twice
// a buffer of 128 MiB and keeps one. Where that cannot be had, OpenBLAS tries for ever.
enum { OPENBLAS_BUFFER_BYTES = 320 << 20 };
// Whether there is that room now.
int openblas_has_room(void);

// C [m, n] = alpha op(A) op(B) + beta C, all row-major; op(A) is [m, k], op(B) is [k, n]. Safe from many threads at once.
// 0, or -1 where it is this thread's first product and there is no room for it.
int openblas_sgemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                   const float *b, int ldb, float beta, float *c, int ldc);

#ifdef __cplusplus
}
#endif
#endif
