#define _GNU_SOURCE
#include "COpenBLAS.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

typedef void (*sgemm_function)(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha,
                               const float *a, int lda, const float *b, int ldb, float beta, float *c, int ldc);
typedef char *(*text_function)(void);
typedef void (*threads_function)(int);

static sgemm_function sgemm;
static text_function corename, config;

static void *symbol(void *library, const char *name, char *message, int capacity) {
  void *found = dlsym(library, name);
  if (!found) snprintf(message, (size_t)capacity, "libopenblas.so.0 has no function %s", name);
  return found;
}

int openblas_load(const char *core_type, char *message, int capacity) {
  if (sgemm) return 0;
  if (core_type) setenv("OPENBLAS_CORETYPE", core_type, 1);
  setenv("OPENBLAS_NUM_THREADS", "1", 1);
  void *library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
  if (!library) {
    snprintf(message, (size_t)capacity, "%s", dlerror());
    return -1;
  }
  threads_function set_threads = (threads_function)symbol(library, "openblas_set_num_threads", message, capacity);
  corename = (text_function)symbol(library, "openblas_get_corename", message, capacity);
  config = (text_function)symbol(library, "openblas_get_config", message, capacity);
  sgemm_function found = (sgemm_function)symbol(library, "cblas_sgemm", message, capacity);
  if (!set_threads || !corename || !config || !found) return -1;
  set_threads(1);
  sgemm = found;
  return 0;
}

const char *openblas_core(void) { return sgemm ? corename() : 0; }
const char *openblas_configuration(void) { return sgemm ? config() : 0; }

int openblas_has_room(void) {
  void *room = mmap(0, OPENBLAS_BUFFER_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (room == MAP_FAILED) return 0;
  munmap(room, OPENBLAS_BUFFER_BYTES);
  return 1;
}

int openblas_sgemm(int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float *a, int lda,
                   const float *b, int ldb, float beta, float *c, int ldc) {
  enum { row_major = 101, plain = 111, transposed = 112 };
  static _Thread_local int has_buffer;
  static pthread_mutex_t first_products = PTHREAD_MUTEX_INITIALIZER;
  int is_first = !has_buffer;
  // One thread after the other, so that each takes what it has found free.
  if (is_first) {
    pthread_mutex_lock(&first_products);
    if (!openblas_has_room()) {
      pthread_mutex_unlock(&first_products);
      return -1;
    }
  }
  sgemm(row_major, transpose_a ? transposed : plain, transpose_b ? transposed : plain, m, n, k, alpha, a, lda, b, ldb,
        beta, c, ldc);
  if (is_first) {
    has_buffer = 1;
    pthread_mutex_unlock(&first_products);
  }
  return 0;
}
