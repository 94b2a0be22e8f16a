#include <cblas.h>
#include <stddef.h>

/* Eigenvalues and eigenvectors of a symmetric matrix, of LAPACK, which is part of OpenBLAS's library and not of its header.
   The three last arguments are the lengths of the first three, as Fortran passes them. */
void dsyevr_(
    const char *jobz, const char *range, const char *uplo, const blasint *n, double *a, const blasint *lda,
    const double *vl, const double *vu, const blasint *il, const blasint *iu, const double *abstol, blasint *m, double *w,
    double *z, const blasint *ldz, blasint *isuppz, double *work, const blasint *lwork, blasint *iwork,
    const blasint *liwork, blasint *info, size_t, size_t, size_t
);
