// What this machine's CPU and operating system offer. Built without any instruction-set flag.
#pragma once

namespace tg::cpu {

// "avx512bf16", "avx512", "avx2", "baseline" or "neon"; false for any other name.
bool has_isa(const char* name);

}  // namespace tg::cpu
