#include "BridgeMPI.h"

#include <mpi.h>
#include <stdlib.h>
#include <string.h>

struct bridge_mpi_group {
    MPI_Comm communicator;
    MPI_Win window;
};

struct bridge_mpi_request {
    MPI_Request request;
    // Counts and offsets that MPI reads until the request is complete.
    int *numbers;
};

static int start(void) {
    int provided = 0;
    int status = MPI_Init_thread(NULL, NULL, MPI_THREAD_MULTIPLE, &provided);
    if (status != MPI_SUCCESS) return status;
    if (provided < MPI_THREAD_MULTIPLE) return MPI_ERR_UNSUPPORTED_OPERATION;
    return MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
}

static void finish(void) {
    int done = 0;
    if (MPI_Finalized(&done) == MPI_SUCCESS && !done) MPI_Finalize();
}

static void abort_world(int status) { MPI_Abort(MPI_COMM_WORLD, status); }

static int world_rank(void) {
    int rank = 0;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
}

static int world_size(void) {
    int size = 1;
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    return size;
}

static void error_text(int code, char *text, size_t count) {
    char message[MPI_MAX_ERROR_STRING];
    int length = 0;
    if (count == 0) return;
    if (MPI_Error_string(code, message, &length) != MPI_SUCCESS) message[0] = 0;
    strncpy(text, message, count - 1);
    text[count - 1] = 0;
}

static int create_group(const int *ranks, int count, int tag, bridge_mpi_group **group) {
    MPI_Group world, members;
    int status = MPI_Comm_group(MPI_COMM_WORLD, &world);
    if (status != MPI_SUCCESS) return status;
    status = MPI_Group_incl(world, count, ranks, &members);
    MPI_Group_free(&world);
    if (status != MPI_SUCCESS) return status;
    MPI_Comm communicator = MPI_COMM_NULL;
    status = MPI_Comm_create_group(MPI_COMM_WORLD, members, tag, &communicator);
    MPI_Group_free(&members);
    if (status != MPI_SUCCESS) return status;
    status = MPI_Comm_set_errhandler(communicator, MPI_ERRORS_RETURN);
    bridge_mpi_group *made = status == MPI_SUCCESS ? malloc(sizeof *made) : NULL;
    if (!made) return status == MPI_SUCCESS ? MPI_ERR_NO_MEM : status;
    made->communicator = communicator;
    made->window = MPI_WIN_NULL;
    *group = made;
    return MPI_SUCCESS;
}

static int hosts(bridge_mpi_group *group, int *first) {
    MPI_Comm host;
    int status = MPI_Comm_split_type(group->communicator, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &host);
    if (status != MPI_SUCCESS) return status;
    int own = 0, least = 0;
    MPI_Comm_rank(group->communicator, &own);
    status = MPI_Allreduce(&own, &least, 1, MPI_INT, MPI_MIN, host);
    MPI_Comm_free(&host);
    if (status != MPI_SUCCESS) return status;
    return MPI_Allgather(&least, 1, MPI_INT, first, 1, MPI_INT, group->communicator);
}

static int share(bridge_mpi_group *group, size_t bytes, void **bases) {
    void *own = NULL;
    int status = MPI_Win_allocate_shared((MPI_Aint)bytes, 1, MPI_INFO_NULL, group->communicator, &own, &group->window);
    if (status != MPI_SUCCESS) return status;
    int size = 0;
    MPI_Comm_size(group->communicator, &size);
    for (int rank = 0; rank < size; rank++) {
        MPI_Aint length = 0;
        int unit = 0;
        status = MPI_Win_shared_query(group->window, rank, &length, &unit, &bases[rank]);
        if (status != MPI_SUCCESS) return status;
    }
    // No rank may write before every rank has cleared its part.
    memset(own, 0, bytes < 4096 ? bytes : 4096);
    return MPI_Barrier(group->communicator);
}

