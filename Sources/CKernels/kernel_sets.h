// The tables of all sets, and the system headers the bodies need, outside any target attribute.
#ifndef PEFT_DIST_KERNEL_SETS_H
#define PEFT_DIST_KERNEL_SETS_H

#include <immintrin.h>
#include <math.h>
#include <string.h>

#include "CKernels.h"

extern const kernel_table kernels_scalar, kernels_avx2, kernels_avx512, kernels_avx512_bf16;

// Room of this thread for `count` floats, aligned to a page, until it asks for more.
float *kernels_room(size_t count);

#endif
