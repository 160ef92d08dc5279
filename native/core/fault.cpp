#include "fault.h"

#include <cstring>

namespace tg {

FaultSource::FaultSource(const OpCall& call) : op(call.op), axis(call.attrs.axis) {
  switch (op) {
    case op_indexSelect:
      size = call.in[0].shape[axis];
      break;
    case op_indexAdd:
      size = call.out.shape[axis];
      break;
    case op_crossEntropy:
      size = call.in[0].shape[1];
      probabilities = call.in[1].dtype != DType::int32;
      break;
    default:  // its gradient
      size = call.in[1].shape[1];
  }
}

bool FaultSource::checks(Op op) {
  return op == op_indexSelect || op == op_indexAdd || op == op_crossEntropy ||
         op == op_crossEntropyBackward;
}

Status FaultSource::describe(Error* error, uint64_t note, const char* ending) const {
  const long long position = static_cast<long long>(~note >> 32), n = size;
  const char* const more = position == 0xFFFFFFFE ? " or a later one" : "";
  const uint32_t bits = static_cast<uint32_t>(~note);
  if (probabilities) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return error->set(Status::range_error,
                      "crossEntropy: target[%lld, %lld]%s is %.6g, no probability%s", position / n,
                      position % n, more, static_cast<double>(value), ending);
  }
  const int value = static_cast<int32_t>(bits);
  if (op == op_indexSelect || op == op_indexAdd)
    return error->set(Status::range_error, "%s: index[%lld]%s is %d, but axis %d has size %lld%s",
                      name_of(op), position, more, value, axis, n, ending);
  return error->set(Status::range_error,
                    "crossEntropy: target[%lld]%s is %d, but there are %lld classes%s", position,
                    more, value, n, ending);
}

}  // namespace tg
