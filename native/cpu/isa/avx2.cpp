// Kernels for AVX2 with FMA. Built with the flags named in native/sources.gypi.
#define TG_ISA avx2
#include "../kernels/all.h"
