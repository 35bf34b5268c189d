// What the C library hides from Swift.
#define _GNU_SOURCE
#include <fcntl.h>

#include "CKernels.h"

int file_range_to_disk(int descriptor, long start, long count) {
  return sync_file_range(
      descriptor, start, count,
      SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}
