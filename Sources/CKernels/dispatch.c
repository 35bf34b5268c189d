// The choice of a kernel set, and the public functions that call into it.
#include "kernel_sets.h"

static const kernel_table *const tables[] = {&kernels_scalar, &kernels_avx2, &kernels_avx512, &kernels_avx512_bf16};
static kernel_set selected = KERNEL_SET_SCALAR;
static const kernel_table *table = &kernels_scalar;

// The CPU's features and, through XGETBV, whether the system saves the wide registers.
static int runs(kernel_set set) {
  __builtin_cpu_init();
  const int avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c");
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

// Before main: the best set, until someone selects another.
__attribute__((constructor)) static void select_best(void) { kernels_select(kernels_best()); }

#define KERNEL_FUNCTION(result, name, parameters, arguments) \
  result k_##name parameters { return table->name arguments; }
KERNEL_LIST(KERNEL_FUNCTION)
