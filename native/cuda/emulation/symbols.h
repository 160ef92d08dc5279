// What the symbol table of the module says about kernels and their __shared__ variables.
#pragma once

#include <stddef.h>

#include <string>

namespace tg::emulation {

// The name of the function there, for people; "a kernel" if the module has no symbols.
std::string symbol_at(const void* function);

// Whether the bytes lie in __shared__ variables; true for all if the module has no symbols.
bool in_shared_array(const void* address, size_t bytes);
// From an address in such a variable to a number, and back.
size_t offset_of_shared_array(const void* address);
void* shared_array_at(size_t offset);

}  // namespace tg::emulation
