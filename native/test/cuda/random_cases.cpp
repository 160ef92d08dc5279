// Random ops: the CPU's bits, eagerly and in recordings.
#include <math.h>
#include <string.h>

#include "cases.h"

namespace tg::test {

namespace {

constexpr Tolerance kBits{-1};
constexpr DType kFloats[] = {DType::float32, DType::float64, DType::bfloat16};
constexpr DType kAll[] = {DType::float32, DType::float64, DType::int32, DType::boolean,
                          DType::bfloat16};
constexpr double kSeeds[] = {0, 1, 0xFFFFFFFF, 9007199254740992.0};

std::vector<double> attrs(double n, DType dtype, double a, double b, double seed, double stream) {
  return {1, n, static_cast<double>(dtype), a, b, seed, stream};
}

void distributions(Harness& h) {
  for (const double n : {0.0, 1.0, 2.0, 3.0, 4.0, 7.0, 16.0, 4099.0})
    for (const double seed : kSeeds) {
      const double stream = 9007199254740992.0 - seed;
      for (const DType dtype : kFloats) {
        h.compare(op_uniform, {}, attrs(n, dtype, 0, 1, seed, stream), kBits);
        h.compare(op_uniform, {}, attrs(n, dtype, -3, 7.7, seed, stream), kBits);
        h.compare(op_uniform, {}, attrs(n, dtype, 2.5, 2.5, seed, stream), kBits);
        h.compare(op_uniform, {}, attrs(n, dtype, 1, 1.0001, seed, stream), kBits);
        h.compare(op_normal, {}, attrs(n, dtype, 0, 1, seed, stream), kBits);
        h.compare(op_normal, {}, attrs(n, dtype, -3, 0.1, seed, stream), kBits);
      }
      for (const DType dtype : kAll) {
        h.compare(op_randint, {}, attrs(n, dtype, -5, 5, seed, stream), kBits);
        h.compare(op_randint, {}, attrs(n, dtype, 0, 2147483648.0, seed, stream), kBits);
        h.compare(op_randint, {}, attrs(n, dtype, 3, 4, seed, stream), kBits);
      }
    }
  for (const DType dtype : {DType::float32, DType::bfloat16}) {
    h.compare(op_uniform, {}, attrs(200000, dtype, 0, 1, 5, 6), kBits);
    h.compare(op_normal, {}, attrs(200000, dtype, 0, 1, 5, 6), kBits);
  }
  h.compare(op_randint, {}, attrs(9, DType::float64, -9007199254740992.0, 9007199254740992.0, 1, 2),
            kBits);
}

// Both refuse alike.
void refused(Harness& h) {
  for (const DType dtype : kFloats) {
    h.compare(op_uniform, {}, attrs(9, dtype, 1, 0, 1, 2), kBits);
    h.compare(op_uniform, {}, attrs(9, dtype, 0, INFINITY, 1, 2), kBits);
    h.compare(op_normal, {}, attrs(9, dtype, 0, -1, 1, 2), kBits);
    h.compare(op_normal, {}, attrs(9, dtype, NAN, 1, 1, 2), kBits);
    h.compare(op_randint, {}, attrs(9, dtype, 0.5, 0.7, 1, 2), kBits);
  }
  h.compare(op_randint, {}, attrs(9, DType::int32, 0, 3e9, 1, 2), kBits);
}

void drop(Harness& h) {
  for (const DType dtype : kFloats)
    for (int round = 0; round < 30; ++round) {
      Value x = h.random(dtype, h.random_shape(static_cast<int>(h.pick(0, 4)), 3000),
                         round % 3 ? Layout::contiguous : Layout::any);
      if (round % 5 == 0) x = h.random(dtype, shape_of({round == 5 ? 0 : 4001}));
      if (round == 10) {  // not aligned
        x.view.data = static_cast<char*>(x.view.data) + size_of(dtype);
        --x.view.shape[0];
      }
      const double p = round % 4 == 0 ? 0 : round % 4 == 1 ? 1 : h.uniform(0, 1);
      h.compare(op_drop, {&x}, {p, kSeeds[round % 4], static_cast<double>(round)}, kBits);
    }
}

// A recording draws from the seed and the stream that device memory names when it runs.
void recorded(Harness& h) {
  const DeviceLibrary& l = h.library;
  StepState* const device = static_cast<StepState*>(l.allocate(h.device, sizeof(StepState)));
  Value x = h.random(DType::float32, shape_of({1000}));
  Value out[2] = {x, x}, expected = x;
  for (Value* value : {&out[0], &out[1], &expected}) value->view.data = value->memory.data();
  x.view.data = x.memory.data();
  const Harness::Mirror from = h.upload(x), to[2] = {h.upload(out[0]), h.upload(out[1])};
  OpCall calls[2] = {{op_normal, nullptr, 0, to[0].view, {}},
                     {op_drop, &from.view, 1, to[1].view, {}}};
  calls[0].attrs.p[1] = 1, calls[0].attrs.seed = 99, calls[0].attrs.stream = 3;
  calls[1].attrs.p[0] = 0.4, calls[1].attrs.seed = 99, calls[1].attrs.stream = 4;
  h.cuda.step = device;
  DeviceGraph* graph = nullptr;
  h.check(l.begin_graph(h.device, &h.error) == Status::ok, "begin_graph");
  for (const OpCall& call : calls)
    h.check(l.backend->run(&h.cuda, &call) == Status::ok, "a recorded call: %s", h.error.message());
  h.check(l.end_graph(h.device, &h.error, &graph) == Status::ok && graph, "end_graph: %s",
          h.error.message());
  for (const StepState state :
       {StepState{7, 100}, StepState{7, 102}, StepState{uint64_t{1} << 40, 0}}) {
    if (!graph) break;
    l.upload(h.device, &h.error, device, &state, sizeof state);
    h.check(l.run_graph(h.device, &h.error, graph) == Status::ok, "run_graph");
    for (int k = 0; k < 2; ++k) {
      h.download(to[k], &out[k]);
      OpCall call = calls[k];
      call.in = &x.view;
      call.out = expected.view;
      call.attrs.seed = state.seed;
      call.attrs.stream += state.stream;
      h.check(h.cpu_backend.run(&h.cpu, &call) == Status::ok, "on the CPU");
      h.check(!memcmp(expected.memory.data(), out[k].memory.data(), expected.bytes()),
              "a replay's numbers are those of its step (%d)", k);
    }
  }
  if (graph) l.drop_graph(h.device, graph);
  h.cuda.step = nullptr;
  for (const Harness::Mirror& m : {from, to[0], to[1]}) h.drop(m);
  l.release(h.device, device);
}

}  // namespace

void random_cases(Harness& h) {
  distributions(h);
  refused(h);
  drop(h);
  recorded(h);
}

}  // namespace tg::test
