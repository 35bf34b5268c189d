// oneDNN's functions, found in the library while the program runs, and its types as far as they are called here.
//
// No header of oneDNN is needed. Versions 2 and 3 give the same numbers to the same names and take most arguments alike: a
// "memory descriptor" goes in by its address. What they do differently is hidden in library.c: version 2 lets the caller
// hold the descriptor's bytes and has descriptors of operations, version 3 has neither.
#ifndef PEFT_DIST_ONEDNN_LIBRARY_H
#define PEFT_DIST_ONEDNN_LIBRARY_H

#include <stddef.h>
#include <stdint.h>

typedef struct dnnl_engine *dnnl_engine;
typedef struct dnnl_stream *dnnl_stream;
typedef struct dnnl_memory *dnnl_memory;
typedef struct dnnl_primitive *dnnl_primitive;
typedef struct dnnl_primitive_desc *dnnl_primitive_desc;
typedef struct dnnl_attributes *dnnl_attributes;
// Shape, type and order of an operand.
typedef struct dnnl_layout dnnl_layout;

typedef struct {
  int argument;
  dnnl_memory memory;
} dnnl_argument;

enum { dnnl_success = 0, dnnl_out_of_memory = 1 };
enum { dnnl_cpu = 1, dnnl_default_stream = 1, dnnl_scratchpad_of_user = 1 };
typedef enum { dnnl_bf16 = 2, dnnl_f32 = 3 } dnnl_type;
enum { dnnl_source = 1, dnnl_destination = 17, dnnl_weights = 33, dnnl_scratchpad = 80 };
typedef enum { dnnl_query_weights = 131, dnnl_query_scratchpad = 136 } dnnl_query;
// Bits of an instruction set that has bfloat16 dot products.
enum { dnnl_isa_avx512_bf16 = 0xe7 };

// Called as they are; 0 is success.
typedef struct {
  int (*engine_create)(dnnl_engine *engine, int kind, size_t index);
  int (*stream_create)(dnnl_stream *stream, dnnl_engine engine, unsigned flags);
  int (*stream_wait)(dnnl_stream stream);
  int (*attributes_create)(dnnl_attributes *attributes);
  int (*attributes_destroy)(dnnl_attributes attributes);
  int (*set_scratchpad_mode)(dnnl_attributes attributes, int mode);
  int (*description_destroy)(dnnl_primitive_desc description);
  const dnnl_layout *(*query_layout)(dnnl_primitive_desc description, dnnl_query what, int index);
  int (*reorder_describe)(dnnl_primitive_desc *description, const dnnl_layout *from, dnnl_engine from_engine,
                          const dnnl_layout *to, dnnl_engine to_engine, dnnl_attributes attributes);
  int (*primitive_create)(dnnl_primitive *primitive, dnnl_primitive_desc description);
  int (*primitive_execute)(dnnl_primitive primitive, dnnl_stream stream, int count, const dnnl_argument *arguments);
  int (*primitive_destroy)(dnnl_primitive primitive);
  int (*memory_create)(dnnl_memory *memory, const dnnl_layout *layout, dnnl_engine engine, void *bytes);
  int (*memory_destroy)(dnnl_memory memory);
  size_t (*layout_size)(const dnnl_layout *layout);
  int (*effective_isa)(void);
  int (*sgemm)(char transpose_a, char transpose_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
               int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
  // OpenMP's, of the runtime that oneDNN was linked with; null if it has none.
  void (*set_threads)(int);
  int major, minor, patch;
} dnnl_library;

// The functions, once `onednn_load` has succeeded.
extern dnnl_library onednn;

// A matrix [rows, columns] with these strides; freed with onednn_free_layout. Null if refused.
dnnl_layout *onednn_strided(int rows, int columns, dnnl_type type, int row_stride, int column_stride);
// A matrix whose order oneDNN may choose.
dnnl_layout *onednn_any(int rows, int columns, dnnl_type type);
dnnl_layout *onednn_copy_layout(const dnnl_layout *layout);
void onednn_free_layout(dnnl_layout *layout);
// Describes y = x w; 0 if done.
int onednn_describe_product(dnnl_primitive_desc *description, dnnl_engine engine, const dnnl_layout *x,
                            const dnnl_layout *w, const dnnl_layout *y, dnnl_attributes attributes);

#endif
