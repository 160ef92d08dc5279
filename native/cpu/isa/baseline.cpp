// Kernels for x86-64 as every such CPU has it: SSE2. Built with the flags named in
// native/sources.gypi.
#define TG_ISA baseline
#include "../kernels/all.h"
