// Kernels for AArch64 NEON. Built with the flags named in native/sources.gypi.
#define TG_ISA neon
#include "../kernels/all.h"
