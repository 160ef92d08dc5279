// Finds out in which result a loss that is not finite began.
#include <vector>

#include "device_run.h"
#include "numbers.h"
#include "passes.h"

namespace tg::program {

// Results that cannot be looked at count as finite.
Status Program::has_nonfinite(const TensorView& view, bool* result) {
  *result = false;
  int order[kMaxDims];
  if (!is_float(view.dtype) || !view.dense(order)) return Status::ok;
  TensorView here = view;
  std::vector<char> copy;
  if (device_) {
    copy.resize(view.bytes());
    here.data = copy.data();
    TG_TRY(device_->library.download(device_->device, &error_, here.data, view.data, copy.size()));
  }
  const int64_t n = view.shape.count();
  for (int64_t i = 0; i < n && !*result; ++i) *result = !finite(number_at(here, i));
  return Status::ok;
}

// Instruction k again, by itself.
Status Program::run_once(size_t k, const StepArguments& arguments) {
  StepResult ignored;
  return device_ ? record(graph_->body[k], calls_[k], false)
                 : run(graph_->body[k], calls_[k], arguments, &ignored);
}

// Runs the part before the loss again, looking at each result: inputs are still in place, and
// nothing outside has changed.
Status Program::name_culprit(const StepArguments& arguments) {
  bool bad = false;
  for (size_t i = 0; i < graph_->inputs.size(); ++i) {
    TG_TRY(has_nonfinite(resolved(graph_->inputs[i]), &bad));
    if (bad)
      return error_.set(Status::nonfinite,
                        "the loss is not finite: input %zu of the step contains NaN or infinity; "
                        "no parameter was changed",
                        i);
  }
  const Instruction* culprit = nullptr;
  for (size_t k = 0; k < loss_at_ && !culprit; ++k) {
    const Instruction& i = graph_->body[k];
    const bool rooted = !i.parts.empty() && !is_elementwise(i.parts[0].op);
    if (rooted) {  // on its own: what follows may be written over it
      Chain& chain = *chains_[static_cast<size_t>(calls_[k].chain)];
      TG_TRY(engine_.device_state(device()).backend.run(&context_, &chain.root));
      TG_TRY(has_nonfinite(chain.root.out, &bad));
      if (bad) culprit = &i.parts[0];
    }
    TG_TRY(run_once(k, arguments));
    for (const Instruction& part : i.parts) {
      if (culprit || (rooted && &part == &i.parts[0]) ||
          graph_->values[static_cast<size_t>(part.out.value)].kind == Value::Kind::passing)
        continue;
      TG_TRY(has_nonfinite(resolved(part.out), &bad));
      if (bad) culprit = &part;
    }
    if (culprit || i.kind != Instruction::Kind::op) continue;
    TG_TRY(has_nonfinite(resolved(i.out), &bad));
    if (bad) culprit = &i;
  }
  TG_TRY(restore_early_writes());
  if (!culprit)
    return error_.set(Status::nonfinite, "the loss is not finite; no parameter was changed");
  char shape[kShapeText];
  return error_.set(Status::nonfinite,
                    "the loss is not finite: %s was the first to give NaN or infinity, in its "
                    "result %s; no parameter was changed",
                    culprit->name(), print(culprit->out.view.shape, shape));
}

}  // namespace tg::program
