// All kernels for one instruction set, and their table. Included by a level_*.c, which sets LANES and LEVEL_TABLE.
#include "vector.h"

#include "functions.h"

#include "elements.h"

#include "sums.h"

#include "norms.h"
#include "projection.h"
#include "quantized.h"
#include "rotary.h"

#if HAS_AMX
#include "amx.h"
#else
// Only tiles have a state to set up.
INLINE void begin_tiles(void) {}
INLINE void end_tiles(void) {}
#endif
#include "products.h"

#include "attention_mask.h"

#include "attention.h"

#include "attention_backward.h"

#include "training.h"

#define KERNEL_ENTRY(name, parameters, arguments) .name = level_##name,
const kernels LEVEL_TABLE = {EACH_KERNEL(KERNEL_ENTRY)};
