// What only the very beginning of the process can tell, and how its threads round.
#include <immintrin.h>
#include <signal.h>

#include "CKernels.h"

static int ignores_hangup;

// Before the constructors of shared libraries: UCX, which Open MPI 5 brings, takes SIGHUP for itself in one.
static void look_at_signals(void) {
  struct sigaction former;
  ignores_hangup = sigaction(SIGHUP, 0, &former) == 0 && former.sa_handler == SIG_IGN;
}

__attribute__((section(".preinit_array"), used)) static void (*const at_start)(void) = look_at_signals;

int process_ignored_hangup(void) { return ignores_hangup; }

void set_rounding(unsigned control) { _mm_setcsr(control); }
