// Products of float32 whose factors are rounded to tf32 on their way to the tensor cores: the
// kernels of gemm_mma.cuh.
#include "gemm_mma.cuh"

namespace tg::cuda {

template Status mma::run<float>(ExecContext*, const GemmCall&);

}  // namespace tg::cuda
