// The rules of cast, for one element. The same on every device.
#pragma once

#include <type_traits>

#include "bfloat16.h"

namespace tg {

// Calls f with a zero of the element type; bool is stored as uint8_t.
template <class F>
TG_DEVICE_TOO auto with_type(DType dtype, F&& f) {
  switch (dtype) {
    case DType::float32:
      return f(float{});
    case DType::float64:
      return f(double{});
    case DType::int32:
      return f(int32_t{});
    case DType::boolean:
      return f(uint8_t{});
    case DType::bfloat16:
      break;
  }
  return f(BFloat16{});
}

// Float to int32 rounds toward zero, saturates, and makes NaN 0; anything to bool is x != 0, so NaN
// is true; narrower floats and int32 to float round once, to nearest even. Comparisons come first:
// converting a float that int32 cannot hold is undefined.
template <class To, class From>
TG_DEVICE_TOO inline To convert(From x) {
  if constexpr (std::is_same_v<From, BFloat16>) {
    return convert<To>(to_float(x));
  } else if constexpr (std::is_same_v<To, BFloat16> && std::is_same_v<From, float>) {
    return to_bfloat16(x);
  } else if constexpr (std::is_same_v<To, BFloat16>) {
    return to_bfloat16(convert<double>(x));
  } else if constexpr (sizeof(To) == 1) {
    return x != 0;
  } else if constexpr (sizeof(From) == 1) {
    return x != 0 ? To{1} : To{0};
  } else if constexpr (static_cast<To>(0.5) == 0 && static_cast<From>(0.5) != 0) {
    const From low = -2147483648.0, past = 2147483648.0;
    const To inside = static_cast<To>(x >= low && x < past ? x : From{0});
    return x >= past ? INT32_MAX : x < low ? INT32_MIN : inside;
  } else {
    return static_cast<To>(x);
  }
}

}  // namespace tg
