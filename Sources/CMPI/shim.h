// What Swift cannot import from <mpi.h>. This is not an interface of its own: everything else of MPI is
// called by its own name, and only the target `Collectives` imports this module.
//
// Open MPI defines its predefined handles as macros that cast the address of a global struct of unknown
// layout, e.g. `#define MPI_COMM_WORLD ((MPI_Comm) ((void *) &(ompi_mpi_comm_world)))`. Swift imports macros
// only if they are literals, so each handle needs a function that evaluates the macro.
#ifndef PEFT_DIST_CMPI_SHIM_H
#define PEFT_DIST_CMPI_SHIM_H

#include <mpi.h>

// The communicator of all ranks: a cast macro.
static inline MPI_Comm cmpi_comm_world(void) { return MPI_COMM_WORLD; }

// "No request": a cast macro; what a request variable holds before and after its operation.
static inline MPI_Request cmpi_request_null(void) { return MPI_REQUEST_NULL; }

// "No hints", an argument of MPI_Comm_split_type: a cast macro.
static inline MPI_Info cmpi_info_null(void) { return MPI_INFO_NULL; }

// The error handler that makes MPI return codes where it would end the process: a cast macro.
static inline MPI_Errhandler cmpi_errors_return(void) { return MPI_ERRORS_RETURN; }

// "The receive buffer is the send buffer too": an integer cast to a pointer.
static inline const void *cmpi_in_place(void) { return MPI_IN_PLACE; }

// "I do not want the status": a null pointer with a cast.
static inline MPI_Status *cmpi_status_ignore(void) { return MPI_STATUS_IGNORE; }

// Element types: cast macros.
static inline MPI_Datatype cmpi_byte(void) { return MPI_BYTE; }
static inline MPI_Datatype cmpi_int64(void) { return MPI_INT64_T; }
static inline MPI_Datatype cmpi_double(void) { return MPI_DOUBLE; }

// Reduction operations: cast macros.
static inline MPI_Op cmpi_sum(void) { return MPI_SUM; }
static inline MPI_Op cmpi_max(void) { return MPI_MAX; }
static inline MPI_Op cmpi_min(void) { return MPI_MIN; }
static inline MPI_Op cmpi_bitwise_or(void) { return MPI_BOR; }

// Buffer sizes: macros that name other macros, which Swift follows or not depending on the MPI.
static inline int cmpi_max_error_string(void) { return MPI_MAX_ERROR_STRING; }
static inline int cmpi_max_processor_name(void) { return MPI_MAX_PROCESSOR_NAME; }

static inline int cmpi_max_library_version(void) { return MPI_MAX_LIBRARY_VERSION_STRING; }

// Constants that are an anonymous enum in Open MPI and macros in MPICH: one type for both.
static inline int cmpi_thread_funneled(void) { return MPI_THREAD_FUNNELED; }
static inline int cmpi_comm_type_shared(void) { return MPI_COMM_TYPE_SHARED; }

#endif
