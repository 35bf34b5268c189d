// The kernels compiled for AVX-512 (F, DQ, BW, VL).
#include "kernel_sets.h"

#define KERNEL_TARGET target("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma,f16c")
#pragma clang attribute push(__attribute__((KERNEL_TARGET)), apply_to = function)
#define KERNEL_SET avx512
#define KERNEL_HAS_MASKS 1
#define KERNEL_HAS_F16C 1
#define KERNEL_HAS_BF16 0
#define KERNEL_REFERENCES 0
#include "bodies/all.h"
#pragma clang attribute pop
