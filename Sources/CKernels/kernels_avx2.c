// The kernels compiled for AVX2 with FMA and F16C.
#include "kernel_sets.h"

#define KERNEL_TARGET target("avx2,fma,f16c")
#pragma clang attribute push(__attribute__((KERNEL_TARGET)), apply_to = function)
#define KERNEL_SET avx2
#define KERNEL_HAS_MASKS 0
#define KERNEL_HAS_F16C 1
#define KERNEL_HAS_BF16 0
#define KERNEL_REFERENCES 0
#include "bodies/all.h"
#pragma clang attribute pop
