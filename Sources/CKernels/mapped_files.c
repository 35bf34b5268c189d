// Says which mapped file became shorter while it was read: the system answers such a read with SIGBUS.
#define _GNU_SOURCE
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "CKernels.h"

// Written under a lock of the caller, read in the handler: an entry counts from the moment its size is set.
static struct {
  const char *start;
  _Atomic(size_t) size;
  char path[512];
} mappings[1024];

static void say(const char *text) {
  if (write(STDERR_FILENO, text, strlen(text)) < 0) return;
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
  (void)context;
  const char *place = info->si_addr;
  for (size_t index = 0; index < sizeof mappings / sizeof *mappings; index++) {
    size_t size = atomic_load(&mappings[index].size);
    if (size == 0 || place < mappings[index].start || place >= mappings[index].start + size) continue;
    say("peft-dist: error: the file ");
    say(mappings[index].path);
    say(" has become shorter, or its disk cannot be read any more, while it was in use; nothing after the last checkpoint is "
        "saved. Replace files by renaming others over them, and go on with --resume\n");
    _exit(1);
  }
  signal(number, SIG_DFL);
  raise(number);
}

void mapped_file_begin(const void *start, long size, const char *path) {
  static atomic_flag is_installed = ATOMIC_FLAG_INIT;
  if (!atomic_flag_test_and_set(&is_installed)) {
    struct sigaction action = {0};
    action.sa_sigaction = on_bus_error;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, NULL);
  }
  for (size_t index = 0; index < sizeof mappings / sizeof *mappings; index++) {
    if (atomic_load(&mappings[index].size) != 0) continue;
    mappings[index].start = start;
    strncpy(mappings[index].path, path, sizeof mappings[index].path - 1);
    atomic_store(&mappings[index].size, (size_t)size);
    return;
  }
}

void mapped_file_end(const void *start) {
  for (size_t index = 0; index < sizeof mappings / sizeof *mappings; index++) {
    if (mappings[index].start == start && atomic_load(&mappings[index].size) != 0) atomic_store(&mappings[index].size, 0);
  }
}
