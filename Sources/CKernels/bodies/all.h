// Every kernel, once: included by each kernels_SET.c with KERNEL_SET and KERNEL_HAS_* set.
#define KERNEL_JOIN2(name, set) kernel_##name##_##set
#define KERNEL_JOIN(name, set) KERNEL_JOIN2(name, set)
#define KERNEL(result, name) static result KERNEL_JOIN(name, KERNEL_SET)

#pragma clang diagnostic ignored "-Wpsabi"  // vectors are passed to inlined functions only

#include "vector.h"
#include "functions.h"

#include "activation.h"
#include "attention.h"
#include "convert.h"
#include "elementwise.h"
#include "fixed_point.h"
#include "loss.h"
#include "norm.h"
#include "optimizer.h"
#include "product.h"
#include "peak.h"  // in the steps of products
#include "random.h"
#include "step_attention.h"

#define KERNEL_ENTRY(result, name, parameters, arguments) .name = KERNEL_JOIN(name, KERNEL_SET),
#define KERNEL_TABLE_OF(set) kernels_##set
#define KERNEL_TABLE(set) KERNEL_TABLE_OF(set)
const kernel_table KERNEL_TABLE(KERNEL_SET) = {KERNEL_LIST(KERNEL_ENTRY)};
