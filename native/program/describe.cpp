#include "describe.h"

#include <cstring>

namespace tg::program {

namespace {

// Only names of ours and numbers are printed: nothing needs escaping.
void append_number(std::string& json, double value) {
  char text[32];
  std::snprintf(text, sizeof text, value - value == 0 ? "%.17g" : "null", value);
  json += text;
}

void append_shape(std::string& json, const Shape& shape) {
  json += "[";
  for (int i = 0; i < shape.ndim; ++i) json += (i ? "," : "") + std::to_string(shape[i]);
  json += "]";
}

void append_operand(std::string& json, const Graph& graph, const Operand& o) {
  json += "{";
  if (o.value < 0) {
    const double& bits = graph.numbers[static_cast<size_t>(o.number)];
    float f;
    int32_t n;
    std::memcpy(&f, &bits, sizeof f);
    std::memcpy(&n, &bits, sizeof n);
    json += "\"number\":";
    append_number(json, o.view.dtype == DType::float64   ? bits
                        : o.view.dtype == DType::float32 ? static_cast<double>(f)
                                                         : n);
  } else {
    json += "\"value\":" + std::to_string(o.value) + ",\"shape\":";
    append_shape(json, o.view.shape);
  }
  json += std::string(",\"dtype\":\"") + name_of(o.view.dtype) + "\"}";
}

void append_list(std::string& json, const Graph& graph, const std::vector<Operand>& list) {
  json += "[";
  for (size_t i = 0; i < list.size(); ++i) {
    if (i) json += ",";
    append_operand(json, graph, list[i]);
  }
  json += "]";
}

void append_instruction(std::string& json, const Graph& graph, const Instruction& i, bool setup) {
  json += std::string("{\"name\":\"") + i.name() + "\",\"setup\":" + (setup ? "true" : "false");
  if (i.kind == Instruction::Kind::op) {
    json += ",\"out\":";
    append_operand(json, graph, i.out);
  }
  json += ",\"in\":";
  append_list(json, graph, i.in);
  if (i.kind == Instruction::Kind::optimize)
    json += ",\"states\":" + std::to_string(kOptimizerInfo[i.rule].states);
  json += ",\"writes\":[";
  bool first = true;
  for_writes(i, [&](const Operand& o) {
    json += (first ? "" : ",") + std::to_string(o.value);
    first = false;
  });
  json += "],\"parts\":[";
  for (size_t k = 0; k < i.parts.size(); ++k) {
    if (k) json += ",";
    append_instruction(json, graph, i.parts[k], setup);
  }
  json += "]}";
}

}  // namespace

std::string describe(const Graph& graph, const Plan* plan) {
  std::string json = "{\"instructions\":[";
  bool first = true;
  for (const std::vector<Instruction>* list : {&graph.setup, &graph.body})
    for (const Instruction& i : *list) {
      json += first ? "\n" : ",\n";
      first = false;
      append_instruction(json, graph, i, list == &graph.setup);
    }
  json += "],\"values\":[";
  constexpr const char* kKinds[] = {"external", "input", "computed", "passing"};
  for (size_t v = 0; v < graph.values.size(); ++v) {
    const Value& value = graph.values[v];
    json += v ? ",{" : "{";
    json += std::string("\"kind\":\"") + kKinds[static_cast<int>(value.kind)] +
            "\",\"bytes\":" + std::to_string(value.bytes);
    if (plan && value.kind != Value::Kind::external && plan->last[v] >= -1)
      json += ",\"offset\":" + std::to_string(plan->offset[v]) +
              ",\"first\":" + std::to_string(plan->first[v]) +
              ",\"last\":" + std::to_string(plan->last[v]);
    json += "}";
  }
  json += "],\"inputs\":";
  append_list(json, graph, graph.inputs);
  json += ",\"outputs\":";
  append_list(json, graph, graph.outputs);
  if (plan)
    json += ",\"arenaBytes\":" + std::to_string(plan->bytes) +
            ",\"sumBytes\":" + std::to_string(plan->sum);
  return json + "}";
}

}  // namespace tg::program
