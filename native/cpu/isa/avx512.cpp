// Kernels for AVX-512 F, BW, DQ, VL. Built with the flags named in native/sources.gypi.
#define TG_ISA avx512
#include "../kernels/all.h"
