// What every processor can do.
#define LANES 4
#define HAS_BF16_DOT 0
#define HAS_VNNI 0
#define HAS_AMX 0
#define LEVEL_TABLE kernels_portable
#include "level.h"
