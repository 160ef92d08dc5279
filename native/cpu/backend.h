// The CPU as a backend: kernels chosen for this machine at load.
#pragma once

#include "../core/backend.h"

namespace tg::cpu {

// The backend of the best instruction set that CPU and operating system offer, or of the one named
// by `isa` (null: the best). Fails if `isa` is unknown or cannot run here. Results live for ever.
Status choose_backend(const char* isa, Error* error, const Backend** result, const char** chosen);

// Names of the instruction sets that can run here, best first, separated by spaces.
constexpr size_t kIsaText = 128;
const char* available_isas(char (&buffer)[kIsaText]);

}  // namespace tg::cpu
