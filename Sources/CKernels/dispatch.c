// The choice of a kernel set, and the public functions that call into it.
#include "kernel_sets.h"

#include <stdlib.h>

static const kernel_table *const tables[] = {&kernels_scalar, &kernels_avx2, &kernels_avx512, &kernels_avx512_bf16};
static kernel_set selected = KERNEL_SET_SCALAR;
static const kernel_table *table = &kernels_scalar;

const char *kernels_missing(void) {
  static const char *const lists[] = {
      "", "AVX2", "FMA", "AVX2, FMA", "F16C", "AVX2, F16C", "FMA, F16C", "AVX2, FMA, F16C"};
  __builtin_cpu_init();
  return lists[!__builtin_cpu_supports("avx2") + 2 * !__builtin_cpu_supports("fma") +
               4 * !__builtin_cpu_supports("f16c")];
}

// The CPU's features and, through XGETBV, whether the system saves the wide registers.
static int runs(kernel_set set) {
  const int avx2 = !*kernels_missing();
  const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                     __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
  switch (set) {
    case KERNEL_SET_SCALAR: return 1;
    case KERNEL_SET_AVX2: return avx2;
    case KERNEL_SET_AVX512: return avx512;
    case KERNEL_SET_AVX512_BF16: return avx512 && __builtin_cpu_supports("avx512bf16");
  }
  return 0;
}

const kernel_table *kernels_table(kernel_set set) { return runs(set) ? tables[set] : 0; }

kernel_set kernels_best(void) {
  if (runs(KERNEL_SET_AVX512_BF16)) return KERNEL_SET_AVX512_BF16;
  if (runs(KERNEL_SET_AVX512)) return KERNEL_SET_AVX512;
  return runs(KERNEL_SET_AVX2) ? KERNEL_SET_AVX2 : KERNEL_SET_SCALAR;
}

int kernels_select(kernel_set set) {
  const kernel_table *chosen = kernels_table(set);
  if (!chosen) return -1;
  selected = set;
  table = chosen;
  return 0;
}

kernel_set kernels_selected(void) { return selected; }

const char *kernels_name(kernel_set set) {
  switch (set) {
    case KERNEL_SET_SCALAR: return "scalar";
    case KERNEL_SET_AVX2: return "avx2";
    case KERNEL_SET_AVX512: return "avx512";
    case KERNEL_SET_AVX512_BF16: return "avx512-bf16";
  }
  return "unknown";
}

int kernels_named(const char *name, kernel_set *set) {
  for (int i = KERNEL_SET_SCALAR; i <= KERNEL_SET_AVX512_BF16; i++)
    if (strcmp(name, kernels_name((kernel_set)i)) == 0) {
      *set = (kernel_set)i;
      return 0;
    }
  return -1;
}

// Before main. A name that is none, or of a set this CPU does not run, is the program's to refuse.
__attribute__((constructor)) static void select_first(void) {
  const char *wanted = getenv("PEFT_DIST_KERNELS");
  kernel_set set;
  if (!wanted || kernels_named(wanted, &set) != 0 || kernels_select(set) != 0) kernels_select(kernels_best());
}

#define KERNEL_FUNCTION(result, name, parameters, arguments) \
  result k_##name parameters { return table->name arguments; }
KERNEL_LIST(KERNEL_FUNCTION)
