// The entry of the library; what it gives is in CMPI.h.
#ifndef BRIDGE_MPI_ENTRY_H
#define BRIDGE_MPI_ENTRY_H

#include "CMPI.h"

const bridge_mpi_functions *bridge_mpi(void);

#endif
