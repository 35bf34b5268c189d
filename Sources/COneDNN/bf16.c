#include "COneDNN.h"

#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

// Products with a packed weight. A primitive belongs to a shape (m, k, n); it is made once, kept, and run by any thread
// with that thread's stream and scratchpad. The packed layout is asked for once per (k, n), with a row count typical of a
// leaf, and then given to the primitives of every other row count.

enum { typical_rows = 480, table_size = 4096 };

struct onednn_weight {
  int k, n;
  dnnl_memory_desc_t layout;
  dnnl_memory_t memory;
};

typedef struct {
  int m, k, n;
  dnnl_primitive_t primitive;
  dnnl_memory_desc_t scratchpad;
} product;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine_t engine;
static product table[table_size];
static int used;

static _Thread_local dnnl_stream_t stream;
static _Thread_local void *scratch;
static _Thread_local size_t scratch_bytes;

static int start(void) {
  pthread_mutex_lock(&lock);
  dnnl_status_t status = engine ? dnnl_success : dnnl_engine_create(&engine, dnnl_cpu, 0);
  pthread_mutex_unlock(&lock);
  if (status == dnnl_success && !stream) status = dnnl_stream_create(&stream, engine, dnnl_stream_default_flags);
  return status == dnnl_success ? 0 : -1;
}

static dnnl_memory_desc_t dense(int rows, int columns, dnnl_data_type_t type) {
  dnnl_dims_t dims = {rows, columns}, strides = {columns, 1};
  dnnl_memory_desc_t layout;
  dnnl_memory_desc_init_by_strides(&layout, 2, dims, type, strides);
  return layout;
}

// `weight` null: oneDNN may choose the layout.
static int describe(int m, int k, int n, const dnnl_memory_desc_t *weight, dnnl_primitive_desc_t *result) {
  dnnl_dims_t dims = {k, n};
  dnnl_memory_desc_t x = dense(m, k, dnnl_bf16), y = dense(m, n, dnnl_f32), w;
  if (weight) {
    w = *weight;
  } else {
    dnnl_memory_desc_init_by_tag(&w, 2, dims, dnnl_bf16, dnnl_format_tag_any);
  }
  dnnl_matmul_desc_t operation;
  if (dnnl_matmul_desc_init(&operation, &x, &w, NULL, &y) != dnnl_success) return -1;
  dnnl_primitive_attr_t attributes;
  if (dnnl_primitive_attr_create(&attributes) != dnnl_success) return -1;
  dnnl_primitive_attr_set_scratchpad_mode(attributes, dnnl_scratchpad_mode_user);
  dnnl_status_t status = dnnl_primitive_desc_create(result, &operation, attributes, engine, NULL);
  dnnl_primitive_attr_destroy(attributes);
  return status == dnnl_success ? 0 : -1;
}

static int packed_layout(int k, int n, dnnl_memory_desc_t *layout) {
  dnnl_primitive_desc_t description;
  if (start() != 0 || describe(typical_rows, k, n, NULL, &description) != 0) return -1;
  *layout = *dnnl_primitive_desc_query_md(description, dnnl_query_weights_md, 0);
  dnnl_primitive_desc_destroy(description);
  return 0;
}

int onednn_has_bf16(void) {
  dnnl_cpu_isa_t isa = dnnl_get_effective_cpu_isa();
  return (isa & dnnl_cpu_isa_avx512_core_bf16) == dnnl_cpu_isa_avx512_core_bf16;
}

long onednn_packed_bytes(int k, int n) {
  dnnl_memory_desc_t layout;
  return packed_layout(k, n, &layout) == 0 ? (long)dnnl_memory_desc_get_size(&layout) : 0;
}

int onednn_pack(const float *w, int transposed, int k, int n, void *packed) {
  dnnl_memory_desc_t layout, plain;
  if (packed_layout(k, n, &layout) != 0) return -1;
  dnnl_dims_t dims = {k, n}, rows = {n, 1}, columns = {1, k};
  dnnl_memory_desc_init_by_strides(&plain, 2, dims, dnnl_f32, transposed ? columns : rows);
  dnnl_memory_t from = NULL, to = NULL;
  dnnl_primitive_desc_t description = NULL;
  dnnl_primitive_t reorder = NULL;
  int done = -1;
  if (dnnl_memory_create(&from, &plain, engine, (void *)w) == dnnl_success &&
      dnnl_memory_create(&to, &layout, engine, packed) == dnnl_success &&
      dnnl_reorder_primitive_desc_create(&description, &plain, engine, &layout, engine, NULL) == dnnl_success &&
      dnnl_primitive_create(&reorder, description) == dnnl_success) {
    dnnl_exec_arg_t arguments[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}};
    if (dnnl_primitive_execute(reorder, stream, 2, arguments) == dnnl_success && dnnl_stream_wait(stream) == dnnl_success)
      done = 0;
  }
  if (reorder) dnnl_primitive_destroy(reorder);
  if (description) dnnl_primitive_desc_destroy(description);
  if (from) dnnl_memory_destroy(from);
  if (to) dnnl_memory_destroy(to);
  return done;
}

