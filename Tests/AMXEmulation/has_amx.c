#include "TileEmulation.h"

// In the place of the one in CTensorKernels.
bool ctk_has_amx(void);
bool ctk_has_amx(void) { return can_emulate_tiles(); }
