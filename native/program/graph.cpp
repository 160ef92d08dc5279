#include "graph.h"

#include <cstring>

namespace tg::program {

namespace {

// Where symbolic storage seems to lie: never read, but offsets from it are formed.
void* const kNowhere = reinterpret_cast<void*>(uintptr_t{4096});

bool is_random(Op op) {
  return op == op_uniform || op == op_normal || op == op_randint || op == op_drop;
}

// The gap-free bytes that a view without a storage of its own needs.
size_t bytes_of(const TensorView& view) { return view.bytes() > 0 ? view.bytes() : 1; }

}  // namespace

const char* Instruction::name() const {
  switch (kind) {
    case Kind::op:
      return name_of(op);
    case Kind::chain:
      return "chain";
    case Kind::optimize:
      return kOptimizerInfo[rule].name;
    case Kind::accumulate:
      return "accumulate";
    case Kind::assign:
      return "copyFrom";
    case Kind::clip_norm:
      return "clipGradNorm";
    case Kind::clip_value:
      return "clipGradValue";
  }
  return "";
}

Graph::~Graph() {
  finish();
  for (Value& value : values)
    if (value.kind == Value::Kind::external) engine_.release(value.storage);
}

void Graph::finish() {
  for (Value& value : values) {
    if (value.kind == Value::Kind::external) {
      value.made_here = !find_user(value);
      continue;
    }
    delete value.storage;
    value.storage = nullptr;
  }
}

bool Graph::find_user(Value& value) {
  TensorTable& table = engine_.table();
  Tensor* known = table.find(value.handle);
  if (known && known->storage == value.storage) return true;
  for (uint32_t slot = 0; slot < table.slots(); ++slot)
    if (table.at(slot).storage == value.storage) {
      value.handle = table.handle_of(slot);
      return true;
    }
  return false;
}

bool Graph::still_there(Value& value, bool* moved) {
  if (value.kind != Value::Kind::external || value.made_here) return true;
  Tensor* known = engine_.table().find(value.handle);
  if (known && known->storage->device != value.storage->device) return false;
  if (known && known->storage != value.storage) {  // shared, or attached, since
    StoragePool::retain(known->storage);
    engine_.release(value.storage);
    value.storage = known->storage;
    *moved = true;
    return true;
  }
  return known || find_user(value);
}

Operand Graph::materialised(const Recorded& source, const TensorView& layout, Status* status) {
  int order[kMaxDims];
  layout.dense(order);
  Instruction i;
  i.op = op_clone;
  i.in.push_back(operand({source.storage, source.view.permuted(order)}));
  TensorView out = source.view.permuted(order);
  contiguous_strides(out.shape, out.strides);
  Storage* storage = symbolic(bytes_of(out), Value::Kind::computed);
  if (!storage) {
    *status = engine_.error().set(Status::out_of_memory, "compile: no memory");
    return {};
  }
  out.data = storage->data;
  i.out = operand({storage, out});
  *status = push(static_cast<Instruction&&>(i));
  TensorView view = layout;
  view.data = storage->data;
  return operand({storage, view});
}

Storage* Graph::symbolic(size_t bytes, Value::Kind kind) {
  Storage* storage = new (std::nothrow)
      Storage{kNowhere, 0,     1, nullptr, nullptr, nullptr, 0, static_cast<int32_t>(values.size()),
              true,     device};
  if (!storage) return nullptr;
  Value value;
  value.kind = kind;
  value.bytes = bytes;
  value.storage = storage;
  values.push_back(value);
  return storage;
}

Operand Graph::constant(const TensorView& number) {
  Operand result;
  result.view = number;
  result.view.data = nullptr;
  result.number = static_cast<int>(numbers.size());
  double bits = 0;
  std::memcpy(&bits, number.data, number.bytes());
  numbers.push_back(bits);
  return result;
}

Operand Graph::operand(const Recorded& tensor) {
  Operand result;
  result.view = tensor.view;
  Storage* storage = tensor.storage;
  result.view.data = reinterpret_cast<void*>(static_cast<char*>(tensor.view.data) -
                                             static_cast<char*>(storage->data));
  if (storage->symbolic) {
    result.value = storage->value;
    return result;
  }
  for (size_t i = 0; i < values.size(); ++i)
    if (values[i].kind == Value::Kind::external && values[i].storage == storage) {
      result.value = static_cast<int>(i);
      return result;
    }
  Value value;
  value.kind = Value::Kind::external;
  value.bytes = storage->bytes;
  value.storage = storage;
  StoragePool::retain(storage);
  values.push_back(value);
  result.value = static_cast<int>(values.size()) - 1;
  return result;
}

Status Graph::push(Instruction&& instruction) {
  if (body.size() >= kMaxInstructions)
    return engine_.error().set(Status::tracing,
                               "compile: the function records more than %d operations: is there a "
                               "loop in it that should be a compiled step of its own?",
                               kMaxInstructions);
  body.push_back(static_cast<Instruction&&>(instruction));
  return Status::ok;
}

Status Graph::symbolic_tensor(DType dtype, const Shape& shape, Operand* made, uint32_t* slot) {
  TensorView view;
  view.dtype = dtype;
  view.shape = shape;
  int64_t count;
  if (!checked_count(shape, &count)) {
    char text[kShapeText];
    return engine_.error().set(Status::range_error, "compile: shape %s has too many elements",
                               print(shape, text));
  }
  contiguous_strides(shape, view.strides);
  Storage* storage = symbolic(bytes_of(view), Value::Kind::input);
  if (!storage) return engine_.error().set(Status::out_of_memory, "compile: no memory");
  view.data = storage->data;
  *made = operand({storage, view});
  StoragePool::retain(storage);
  return engine_.add(storage, view, slot);
}

Status Graph::add_input(DType dtype, const Shape& shape, uint32_t* slot) {
  Operand made;
  TG_TRY(symbolic_tensor(dtype, shape, &made, slot));
  inputs.push_back(made);
  return Status::ok;
}

Status Graph::add_number(DType dtype, uint32_t* slot) {
  Operand made;
  TG_TRY(symbolic_tensor(dtype, Shape{}, &made, slot));
  step_numbers.push_back({made, row++});
  return Status::ok;
}

Status Graph::add_output(double handle) {
  Tensor* tensor;
  TG_TRY(engine_.find("compile", handle, &tensor));
  outputs.push_back(operand({tensor->storage, tensor->view}));
  return Status::ok;
}

Status Graph::op(const OpCall& call, const Recorded* in, Storage** result) {
  Instruction i;
  i.op = call.op;
  i.attrs = call.attrs;
  if (is_random(call.op)) {
    i.stream = static_cast<int64_t>(call.attrs.stream - stream_);
    if (call.attrs.seed != seed_ || i.stream < 0 || i.stream >= kMaxInstructions)
      return engine_.error().set(Status::tracing,
                                 "%s: manualSeed and setRandomState must not be called inside a "
                                 "function that is being compiled",
                                 name_of(call.op));
    if (i.stream >= streams) streams = i.stream + 1;
  }
  for (int k = 0; k < call.n_in; ++k)
    i.in.push_back(in[k].storage ? operand(in[k]) : constant(in[k].view));
  Storage* storage = symbolic(bytes_of(call.out), Value::Kind::computed);
  if (!storage) return engine_.error().set(Status::out_of_memory, "compile: no memory");
  TensorView view = call.out;
  view.data = storage->data;
  i.out = operand({storage, view});
  TG_TRY(push(static_cast<Instruction&&>(i)));
  StoragePool::retain(storage);
  *result = storage;
  return Status::ok;
}

Status Graph::optimize(int rule, const Recorded* items, int count) {
  Instruction i;
  i.kind = Instruction::Kind::optimize;
  i.rule = rule;
  i.numbers = row;
  row += kOptimizerInfo[rule].numbers;
  const int each = 2 + kOptimizerInfo[rule].states;
  for (int k = 0; k < count; ++k) {
    const TensorView& parameter = items[k / each * each].view;
    Status status = Status::ok;
    i.in.push_back(k % each == 1 && !items[k].view.same_layout(parameter)
                       ? materialised(items[k], parameter, &status)
                       : operand(items[k]));
    TG_TRY(status);
  }
  return push(static_cast<Instruction&&>(i));
}

Status Graph::accumulate(const Recorded& to, const Recorded& from) {
  Instruction i;
  i.kind = Instruction::Kind::accumulate;
  Status status = Status::ok;
  i.in = {operand(to),
          from.view.same_layout(to.view) ? operand(from) : materialised(from, to.view, &status)};
  TG_TRY(status);
  return push(static_cast<Instruction&&>(i));
}

Status Graph::assign(const Recorded& to, const Recorded& from) {
  Instruction i;
  i.kind = Instruction::Kind::assign;
  Status status = Status::ok;
  const bool direct = to.storage != from.storage && from.view.same_layout(to.view);
  i.in = {operand(to), direct ? operand(from) : materialised(from, to.view, &status)};
  TG_TRY(status);
  return push(static_cast<Instruction&&>(i));
}

Status Graph::clip_value(const Recorded* tensors, int count, double limit) {
  Instruction i;
  i.kind = Instruction::Kind::clip_value;
  i.limit = limit;
  for (int k = 0; k < count; ++k) i.in.push_back(operand(tensors[k]));
  return push(static_cast<Instruction&&>(i));
}

Status Graph::clip_norm(const Recorded* tensors, int count, double limit, bool finite) {
  Instruction i;
  i.kind = Instruction::Kind::clip_norm;
  i.limit = limit;
  i.finite = finite;
  for (int k = 0; k < count; ++k) i.in.push_back(operand(tensors[k]));
  return push(static_cast<Instruction&&>(i));
}

}  // namespace tg::program