onednn_weight *onednn_open(const void *packed, int k, int n) {
  onednn_weight *weight = calloc(1, sizeof *weight);
  if (!weight) return NULL;
  weight->k = k;
  weight->n = n;
  if (packed_layout(k, n, &weight->layout) != 0 ||
      dnnl_memory_create(&weight->memory, &weight->layout, engine, (void *)packed) != dnnl_success) {
    free(weight);
    return NULL;
  }
  return weight;
}

void onednn_release(onednn_weight *weight) {
  if (!weight) return;
  dnnl_memory_destroy(weight->memory);
  free(weight);
}

static int make(int m, const onednn_weight *weight, product *result) {
  dnnl_primitive_desc_t description;
  if (describe(m, weight->k, weight->n, &weight->layout, &description) != 0) return -1;
  *result = (product){m, weight->k, weight->n, NULL, *dnnl_primitive_desc_query_md(description, dnnl_query_scratchpad_md, 0)};
  dnnl_status_t status = dnnl_primitive_create(&result->primitive, description);
  dnnl_primitive_desc_destroy(description);
  return status == dnnl_success ? 0 : -1;
}

// The product of this shape, made if need be; a copy, as the table may grow meanwhile. Once the table is full, products of
// further shapes are made for one call: `*is_kept` is 0, and the caller destroys the primitive.
static int find(int m, const onednn_weight *weight, product *result, int *is_kept) {
  int status = 0;
  *is_kept = 1;
  pthread_mutex_lock(&lock);
  unsigned slot = ((unsigned)m * 2654435761u ^ (unsigned)weight->k * 40503u ^ (unsigned)weight->n) % table_size;
  while (table[slot].primitive &&
         !(table[slot].m == m && table[slot].k == weight->k && table[slot].n == weight->n))
    slot = (slot + 1) % table_size;
  if (table[slot].primitive) {
    *result = table[slot];
  } else {
    status = make(m, weight, result);
    *is_kept = status == 0 && used < table_size / 2;
    if (*is_kept) {
      table[slot] = *result;
      used++;
    }
  }
  pthread_mutex_unlock(&lock);
  return status;
}

int onednn_multiply_packed(const uint16_t *x, const onednn_weight *weight, float *y, int m) {
  product product;
  int is_kept;
  if (start() != 0 || find(m, weight, &product, &is_kept) != 0) return -1;
  size_t bytes = dnnl_memory_desc_get_size(&product.scratchpad);
  if (bytes > scratch_bytes) {
    free(scratch);
    scratch_bytes = (bytes + 4095) / 4096 * 4096;
    scratch = aligned_alloc(4096, scratch_bytes);
    if (!scratch) {
      scratch_bytes = 0;
      return -1;
    }
  }
  dnnl_memory_desc_t source = dense(m, weight->k, dnnl_bf16), destination = dense(m, weight->n, dnnl_f32);
  dnnl_memory_t from = NULL, to = NULL, room = NULL;
  int status = -1;
  if (dnnl_memory_create(&from, &source, engine, (void *)x) == dnnl_success &&
      dnnl_memory_create(&to, &destination, engine, y) == dnnl_success &&
      dnnl_memory_create(&room, &product.scratchpad, engine, bytes ? scratch : NULL) == dnnl_success) {
    dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, from}, {DNNL_ARG_WEIGHTS, weight->memory}, {DNNL_ARG_DST, to}, {DNNL_ARG_SCRATCHPAD, room}};
    if (dnnl_primitive_execute(product.primitive, stream, 4, arguments) == dnnl_success &&
        dnnl_stream_wait(stream) == dnnl_success)
      status = 0;
  }
  if (from) dnnl_memory_destroy(from);
  if (to) dnnl_memory_destroy(to);
  if (room) dnnl_memory_destroy(room);
  if (!is_kept) dnnl_primitive_destroy(product.primitive);
  return status;
}
