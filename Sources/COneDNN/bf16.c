#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "COneDNN.h"
#include "library.h"

// Products with a packed weight. A primitive belongs to a shape (m, k, n); it is made once, kept, and run by any thread
// with that thread's stream and scratchpad. The packed layout is asked for once per (k, n), with a row count typical of a
// leaf, and then given to the primitives of every other row count.

enum { typical_rows = 480, table_size = 4096 };

struct onednn_weight {
  int k, n;
  dnnl_layout *layout;
  dnnl_memory memory;
};

typedef struct {
  int m, k, n;
  dnnl_primitive primitive;
  dnnl_layout *x, *y, *scratchpad;
} product;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static dnnl_engine engine;
static product table[table_size];
static int used;

static _Thread_local dnnl_stream stream;
static _Thread_local void *scratch;
static _Thread_local size_t scratch_bytes;

static int start(void) {
  if (onednn_load(NULL, 0) != 0) return -1;
  pthread_mutex_lock(&lock);
  int status = engine ? dnnl_success : onednn.engine_create(&engine, dnnl_cpu, 0);
  pthread_mutex_unlock(&lock);
  if (status == dnnl_success && !stream) status = onednn.stream_create(&stream, engine, dnnl_default_stream);
  return status == dnnl_success ? 0 : -1;
}

// `weight` null: oneDNN may choose the layout.
static int describe(const dnnl_layout *x, const dnnl_layout *weight, const dnnl_layout *y, int k, int n,
                    dnnl_primitive_desc *result) {
  dnnl_layout *chosen = weight ? NULL : onednn_any(k, n, dnnl_bf16);
  dnnl_attributes attributes = NULL;
  int status = -1;
  if (x && y && (weight || chosen) && onednn.attributes_create(&attributes) == dnnl_success) {
    onednn.set_scratchpad_mode(attributes, dnnl_scratchpad_of_user);
    status = onednn_describe_product(result, engine, x, weight ? weight : chosen, y, attributes);
    onednn.attributes_destroy(attributes);
  }
  onednn_free_layout(chosen);
  return status == dnnl_success ? 0 : -1;
}

// The layout oneDNN wants a [k, n] weight in; null if it has no such product.
static dnnl_layout *packed_layout(int k, int n) {
  if (start() != 0) return NULL;
  dnnl_layout *x = onednn_strided(typical_rows, k, dnnl_bf16, k, 1);
  dnnl_layout *y = onednn_strided(typical_rows, n, dnnl_f32, n, 1);
  dnnl_layout *layout = NULL;
  dnnl_primitive_desc description;
  if (describe(x, NULL, y, k, n, &description) == 0) {
    layout = onednn_copy_layout(onednn.query_layout(description, dnnl_query_weights, 0));
    onednn.description_destroy(description);
  }
  onednn_free_layout(x);
  onednn_free_layout(y);
  return layout;
}

int onednn_has_bf16(void) {
  if (onednn_load(NULL, 0) != 0) return 0;
  return (onednn.effective_isa() & dnnl_isa_avx512_bf16) == dnnl_isa_avx512_bf16;
}

long onednn_packed_bytes(int k, int n) {
  dnnl_layout *layout = packed_layout(k, n);
  const long bytes = layout ? (long)onednn.layout_size(layout) : 0;
  onednn_free_layout(layout);
  return bytes;
}

int onednn_pack(const float *w, int transposed, int k, int n, void *packed) {
  dnnl_layout *layout = packed_layout(k, n);
  dnnl_layout *plain = layout ? onednn_strided(k, n, dnnl_f32, transposed ? 1 : n, transposed ? k : 1) : NULL;
  dnnl_memory from = NULL, to = NULL;
  dnnl_primitive_desc description = NULL;
  dnnl_primitive reorder = NULL;
  int done = -1;
  if (plain && onednn.memory_create(&from, plain, engine, (void *)w) == dnnl_success &&
      onednn.memory_create(&to, layout, engine, packed) == dnnl_success &&
      onednn.reorder_describe(&description, plain, engine, layout, engine, NULL) == dnnl_success &&
      onednn.primitive_create(&reorder, description) == dnnl_success) {
    const dnnl_argument arguments[] = {{dnnl_source, from}, {dnnl_destination, to}};
    if (onednn.primitive_execute(reorder, stream, 2, arguments) == dnnl_success &&
        onednn.stream_wait(stream) == dnnl_success)
      done = 0;
  }
  if (reorder) onednn.primitive_destroy(reorder);
  if (description) onednn.description_destroy(description);
  if (from) onednn.memory_destroy(from);
  if (to) onednn.memory_destroy(to);
  onednn_free_layout(plain);
  onednn_free_layout(layout);
  return done;
}

