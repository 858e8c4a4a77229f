// SPDX-License-Identifier: Apache-2.0
// gradus model forward: the logits of given token ids.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include "base/error.h"
#include "commands.h"
#include "model/folder.h"
#include "tensor/device.h"

namespace gradus {
namespace {

// A JSON array of equally long arrays of token ids -> int64 [B, T].
std::vector<std::vector<int64_t>> read_id_rows(const fs::path& path, int64_t vocab_size) {
  const Json json = read_json(path);
  const auto bad = [&](const std::string& what, const std::string& found) {
    throw Error({.what = what,
                 .where = path.string(),
                 .expected = "a JSON array of equally long, non-empty arrays of token ids",
                 .found = found});
  };
  if (!json.is_array() || json.empty()) bad("cannot be used as ids", "no rows");
  std::vector<std::vector<int64_t>> rows;
  for (size_t row = 0; row < json.size(); ++row) {
    if (!json[row].is_array() || json[row].empty() || json[row].size() != json[0].size())
      bad(cat("row ", row, " has another length"), cat(json[row].size(), " ids"));
    rows.emplace_back();
    for (const Json& id : json[row]) {
      if (!id.is_number_integer() || id.get<int64_t>() < 0 || id.get<int64_t>() >= vocab_size)
        bad(cat("row ", row, " has an id outside the vocabulary of ", vocab_size), id.dump());
      rows.back().push_back(id.get<int64_t>());
    }
  }
  return rows;
}

int run_forward(const CommandLine& line) {
  const fs::path folder = line.only("DIR"), out = line.require("--out");
  if (fs::exists(out))
    throw Error({.what = "already exists and is not overwritten", .where = out.string()});
  set_compute_threads(0);
  LoadOptions options{.dtype = {}, .device = select_device(line.get("--device", "auto"))};
  if (line.has("--dtype")) options.dtype = dtype_from_name(line.get("--dtype"));
  const Transformer model = load_model(folder, options);
  const auto rows = read_id_rows(line.require("--ids"), model.config().vocab_size);
  const at::NoGradGuard no_gradients;
  std::vector<at::Tensor> logits;
  for (const auto& row : rows) {
    const auto T = static_cast<int64_t>(row.size());
    at::Tensor ids = at::empty({T}, at::kLong);
    std::copy(row.begin(), row.end(), ids.data_ptr<int64_t>());
    PackedAttention attention({0, T});
    const at::Tensor hidden = model.forward(
        ids.to(options.device),
        at::arange(T, at::TensorOptions().dtype(at::kLong).device(options.device)), attention);
    logits.push_back(model.logits(hidden).to(at::kCPU, at::kFloat));
  }
  const at::Tensor all = at::stack(logits).contiguous();
  write_safetensors(out, {tensor_to_write("logits", all)});
  print_json_if_asked(line, Json{{"logits", out.string()}, {"shape", all.sizes().vec()}});
  return 0;
}

std::vector<Flag> forward_flags() {
  return {{"--ids", "FILE", "JSON array of equally long arrays of token ids (required)"},
          {"--out", "FILE", "safetensors file to write, key logits [B, T, V] (required)"},
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
