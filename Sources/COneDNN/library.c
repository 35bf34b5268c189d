#define _GNU_SOURCE
#include "library.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "COneDNN.h"

dnnl_library onednn;

// Version 2's descriptors are structures in the caller's hands, of these sizes in all of its releases.
enum { layout_bytes = 696, operation_bytes = 2800, most_dimensions = 12 };
typedef int64_t dimensions[most_dimensions];

typedef struct {
  int major, minor, patch;
} version;

// What only one of the two versions has.
static int (*strided_2)(void *layout, int count, const dimensions sizes, int type, const dimensions strides);
static int (*tagged_2)(void *layout, int count, const dimensions sizes, int type, int tag);
static int (*product_operation_2)(void *operation, const void *x, const void *w, const void *bias, const void *y);
static int (*describe_2)(dnnl_primitive_desc *, const void *operation, dnnl_attributes, dnnl_engine, const void *hint);
static int (*strided_3)(dnnl_layout **layout, int count, const dimensions sizes, int type, const dimensions strides);
static int (*tagged_3)(dnnl_layout **layout, int count, const dimensions sizes, int type, int tag);
static int (*clone_3)(dnnl_layout **layout, const dnnl_layout *from);
static int (*destroy_3)(dnnl_layout *layout);
static int (*describe_product_3)(dnnl_primitive_desc *, dnnl_engine, const dnnl_layout *x, const dnnl_layout *w,
                                 const dnnl_layout *bias, const dnnl_layout *y, dnnl_attributes);

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static enum { untried, loaded, failed } state;
static char reason[512];

// Null if there is no such library; `reason` then says of a library that is there what is wrong with it.
static void *open_named(const char *name) {
  void *library = dlopen(name, RTLD_NOW | RTLD_LOCAL);
  if (library) return library;
  const char *message = dlerror();
  const int is_absent = strncmp(message, name, strlen(name)) == 0 && strstr(message, "No such file");
  if (!is_absent || !reason[0]) snprintf(reason, sizeof reason, "%s", message);
  return NULL;
}

// Debian names the library of version 3 after its minor release too.
static void *open_library(void) {
  void *library = open_named("libdnnl.so.3");
  for (int minor = 19; !library && minor >= 0; minor--) {
    char name[32];
    snprintf(name, sizeof name, "libdnnl.so.3.%d", minor);
    library = open_named(name);
  }
  if (!library) library = open_named("libdnnl.so.2");
  return library ? library : open_named("libdnnl.so");
}

static int find(void *library, void *function, const char *name) {
  void *found = dlsym(library, name);
  if (!found) snprintf(reason, sizeof reason, "the library has no function %s", name);
  memcpy(function, &found, sizeof found);
  return found ? 0 : -1;
}

static int find_all(void *library) {
  const version *(*get_version)(void);
  if (find(library, &get_version, "dnnl_version") != 0) return -1;
  onednn.major = get_version()->major;
  onednn.minor = get_version()->minor;
  onednn.patch = get_version()->patch;
  if (onednn.major != 2 && onednn.major != 3) {
    snprintf(reason, sizeof reason, "version %d is neither 2 nor 3", onednn.major);
    return -1;
  }
  const struct {
    void *function;
    const char *name;
    int major;  // 0: both
  } functions[] = {
      {&onednn.engine_create, "dnnl_engine_create", 0},
      {&onednn.stream_create, "dnnl_stream_create", 0},
      {&onednn.stream_wait, "dnnl_stream_wait", 0},
      {&onednn.attributes_create, "dnnl_primitive_attr_create", 0},
      {&onednn.attributes_destroy, "dnnl_primitive_attr_destroy", 0},
      {&onednn.set_scratchpad_mode, "dnnl_primitive_attr_set_scratchpad_mode", 0},
      {&onednn.description_destroy, "dnnl_primitive_desc_destroy", 0},
      {&onednn.query_layout, "dnnl_primitive_desc_query_md", 0},
      {&onednn.reorder_describe, "dnnl_reorder_primitive_desc_create", 0},
      {&onednn.primitive_create, "dnnl_primitive_create", 0},
      {&onednn.primitive_execute, "dnnl_primitive_execute", 0},
      {&onednn.primitive_destroy, "dnnl_primitive_destroy", 0},
      {&onednn.memory_create, "dnnl_memory_create", 0},
      {&onednn.memory_destroy, "dnnl_memory_destroy", 0},
      {&onednn.layout_size, "dnnl_memory_desc_get_size", 0},
      {&onednn.effective_isa, "dnnl_get_effective_cpu_isa", 0},
      {&onednn.sgemm, "dnnl_sgemm", 0},
      {&strided_2, "dnnl_memory_desc_init_by_strides", 2},
      {&tagged_2, "dnnl_memory_desc_init_by_tag", 2},
      {&product_operation_2, "dnnl_matmul_desc_init", 2},
      {&describe_2, "dnnl_primitive_desc_create", 2},
      {&strided_3, "dnnl_memory_desc_create_with_strides", 3},
      {&tagged_3, "dnnl_memory_desc_create_with_tag", 3},
      {&clone_3, "dnnl_memory_desc_clone", 3},
      {&destroy_3, "dnnl_memory_desc_destroy", 3},
      {&describe_product_3, "dnnl_matmul_primitive_desc_create", 3},
  };
  for (size_t i = 0; i < sizeof functions / sizeof *functions; i++) {
    if (functions[i].major != 0 && functions[i].major != onednn.major) continue;
    if (find(library, functions[i].function, functions[i].name) != 0) return -1;
  }
  void *set_threads = dlsym(library, "omp_set_num_threads");
  memcpy(&onednn.set_threads, &set_threads, sizeof set_threads);
  return 0;
}