static void release(product *product) {
  if (product->primitive) onednn.primitive_destroy(product->primitive);
  onednn_free_layout(product->x);
  onednn_free_layout(product->y);
  onednn_free_layout(product->scratchpad);
}

static int make(int m, const onednn_weight *weight, product *result) {
  const int k = weight->k, n = weight->n;
  *result = (product){m, k, n, NULL, onednn_strided(m, k, dnnl_bf16, k, 1), onednn_strided(m, n, dnnl_f32, n, 1), NULL};
  dnnl_primitive_desc description;
  int status = -1;
  if (describe(result->x, weight->layout, result->y, k, n, &description) == 0) {
    result->scratchpad = onednn_copy_layout(onednn.query_layout(description, dnnl_query_scratchpad, 0));
    if (result->scratchpad) status = onednn.primitive_create(&result->primitive, description);
    onednn.description_destroy(description);
  }
  if (status != dnnl_success) release(result);
  return status == dnnl_success ? 0 : -1;
}

// The product of this shape, made if need be; a copy, as the table may grow meanwhile. Once the table is full, products of
// further shapes are made for one call: `*is_kept` is 0, and the caller releases it.
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

// Whether there is a product of `m` rows.
static int accepts(const onednn_weight *weight, int m) {
  product product;
  int is_kept;
  if (find(m, weight, &product, &is_kept) != 0) return 0;
  if (!is_kept) release(&product);
  return 1;
}

onednn_weight *onednn_open(const void *packed, int k, int n) {
  onednn_weight *weight = calloc(1, sizeof *weight);
  if (!weight) return NULL;
  weight->k = k;
  weight->n = n;
  weight->layout = packed_layout(k, n);
  if (!weight->layout ||
      onednn.memory_create(&weight->memory, weight->layout, engine, (void *)packed) != dnnl_success ||
      !accepts(weight, 1) || !accepts(weight, typical_rows)) {
    onednn_release(weight);
    return NULL;
  }
  return weight;
}

void onednn_release(onednn_weight *weight) {
  if (!weight) return;
  if (weight->memory) onednn.memory_destroy(weight->memory);
  onednn_free_layout(weight->layout);
  free(weight);
}

// The thread's scratchpad of at least so many bytes; null if there is no memory.
static void *scratchpad(size_t bytes) {
  if (bytes > scratch_bytes) {
    free(scratch);
    scratch_bytes = (bytes + 4095) / 4096 * 4096;
    scratch = aligned_alloc(4096, scratch_bytes);
    if (!scratch) scratch_bytes = 0;
  }
  return scratch;
}

int onednn_multiply_packed(const uint16_t *x, const onednn_weight *weight, float *y, int m) {
  product product;
  int is_kept;
  if (start() != 0 || find(m, weight, &product, &is_kept) != 0) return -1;
  const size_t bytes = onednn.layout_size(product.scratchpad);
  void *room = bytes ? scratchpad(bytes) : NULL;
  dnnl_memory from = NULL, to = NULL, work = NULL;
  int status = -1;
  if ((room || !bytes) && onednn.memory_create(&from, product.x, engine, (void *)x) == dnnl_success &&
      onednn.memory_create(&to, product.y, engine, y) == dnnl_success &&
      onednn.memory_create(&work, product.scratchpad, engine, room) == dnnl_success) {
    const dnnl_argument arguments[] = {
        {dnnl_source, from}, {dnnl_weights, weight->memory}, {dnnl_destination, to}, {dnnl_scratchpad, work}};
    if (onednn.primitive_execute(product.primitive, stream, 4, arguments) == dnnl_success &&
        onednn.stream_wait(stream) == dnnl_success)
      status = 0;
  }
  if (from) onednn.memory_destroy(from);
  if (to) onednn.memory_destroy(to);
  if (work) onednn.memory_destroy(work);
  if (!is_kept) release(&product);
  return status;
}