static bridge_mpi_request *begin(void) { return calloc(1, sizeof(bridge_mpi_request)); }

static int begun(int status, bridge_mpi_request *made, bridge_mpi_request **request) {
    if (status != MPI_SUCCESS) {
        free(made->numbers);
        free(made);
        return status;
    }
    *request = made;
    return MPI_SUCCESS;
}

static int all_gather(
    bridge_mpi_group *group, const void *given, void *taken, size_t bytes, bridge_mpi_request **request
) {
    bridge_mpi_request *made = begin();
    if (!made) return MPI_ERR_NO_MEM;
    int status = MPI_Iallgather(
        given, (int)bytes, MPI_BYTE, taken, (int)bytes, MPI_BYTE, group->communicator, &made->request
    );
    return begun(status, made, request);
}

static int exchange(
    bridge_mpi_group *group, const void *given, const int *given_counts, const int *given_offsets, void *taken,
    size_t taken_count, bridge_mpi_request **request
) {
    int size = 0;
    MPI_Comm_size(group->communicator, &size);
    bridge_mpi_request *made = begin();
    if (!made) return MPI_ERR_NO_MEM;
    made->numbers = malloc(4 * sizeof(int) * (size_t)size);
    if (!made->numbers) return begun(MPI_ERR_NO_MEM, made, request);
    int *counts = made->numbers, *offsets = counts + size, *taken_counts = offsets + size, *taken_offsets = taken_counts + size;
    for (int rank = 0; rank < size; rank++) {
        counts[rank] = given_counts[rank];
        offsets[rank] = given_offsets[rank];
        taken_counts[rank] = (int)taken_count;
        taken_offsets[rank] = (int)(taken_count * (size_t)rank);
    }
    int status = MPI_Ialltoallv(
        given, counts, offsets, MPI_BYTE, taken, taken_counts, taken_offsets, MPI_BYTE, group->communicator, &made->request
    );
    return begun(status, made, request);
}

static int broadcast(bridge_mpi_group *group, int root, void *bytes, size_t count, bridge_mpi_request **request) {
    bridge_mpi_request *made = begin();
    if (!made) return MPI_ERR_NO_MEM;
    int status = MPI_Ibcast(bytes, (int)count, MPI_BYTE, root, group->communicator, &made->request);
    return begun(status, made, request);
}

static int send(
    bridge_mpi_group *group, int to, int tag, const void *given, size_t bytes, bridge_mpi_request **request
) {
    bridge_mpi_request *made = begin();
    if (!made) return MPI_ERR_NO_MEM;
    int status = MPI_Isend(given, (int)bytes, MPI_BYTE, to, tag, group->communicator, &made->request);
    return begun(status, made, request);
}

static int receive(
    bridge_mpi_group *group, int from, int tag, void *taken, size_t bytes, bridge_mpi_request **request
) {
    bridge_mpi_request *made = begin();
    if (!made) return MPI_ERR_NO_MEM;
    int status = MPI_Irecv(taken, (int)bytes, MPI_BYTE, from, tag, group->communicator, &made->request);
    return begun(status, made, request);
}

static int test(bridge_mpi_request *request, int *done) {
    int status = MPI_Test(&request->request, done, MPI_STATUS_IGNORE);
    if (status == MPI_SUCCESS && *done) {
        free(request->numbers);
        free(request);
    }
    return status;
}

const bridge_mpi_functions *bridge_mpi(void) {
    static const bridge_mpi_functions functions = {
        .version = BRIDGE_MPI_VERSION,
        .start = start,
        .finish = finish,
        .abort = abort_world,
        .rank = world_rank,
        .size = world_size,
        .error = error_text,
        .create_group = create_group,
        .hosts = hosts,
        .share = share,
        .all_gather = all_gather,
        .exchange = exchange,
        .broadcast = broadcast,
        .send = send,
        .receive = receive,
        .test = test,
    };
    return &functions;
}
