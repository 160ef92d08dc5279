// The emulated CUDA device: a stand-in for the toolkit's header of this name, put first on the
// include path, with which g++ compiles the .cu sources so that they run on the host. Test
// equipment: it is slow, strict, and ends the process where hardware would hang or go wrong.
#pragma once

#include "language.h"
#include "execution.h"
#include "atomics.h"
#include "warp.h"
#include "intrinsics.h"
#include "runtime.h"
#include "stream.h"
#include "launch.h"
