// The bfloat16 matrix product for AVX512-BF16, which joins the kernels of avx512.cpp where the CPU
// has it. Built with the flags named in native/sources.gypi.
#define TG_ISA avx512bf16
#include "../kernels/gemm_bf16.h"

extern "C" {
extern const tg::cpu::GemmBf16Table tg_kernels_avx512bf16;
const tg::cpu::GemmBf16Table tg_kernels_avx512bf16 = {
    avx512bf16::kTileRows, avx512bf16::kPanelVectors* avx512bf16::kLanes,
    avx512bf16::kLanes,    1024,
    avx512bf16::strip,     avx512bf16::vector,
    avx512bf16::pack};
}