int onednn_load(char *message, int capacity) {
  pthread_mutex_lock(&lock);
  if (state == untried) {
    void *library = open_library();
    state = library && find_all(library) == 0 ? loaded : failed;
  }
  const int is_loaded = state == loaded;
  if (!is_loaded && capacity > 0) snprintf(message, (size_t)capacity, "%s", reason);
  pthread_mutex_unlock(&lock);
  return is_loaded ? 0 : -1;
}

const char *onednn_version(void) {
  static _Thread_local char text[40];
  if (onednn_load(NULL, 0) != 0) return NULL;
  snprintf(text, sizeof text, "%d.%d.%d", onednn.major, onednn.minor, onednn.patch);
  return text;
}

// --- layouts ------------------------------------------------------------------------------------------------------

// Version 2's layouts lie in memory of ours; `make` fills one in.
#define NEW_LAYOUT_2(make) \
  dnnl_layout *layout = calloc(1, layout_bytes); \
  if (layout && make != dnnl_success) { \
    free(layout); \
    layout = NULL; \
  } \
  return layout

dnnl_layout *onednn_strided(int rows, int columns, dnnl_type type, int row_stride, int column_stride) {
  const dimensions sizes = {rows, columns}, strides = {row_stride, column_stride};
  if (onednn.major == 3) {
    dnnl_layout *layout = NULL;
    return strided_3(&layout, 2, sizes, type, strides) == dnnl_success ? layout : NULL;
  }
  NEW_LAYOUT_2(strided_2(layout, 2, sizes, type, strides));
}

dnnl_layout *onednn_any(int rows, int columns, dnnl_type type) {
  enum { any = 1 };
  const dimensions sizes = {rows, columns};
  if (onednn.major == 3) {
    dnnl_layout *layout = NULL;
    return tagged_3(&layout, 2, sizes, type, any) == dnnl_success ? layout : NULL;
  }
  NEW_LAYOUT_2(tagged_2(layout, 2, sizes, type, any));
}

dnnl_layout *onednn_copy_layout(const dnnl_layout *from) {
  if (!from) return NULL;
  if (onednn.major == 3) {
    dnnl_layout *layout = NULL;
    return clone_3(&layout, from) == dnnl_success ? layout : NULL;
  }
  dnnl_layout *layout = malloc(layout_bytes);
  if (layout) memcpy(layout, from, layout_bytes);
  return layout;
}

void onednn_free_layout(dnnl_layout *layout) {
  if (!layout) return;
  if (onednn.major == 3)
    destroy_3(layout);
  else
    free(layout);
}

int onednn_describe_product(dnnl_primitive_desc *description, dnnl_engine engine, const dnnl_layout *x,
                            const dnnl_layout *w, const dnnl_layout *y, dnnl_attributes attributes) {
  if (onednn.major == 3) return describe_product_3(description, engine, x, w, NULL, y, attributes);
  void *operation = calloc(1, operation_bytes);
  if (!operation) return dnnl_out_of_memory;
  int status = product_operation_2(operation, x, w, NULL, y);
  if (status == dnnl_success) status = describe_2(description, operation, attributes, engine, NULL);
  free(operation);
  return status;
}
