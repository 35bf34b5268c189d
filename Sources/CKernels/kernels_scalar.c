// The kernels compiled for any x86-64, and the scalar references.
#include "kernel_sets.h"

#define KERNEL_SET scalar
#define KERNEL_HAS_MASKS 0
#define KERNEL_HAS_F16C 0
#define KERNEL_HAS_BF16 0
#define KERNEL_REFERENCES 1
#include "bodies/all.h"
