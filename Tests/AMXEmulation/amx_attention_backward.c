#if defined(__x86_64__)
#include "emulated_instructions.h"
#endif

#include "../../Sources/BridgeCore/CTensorKernels/amx_attention_backward.c"
