// CUDA as a backend: the table of functions over the device that ExecContext names.
#pragma once

#include "../core/backend.h"

namespace tg::cuda {

extern const Backend kBackend;

}  // namespace tg::cuda
