// What crosses between the core and `libBridgeMPI.so`, which is loaded when a run has more than one rank: the ranks of
// the MPI world, shared memory windows and messages. Sources/BridgeMPI has the functions.
#ifndef BRIDGE_MPI_H
#define BRIDGE_MPI_H

#include <stddef.h>

#define BRIDGE_MPI_VERSION 4

// A group of ranks: an MPI communicator.
typedef struct bridge_mpi_group bridge_mpi_group;
// A communication that was started and not yet completed.
typedef struct bridge_mpi_request bridge_mpi_request;

// The functions of the library, which exports `const bridge_mpi_functions *bridge_mpi(void)`. Those that return int
// return 0, or an error of MPI whose text `error` writes. All but `start` and `finish` may be called from any thread.
typedef struct bridge_mpi_functions {
    int version;
    // Joins the world; a program that no launcher started is a world of one.
    int (*start)(void);
    // Leaves the world after all ranks have called it.
    void (*finish)(void);
    // Ends all ranks of the world; `status` is the exit status of the launcher.
    void (*abort)(int status);
    int (*rank)(void);
    int (*size)(void);
    void (*error)(int code, char *text, size_t count);

    // The group of some ranks of the world, in that order. All of them call it, and no other; `tag` differs between
    // groups that are created at the same time.
    int (*create_group)(const int *ranks, int count, int tag, bridge_mpi_group **group);
    // For each rank of a group the first rank on its host, whose memory they share.
    int (*hosts)(bridge_mpi_group *group, int *first);
    // Memory of `bytes` for each rank of a group on one host, which all its ranks see; it lives as long as the group.
    int (*share)(bridge_mpi_group *group, size_t bytes, void **bases);

    // Each rank gives `bytes`, and gets those of all, one after the other.
    int (*all_gather)(bridge_mpi_group *group, const void *given, void *taken, size_t bytes, bridge_mpi_request **request);
    // Each rank gives `given_counts[r]` bytes from `given_offsets[r]` on to each rank r, and gets those for itself from all,
    // `taken_count` from each, one after the other.
    int (*exchange)(
        bridge_mpi_group *group, const void *given, const int *given_counts, const int *given_offsets, void *taken,
        size_t taken_count, bridge_mpi_request **request
    );
    // Each rank gets the bytes of one, in place.
    int (*broadcast)(bridge_mpi_group *group, int root, void *bytes, size_t count, bridge_mpi_request **request);
    int (*send)(bridge_mpi_group *group, int to, int tag, const void *given, size_t bytes, bridge_mpi_request **request);
    int (*receive)(bridge_mpi_group *group, int from, int tag, void *taken, size_t bytes, bridge_mpi_request **request);
    // Whether a request is complete; it is freed then. Does not wait.
    int (*test)(bridge_mpi_request *request, int *done);
} bridge_mpi_functions;

typedef const bridge_mpi_functions *(*bridge_mpi_entry)(void);

#endif
