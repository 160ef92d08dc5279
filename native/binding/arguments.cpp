#include "arguments.h"

namespace tg::binding {

namespace {
bool refuse(napi_env env, const char* message) {
  napi_throw_type_error(env, "TG_TYPE", message);
  return false;
}
}  // namespace

bool Arguments::number(size_t i, double* out) const {
  return napi_get_value_double(env, value[i], out) == napi_ok ||
         refuse(env, "tapegrad: a native argument must be a number");
}

bool Arguments::integer(size_t i, int64_t low, int64_t high, int64_t* out) const {
  double d;
  if (!number(i, &d)) return false;
  if (!(d >= static_cast<double>(low) && d <= static_cast<double>(high)))
    return refuse(env, "tapegrad: a native argument is out of range");
  *out = static_cast<int64_t>(d);
  return true;
}

bool Arguments::bytes(size_t i, napi_typedarray_type* type, void** data, size_t* length,
                      size_t* byte_length) const {
  bool is_array = false;
  napi_is_typedarray(env, value[i], &is_array);
  napi_value buffer;
  size_t offset;
  if (!is_array ||
      napi_get_typedarray_info(env, value[i], type, length, data, &buffer, &offset) != napi_ok)
    return refuse(env, "tapegrad: a native argument must be a typed array");
  // Newer versions of Node know more kinds (float16).
  static constexpr size_t kSizes[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8};
  if (static_cast<size_t>(*type) >= sizeof kSizes / sizeof *kSizes)
    return refuse(env, "tapegrad: a native argument is a typed array of an unknown kind");
  *byte_length = *length * kSizes[*type];
  return true;
}

bool Arguments::doubles(size_t i, const double** data, size_t* length) const {
  napi_typedarray_type type;
  void* memory;
  size_t byte_length;
  if (!bytes(i, &type, &memory, length, &byte_length)) return false;
  if (type != napi_float64_array || (!memory && *length))
    return refuse(env, "tapegrad: a native argument must be a Float64Array");
  *data = static_cast<const double*>(memory);
  return true;
}

bool Arguments::room(size_t i, double** data, size_t* length) const {
  const double* memory;
  if (!doubles(i, &memory, length)) return false;
  *data = const_cast<double*>(memory);
  return true;
}

napi_value undefined(napi_env env) {
  napi_value v;
  napi_get_undefined(env, &v);
  return v;
}

napi_value make_number(napi_env env, double value) {
  napi_value v;
  napi_create_double(env, value, &v);
  return v;
}

napi_value make_string(napi_env env, const char* text) {
  napi_value v;
  napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &v);
  return v;
}

}  // namespace tg::binding
