// Elementary functions on V<float> and V<double>: exp, expm1, log, log1p, softplus, tanh, sigmoid,
// erf, sin, cos, pow, rsqrt, sign, floor, round_even. Includes only its three parts and vec.h; no
// libm header, no project header.
//
// Bounds on the error in ULP, which native/test/math_test.cpp checks; they hold for every finite
// argument and every instruction set, with FMA or without:
//
//              float  double                float  double                float  double
//   exp          1      1       tanh         1.5    3        rsqrt        1.5    1.5
//   expm1        1.5    1.5     sigmoid      2.5    2.5      floor        0      0
//   log          1      1       softplus     2      2        round_even   0      0
//   log1p        1      1       erf          1.5    1.5      sign         0      0
//   sin, cos     1.5    1       pow          0.51   1
//
// Instruction sets with FMA (AVX2, AVX-512, NEON) give the same bits; x86-64 without it rounds
// products and so differs in the last places. Two cases leave the vector code for libm, one lane
// at a time, and take libm's accuracy and bits: pow of doubles always; sin and cos where
// |x| > 2^20. Where |x| > 2^14 in any lane, sin and cos of floats are taken in double for those
// lanes. Everything else is free of branches.
//
// Special values are exact in every lane: ±0, denormals, ±infinity and NaN in; overflow to infinity
// and gradual underflow to 0 out. errno is never set, and no lane depends on its neighbours.
#pragma once

#include "math_common.h"
#include "math_f32.h"
#include "math_f64.h"
