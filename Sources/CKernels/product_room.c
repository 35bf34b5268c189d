// Room of each thread for the operands of its products: grows to the largest product, lives as long as the thread.
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "kernel_sets.h"

static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static _Thread_local struct {
  float *start;
  size_t count;
} room;

static void make_key(void) { pthread_key_create(&key, free); }

float *kernels_room(size_t count) {
  if (count <= room.count) return room.start;
  pthread_once(&once, make_key);
  free(room.start);
  room.count = 0;
  const size_t bytes = (count * sizeof(float) + 4095) / 4096 * 4096;
  room.start = aligned_alloc(4096, bytes);
  pthread_setspecific(key, room.start);
  if (!room.start) {
    fprintf(stderr, "peft-dist: not enough memory: %zu bytes for a thread's matrix products\n", bytes);
    _exit(1);
  }
  room.count = count;
  return room.start;
}
