{
  "variables": {
    "tg_core_sources": [
      "native/core/attrs.cpp",
      "native/core/engine.cpp",
      "native/core/engine_shared.cpp",
      "native/core/engine_update.cpp",
      "native/core/infer.cpp",
      "native/core/infer_matrix.cpp",
      "native/core/infer_shape.cpp",
      "native/core/op.cpp",
      "native/core/shape.cpp",
      "native/core/shared_memory.cpp",
      "native/core/storage.cpp",
      "native/core/tensor_table.cpp",
      "native/core/thread_pool.cpp",
      "native/cpu/backend.cpp",
      "native/cpu/copy.cpp",
      "native/cpu/elementwise.cpp",
      "native/cpu/cpu_features.cpp",
      "native/cpu/gemm.cpp",
      "native/cpu/matmul.cpp",
      "native/cpu/optimizers.cpp",
      "native/cpu/random.cpp",
      "native/cpu/reduce.cpp",
      "native/cpu/reduce_plan.cpp",
      "native/cpu/shape_ops.cpp",
      "native/cpu/softmax.cpp"
    ],
    "tg_binding_sources": [
      "native/binding/addon.cpp",
      "native/binding/arguments.cpp",
      "native/binding/environment.cpp",
      "native/binding/run.cpp",
      "native/binding/state.cpp",
      "native/binding/tensors.cpp"
    ],
    "tg_baseline_sources": ["native/cpu/isa/baseline.cpp"],
    "tg_avx2_sources": ["native/cpu/isa/avx2.cpp"],
    "tg_avx512_sources": ["native/cpu/isa/avx512.cpp"],
    "tg_neon_sources": ["native/cpu/isa/neon.cpp"],
    "tg_flags": ["-std=gnu++17", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-exceptions", "-fno-rtti", "-fvisibility=hidden", "-Wall", "-Wextra"],
    "tg_lint_flags": ["-Wshadow", "-Werror"],
    "tg_avx2_flags": ["-mavx2", "-mfma"],
    "tg_avx512_flags": ["-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mavx2", "-mfma", "-mprefer-vector-width=512"],
    "tg_gcc_flags": ["-Wno-maybe-uninitialized"],
    "tg_defines": ["NAPI_VERSION=9", "NAPI_DISABLE_CPP_EXCEPTIONS", "NODE_API_SWALLOW_UNTHROWABLE_EXCEPTIONS"]
  }
}
