// Reads JavaScript arguments and doubts all of them: TypeScript checks for people, this checks for
// the process.
#pragma once

#include "environment.h"

namespace tg::binding {

// Up to kMax arguments of a call, missing ones undefined.
struct Arguments {
  static constexpr size_t kMax = 10;
  napi_env env;
  size_t count = kMax;
  napi_value value[kMax];

  Arguments(napi_env e, napi_callback_info info) : env(e) {
    napi_get_cb_info(e, info, &count, value, nullptr, nullptr);
    if (count > kMax) count = kMax;
  }
  // Each throws a TypeError and returns false if the argument is of another kind.
  bool number(size_t i, double* out) const;
  bool integer(size_t i, int64_t low, int64_t high, int64_t* out) const;
  // A Float64Array's elements; valid until control returns to JavaScript.
  bool doubles(size_t i, const double** data, size_t* length) const;
  // As doubles, to be written to.
  bool room(size_t i, double** data, size_t* length) const;
  // Any typed array or DataView-free buffer view: its bytes.
  bool bytes(size_t i, napi_typedarray_type* type, void** data, size_t* length,
             size_t* byte_length) const;
};

napi_value undefined(napi_env env);
napi_value make_number(napi_env env, double value);
napi_value make_string(napi_env env, const char* text);

}  // namespace tg::binding
