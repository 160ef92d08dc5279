# Builds the CPU addon: what `npm ci` and `npm install` run. Sources and flags are in native/sources.gypi,
# which CMakeLists.txt reads, too.
{
  "includes": ["native/sources.gypi"],
  "target_defaults": {
    "cflags!": ["-O2", "-fno-omit-frame-pointer", "-fno-strict-aliasing"],
    "cflags_cc!": ["-std=gnu++17", "-std=gnu++20", "-O2"],
    "cflags_cc": ["<@(tg_flags)"],
    "xcode_settings": {
      "CLANG_CXX_LANGUAGE_STANDARD": "gnu++17",
      "GCC_OPTIMIZATION_LEVEL": "3",
      "OTHER_CPLUSPLUSFLAGS": ["<@(tg_flags)"],
      "MACOSX_DEPLOYMENT_TARGET": "12.0"
    }
  },
  "targets": [
    {
      "target_name": "tapegrad",
      "sources": ["<@(tg_core_sources)", "<@(tg_binding_sources)"],
      "include_dirs": ["<!(node -p \"require('node-addon-api').include_dir\")"],
      "defines": ["<@(tg_defines)"],
      "conditions": [
        ["target_arch=='x64'", { "dependencies": ["tg_baseline", "tg_avx2", "tg_avx512", "tg_avx512bf16"] }],
        ["target_arch=='arm64'", { "dependencies": ["tg_neon"] }],
        ["OS=='linux'", { "ldflags": ["-Wl,-z,nodelete", "-Wl,--exclude-libs,ALL"] }]
      ]
    }
  ],
  "conditions": [
    ["target_arch=='x64'", {
      "targets": [
        { "target_name": "tg_baseline", "type": "static_library", "sources": ["<@(tg_baseline_sources)"] },
        {
          "target_name": "tg_avx2", "type": "static_library", "sources": ["<@(tg_avx2_sources)"],
          "cflags_cc": ["<@(tg_avx2_flags)"], "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(tg_avx2_flags)"] }
        },
        {
          "target_name": "tg_avx512", "type": "static_library", "sources": ["<@(tg_avx512_sources)"],
          "cflags_cc": ["<@(tg_avx512_flags)"], "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(tg_avx512_flags)"] }
        },
        {
          "target_name": "tg_avx512bf16", "type": "static_library", "sources": ["<@(tg_avx512bf16_sources)"],
          "cflags_cc": ["<@(tg_avx512bf16_flags)"], "xcode_settings": { "OTHER_CPLUSPLUSFLAGS": ["<@(tg_avx512bf16_flags)"] }
        }
      ]
    }],
    ["target_arch=='arm64'", {
      "targets": [{ "target_name": "tg_neon", "type": "static_library", "sources": ["<@(tg_neon_sources)"] }]
    }]
  ]
}
