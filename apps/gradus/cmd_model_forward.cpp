// SPDX-License-Identifier: Apache-2.0
// gradus model forward: the logits of given token ids.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <cmath>

#include "base/error.h"
#include "base/signals.h"
#include "commands.h"
#include "hub/hub.h"
#include "model/folder.h"
#include "recipe_command.h"
#include "tensor/device.h"

namespace gradus {
namespace {

using IdRow = std::vector<int64_t>;

// A JSON array of non-empty arrays of token ids.
std::vector<IdRow> read_id_rows(const fs::path& path, int64_t vocab_size) {
  const Json json = read_json(path);
  const auto bad = [&](const std::string& what, const std::string& found) {
    throw Error({.what = what,
                 .where = path.string(),
                 .expected = "a JSON array of non-empty arrays of token ids",
                 .found = found});
  };
  if (!json.is_array()) bad("cannot be used as ids", cat("a JSON ", json.type_name()));
  if (json.empty()) bad("cannot be used as ids", "no rows");
  std::vector<IdRow> rows;
  for (size_t row = 0; row < json.size(); ++row) {
    if (!json[row].is_array() || json[row].empty())
      bad(cat("row ", row, " holds no ids"), printable(json[row].dump()));
    rows.emplace_back();
    for (const Json& id : json[row]) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size)
        bad(cat("row ", row, " has an id outside the vocabulary of ", vocab_size), id.dump());
      rows.back().push_back(id.get<int64_t>());
    }
  }
  return rows;
}

void check_finite_logits(const at::Tensor& logits, size_t row) {
  if (std::isfinite(at::sum(logits, at::kDouble).item<double>())) return;
  throw Error({.what = "the model's logits are not finite",
               .where = cat("row ", row),
               .hint = "its weights, its config.json or the precision are broken"});
}

// [T, V] in fp32 on the CPU.
at::Tensor logits_of(const Transformer& model, const IdRow& row) {
  const auto T = static_cast<int64_t>(row.size());
  const auto options = at::TensorOptions().dtype(at::kLong).device(model.device());
  at::Tensor ids = at::empty({T}, at::kLong);
  std::copy(row.begin(), row.end(), ids.data_ptr<int64_t>());
  PackedAttention attention({0, T});
  const at::Tensor hidden =
      model.forward(ids.to(model.device()), at::arange(T, options), attention);
  return model.logits(hidden).to(at::kCPU, at::kFloat).contiguous();
}

// One tensor "logits" [B, T, V] for rows of one length, else "logits.0" [T, V], "logits.1", …
std::vector<std::pair<std::string, at::Tensor>> named_logits(const Transformer& model,
                                                             const std::vector<IdRow>& rows) {
  std::vector<at::Tensor> logits;
  std::vector<std::pair<std::string, at::Tensor>> named;
  bool one_length = true;
  for (const IdRow& row : rows) {
    throw_if_stopped();
    one_length &= row.size() == rows[0].size();
    named.emplace_back(cat("logits.", logits.size()), logits_of(model, row));
    logits.push_back(named.back().second);
    check_finite_logits(logits.back(), logits.size() - 1);
  }
  throw_if_stopped();
  if (!one_length) return named;
  return {{"logits", at::stack(logits).contiguous()}};
}

int run_forward(const CommandLine& line) {
  const std::string model_name = line.only("DIR");
  const fs::path out = line.require("--out"), ids = line.require("--ids");
  refuse_existing(out);
  set_compute_threads(0);
  LoadOptions options{.dtype = {}, .device = select_device(line.get("--device", "auto"))};
  if (line.has("--dtype")) options.dtype = dtype_from_name(line.one_of("--dtype", kDtypeNames));
  const Transformer model = load_model(resolve_model(model_name), options);
  const at::NoGradGuard no_gradients;
  const auto logits = named_logits(model, read_id_rows(ids, model.config().vocab_size));
  std::vector<TensorToWrite> tensors;
  Json shapes = Json::object();
  for (const auto& [name, tensor] : logits) {
    tensors.push_back(tensor_to_write(name, tensor));
    shapes[name] = tensor.sizes().vec();
  }
  write_safetensors(out, tensors);
  print_json_if_asked(line, {{"file", out.string()}, {"shapes", shapes}});
  return kExitOk;
}

std::vector<Flag> forward_flags() {
  return {{"--ids", "FILE", "JSON array of arrays of token ids (required)"},
          {"--out", "FILE",
           "safetensors file to write: logits [B, T, V], or logits.0 [T, V], logits.1, … "
           "for rows of different lengths (required)"},
          {"--dtype", "DTYPE", "precision of the computation (default: the model's)"},
          {"--device", "DEVICE", "auto (default), cpu, cuda or cuda:N"}};
}

}  // namespace

Command model_forward_command() {
  return {"model forward",
          "write the logits for given token ids",
          "DIR --ids FILE --out FILE",
          forward_flags,
          nullptr,
          run_forward,
          Arguments::kOne};
}

}  // namespace gradus
