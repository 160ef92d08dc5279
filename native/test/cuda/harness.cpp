#include "harness.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

namespace tg::test {

namespace {

int64_t offset(const TensorView& view, int64_t i) {
  int64_t sum = 0;
  for (int k = view.shape.ndim - 1; k >= 0; --k) {
    sum += i % view.shape[k] * view.strides[k];
    i /= view.shape[k];
  }
  return sum;
}

float widened(uint16_t bits) {
  const uint32_t wide = static_cast<uint32_t>(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return value;
}
uint16_t rounded(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  return static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// A pattern that is NaN in every float dtype, and unlikely in the others.
constexpr unsigned char kPoison = 0xff;

}  // namespace

double Value::number(int64_t i) const {
  const int64_t at = offset(view, i);
  switch (view.dtype) {
    case DType::float32:
      return static_cast<const float*>(view.data)[at];
    case DType::float64:
      return static_cast<const double*>(view.data)[at];
    case DType::int32:
      return static_cast<const int32_t*>(view.data)[at];
    case DType::boolean:
      return static_cast<const uint8_t*>(view.data)[at];
    case DType::bfloat16:
      return static_cast<double>(widened(static_cast<const uint16_t*>(view.data)[at]));
  }
  return NAN;
}

void Value::set(int64_t i, double value) {
  const int64_t at = offset(view, i);
  switch (view.dtype) {
    case DType::float32:
      static_cast<float*>(view.data)[at] = static_cast<float>(value);
      break;
    case DType::float64:
      static_cast<double*>(view.data)[at] = value;
      break;
    case DType::int32:
      static_cast<int32_t*>(view.data)[at] = static_cast<int32_t>(value);
      break;
    case DType::boolean:
      static_cast<uint8_t*>(view.data)[at] = value != 0;
      break;
    case DType::bfloat16:
      static_cast<uint16_t*>(view.data)[at] = rounded(static_cast<float>(value));
      break;
  }
}

Tolerance ulps(double count, DType computed) {
  const double unit = computed == DType::float64 ? 0x1p-52 : 0x1p-23;
  return {count * unit, count * (computed == DType::float64 ? 1e-300 : 1.2e-38)};
}

Shape shape_of(std::initializer_list<int64_t> sizes) {
  Shape shape;
  for (const int64_t size : sizes) shape.push(size);
  return shape;
}

Harness::Harness(const DeviceLibrary& l, Device* d, const Backend& c, const char* filter,
                 bool small)
    : library(l), device(d), cpu_backend(c), filter_(filter), small_(small) {
  for (int i = 0; i < 2; ++i) owners_[i] = {{this, i == 1, nullptr, 0}, {this, i == 1, nullptr, 0}};
  cpu = {&threads_, &error, scratch, &owners_[0], {"", "", "", ""}, operands};
  cuda = cpu;
  cuda.owner = &owners_[1];
  cuda.device = device;
  notes_ = static_cast<Notes*>(library.allocate(device, sizeof *notes_));
}

void Harness::expect_notes(bool asked) {
  if (asked) cuda.faults = {&notes_->call, reinterpret_cast<uint32_t*>(&notes_->any)};
  (void)library.clear(device, &error, notes_, sizeof *notes_);
}

Harness::Notes Harness::notes() {
  Notes found = {};
  cuda.faults = {};
  (void)library.download(device, &error, &found, notes_, sizeof found);
  return found;
}

Harness::~Harness() {
  library.release(device, notes_);
  for (Owner& owner : owners_)
    for (Block* block : {&owner.scratch, &owner.operands}) {
      if (!block->memory) continue;
      block->on_device ? library.release(device, block->memory) : free(block->memory);
    }
}

void* Harness::grow(Block* block, size_t bytes) {
  Harness& self = *block->harness;
  if (block->memory) {
    block->on_device ? self.library.release(self.device, block->memory) : free(block->memory);
    block->memory = nullptr;
  }
  // Anew each time, so that nothing lives on in it by chance.
  block->memory = block->on_device ? self.library.allocate(self.device, bytes)
                                   : aligned_alloc(64, (bytes + 63) / 64 * 64);
  return block->memory;
}
void* Harness::scratch(void* owner, size_t bytes) {
  return grow(&static_cast<Owner*>(owner)->scratch, bytes);
}
void* Harness::operands(void* owner, size_t bytes) {
  return grow(&static_cast<Owner*>(owner)->operands, bytes);
}

bool Harness::wants(const char* family) const { return !filter_ || strstr(family, filter_); }

bool Harness::takes(const std::string& what, const std::vector<Value*>& values) {
  if (!small_) return true;
  constexpr size_t kLarge = 1 << 20;
  size_t bytes = 0;
  for (const Value* value : values) bytes += value->bytes();
  if (bytes > kLarge) return false;
  const int count = ++seen_[what.substr(0, what.find(':'))];
  int power = 1;
  while (power < count) power *= 4;
  return power == count;
}

uint64_t Harness::next() {
  return state_ ^= state_ << 13, state_ ^= state_ >> 7, state_ ^= state_ << 17;
}
int64_t Harness::pick(int64_t low, int64_t high) {
  return low + static_cast<int64_t>((next() >> 11) % static_cast<uint64_t>(high - low + 1));
}
double Harness::uniform(double low, double high) {
  return low + (high - low) * (static_cast<double>(next() >> 11) * 0x1p-53);
}

Value Harness::random(DType dtype, const Shape& shape, Layout layout, double low, double high) {
  Value value;
  value.view.dtype = dtype;
  value.view.shape = shape;
  int order[kMaxDims];
  for (int i = 0; i < shape.ndim; ++i) order[i] = i;
  for (int i = shape.ndim - 1; i > 0 && layout != Layout::contiguous; --i)
    std::swap(order[i], order[pick(0, i)]);
  int64_t size = 1, first = 0;
  for (int k = shape.ndim - 1; k >= 0; --k) {
    const int i = order[k];
    const bool any = layout == Layout::any;
    if (any && pick(0, 4) == 0) {
      value.view.strides[i] = 0;
      continue;
    }
    if (any && pick(0, 3) == 0) size *= pick(1, 3);
    value.view.strides[i] = size;
    size *= shape[i] > 0 ? shape[i] + (any ? pick(0, 1) : 0) : 1;
    if (any && shape[i] > 0 && pick(0, 5) == 0) {  // backwards
      first += value.view.strides[i] * (shape[i] - 1);
      value.view.strides[i] = -value.view.strides[i];
    }
  }
  value.memory.resize(static_cast<size_t>(size) * size_of(dtype) / 8 + 1);
  memset(value.memory.data(), kPoison, value.bytes());
  value.view.data =
      reinterpret_cast<char*>(value.memory.data()) + first * static_cast<int64_t>(size_of(dtype));
  for (int64_t i = 0; i < shape.count(); ++i)
    value.set(i, dtype == DType::boolean ? static_cast<double>(pick(0, 1)) : uniform(low, high));
  return value;
}

Value Harness::number(DType dtype, double number) {
  Value value = random(dtype, Shape{});
  value.set(0, number);
  return value;
}

Shape Harness::random_shape(int dims, int64_t most_elements) {
  Shape shape;
  int64_t count = 1;
  for (int i = 0; i < dims; ++i) {
    const int64_t most = most_elements / count;
    const int64_t size = pick(0, 4) == 0 ? 1 : pick(1, most < 2 ? 1 : most < 40 ? most : 40);
    shape.push(size);
    count *= size;
  }
  for (int i = shape.ndim - 1; i > 0; --i) std::swap(shape[i], shape[static_cast<int>(pick(0, i))]);
  return shape;
}

Harness::Mirror Harness::upload(const Value& value) {
  Mirror mirror{value.view, library.allocate(device, value.bytes())};
  if (!mirror.memory || library.upload(device, &error, mirror.memory, value.memory.data(),
                                       value.bytes()) != Status::ok) {
    printf("no device memory: %s\n", error.message());
    exit(1);
  }
  mirror.view.data =
      static_cast<char*>(mirror.memory) + (static_cast<const char*>(value.view.data) -
                                           reinterpret_cast<const char*>(value.memory.data()));
  return mirror;
}

void Harness::download(const Mirror& mirror, Value* value) {
  if (library.download(device, &error, value->memory.data(), mirror.memory, value->bytes()) !=
      Status::ok)
    check(false, "download: %s", error.message());
}

void Harness::drop(const Mirror& mirror) { library.release(device, mirror.memory); }

std::string Harness::describe(const std::vector<Value*>& in,
                              const std::vector<double>& attrs) const {
  std::string text;
  for (const Value* value : in) {
    char shape[kShapeText];
    text += std::string(" ") + name_of(value->view.dtype) + print(value->view.shape, shape) + " by";
    for (int i = 0; i < value->view.shape.ndim; ++i)
      text += " " + std::to_string(value->view.strides[i]);
    text += ";";
  }
  for (const double number : attrs) text += " " + std::to_string(number);
  return text;
}

void Harness::check(bool ok, const char* format, ...) {
  ok ? ++passed : ++failed;
  if (ok || failed > 40) return;
  va_list args;
  va_start(args, format);
  printf("FAILED: ");
  vprintf(format, args);
  printf("\n");
  va_end(args);
}

void Harness::check_complete() {
  // Nothing is computed by these: their results are views.
  for (const Op view : {op_reshape, op_permute, op_broadcastTo, op_slice}) computed_[view] = true;
  for (int op = 0; op < kOps; ++op)
    check(computed_[op], "no case of opcode %d, %s, was computed on the device", op,
          name_of(static_cast<Op>(op)));
}

bool Harness::agree(const Value& expected, const Value& got, Tolerance tolerance, const char* what,
                    const std::string& call) {
  const int64_t count = expected.view.shape.count();
  for (int64_t i = 0; i < count; ++i) {
    const double a = expected.number(i), b = got.number(i);
    if (a == b || (isnan(a) && isnan(b))) continue;
    const bool rounds = expected.view.dtype == DType::bfloat16;
    const double terms = tolerance.terms ? (*tolerance.terms)[static_cast<size_t>(i)] : 1;
    const double allowed =
        tolerance.absolute * terms + (tolerance.relative + (rounds ? 0x1p-7 : 0)) * fabs(a);
    if (isfinite(a) && fabs(a - b) <= allowed) continue;  // false for NaN
    check(false, "%s%s: element %lld is %.17g, on the CPU %.17g", what, call.c_str(),
          static_cast<long long>(i), b, a);
    return false;
  }
  check(true, "%s", what);
  return true;
}

bool Harness::compare(Op op, const std::vector<Value*>& in, const std::vector<double>& attrs,
                      Tolerance tolerance, uint32_t numbers) {
  const char* const dtype = in.empty() ? "" : name_of(in.back()->view.dtype);
  if (!takes(dtype + std::to_string(op), in)) return false;  // two ops may share a name
  std::vector<TensorView> views;
  for (const Value* value : in) views.push_back(value->view);
  Inference inferred;
  const Status status = infer(op, views.data(), static_cast<int>(views.size()), attrs.data(),
                              static_cast<int>(attrs.size()), &error, &inferred);
  if (status != Status::ok || inferred.is_view) {
    check(false, "%s%s: a case that cannot be: %s", name_of(op), describe(in, attrs).c_str(),
          error.message());
    return true;
  }
  const TensorView& out = inferred.call.out;
  Value expected, got;
  expected.view = got.view = out;
  expected.memory.resize(out.bytes() / 8 + 1);
  memset(expected.memory.data(), kPoison, expected.bytes());
  got.memory = expected.memory;
  expected.view.data = expected.memory.data();
  got.view.data = got.memory.data();

  inferred.call.in = views.data();
  inferred.call.out = expected.view;
  const Status on_cpu = cpu_backend.run(&cpu, &inferred.call);
  const std::string said = error.message();

  std::vector<Mirror> mirrors;
  for (size_t i = 0; i < in.size(); ++i) {
    mirrors.push_back(upload(*in[i]));
    if (!(numbers >> i & 1)) views[i] = mirrors[i].view;
  }
  const Mirror result = upload(got);
  inferred.call.in = views.data();
  inferred.call.out = result.view;
  inferred.call.numbers = numbers;
  const bool checks = FaultSource::checks(op);
  if (checks) expect_notes();
  Status on_device = library.backend->run(&cuda, &inferred.call);
  if (checks) {
    const Notes found = notes();
    if (found.any && on_device == Status::ok)
      on_device = FaultSource(inferred.call).describe(&error, found.call, "");
  }
  if (on_cpu != on_device) {
    check(false, "%s%s: %s on the CPU, %s on the device: %s", name_of(op),
          describe(in, attrs).c_str(), on_cpu == Status::ok ? "ok" : code_of(on_cpu),
          on_device == Status::ok ? "ok" : code_of(on_device), error.message());
  } else {
    download(result, &got);
    if (on_cpu == Status::ok) {
      const bool right = agree(expected, got, tolerance, name_of(op), describe(in, attrs));
      computed_[op] |= right && out.shape.count() > 0;
    } else {
      check(said == error.message(), "'%s' on the CPU, '%s' on the device", said.c_str(),
            error.message());
    }
  }
  for (const Mirror& mirror : mirrors) drop(mirror);
  drop(result);
  return true;
}

}  // namespace tg::test
