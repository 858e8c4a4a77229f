// SPDX-License-Identifier: Apache-2.0
// gradus model import | inspect | forward | merge.
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "model/folder.h"
#include "model/formats/gguf.h"
#include "model/formats/gguf_import.h"
#include "model/lora.h"
#include "model/quantization_config.h"
#include "store/lineage.h"
#include "tensor/device.h"

namespace gradus {
namespace {

int run_import(const CommandLine& line) {
  const fs::path file = line.only("FILE.gguf"), out = line.require("--out");
  const std::string dtype = line.get("--dtype", "bfloat16");
  const GgufFile gguf(file);
  const auto licence = json_get<std::string>(gguf.metadata(), "general.license", "", file.string());
  AtomicFolder folder(out);
  import_gguf(file, folder.path(), dtype);
  DigestCache digests;
  LineageBuilder lineage(LineageKind::kImported, digests);
  for (const fs::path& part : gguf.paths()) lineage.source(part, licence);
  lineage.recipe({{"dtype", dtype}}).write(folder.path());
  folder.commit();
  print_json_if_asked(line, Json{{"model", out.string()}});
  return 0;
}

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

Json inspect(const fs::path& folder) {
  const ModelConfig config = read_model_config(folder);
  const SafetensorsFolder files(folder);
  int64_t bytes = 0;
  Json dtypes = Json::object();
  for (const std::string& name : files.names()) {
    const StoredTensor& tensor = files.at(name);
    bytes += static_cast<int64_t>(tensor.bytes.size());
    dtypes[tensor.dtype] = dtypes.value(tensor.dtype, 0) + 1;
  }
  Json result{{"folder", folder.string()},
              {"model_type", config.model_type},
              {"parameters", parameter_count(config)},
              {"layers", config.num_hidden_layers},
              {"hidden_size", config.hidden_size},
              {"heads", config.num_attention_heads},
              {"key_value_heads", config.num_key_value_heads},
              {"vocab_size", config.vocab_size},
              {"max_position_embeddings", config.max_position_embeddings},
              {"tied_embeddings", config.tie_word_embeddings},
              {"weight_bytes", bytes},
              {"tensors_by_dtype", dtypes}};
  const auto quantization =
      read_quantization_config(config.source, (folder / "config.json").string());
  result["quantization"] = quantization ? Json(cat("int", quantization->bits)) : Json(nullptr);
  result["lineage"] =
      fs::exists(folder / "lineage.json") ? read_json(folder / "lineage.json") : Json(nullptr);
  return result;
}

int run_inspect(const CommandLine& line) {
  const Json result = inspect(line.only("DIR"));
  if (print_json_if_asked(line, result)) return 0;
  for (const auto& [key, value] : result.items()) {
    if (key == "lineage") continue;
    std::string name = key;
    name.resize(26, ' ');
    std::cout << name << (value.is_string() ? value.get<std::string>() : value.dump()) << "\n";
  }
  std::cout << "\nlineage\n" << result["lineage"].dump(2) << "\n";
  return 0;
}

int run_merge(const CommandLine& line) {
  const fs::path adapter = line.only("ADAPTER_DIR"), base = line.require("--base"),
                 out = line.require("--out");
  AtomicFolder folder(out);
  Transformer model = load_model(base, {});
  load_adapter(model, adapter);
  merge_lora(model);
  save_model(folder.path(), model);
  copy_text_files(base, folder.path());
  DigestCache digests;
  LineageBuilder(LineageKind::kMerge, digests)
      .parent("base", base)
      .parent("adapter", adapter)
      .write(folder.path());
  folder.commit();
  print_json_if_asked(line, Json{{"model", out.string()}});
  return 0;
}

std::vector<Flag> import_flags() {
  return {{"--out", "DIR", "the Hugging Face folder to write (required; must not exist)"},
          {"--dtype", "DTYPE", "float32, bfloat16 (default) or float16"}};
}
std::vector<Flag> forward_flags() {
  return {{"--ids", "FILE", "JSON array of equally long arrays of token ids (required)"},
          {"--out", "FILE", "safetensors file to write, key logits [B, T, V] (required)"},
          {"--dtype", "DTYPE", "precision of the computation (default: the model's)"},
          {"--device", "DEVICE", "auto (default), cpu, cuda or cuda:N"}};
}
std::vector<Flag> merge_flags() {
  return {{"--base", "DIR", "the model that the adapter was trained on (required)"},
          {"--out", "DIR", "the merged model folder to write (required; must not exist)"}};
}

}  // namespace

Command model_import_command() {
  return {"model import",
          "turn a GGUF file into a Hugging Face folder",
          "FILE.gguf --out DIR",
          import_flags,
          nullptr,
          run_import,
          Arguments::kOne};
}
Command model_inspect_command() {
  return {"model inspect", "show a model's shape, precision, size and lineage",
          "DIR",           nullptr,
          nullptr,         run_inspect,
          Arguments::kOne};
}
Command model_forward_command() {
  return {"model forward",
          "write the logits for given token ids",
          "DIR --ids FILE --out FILE",
          forward_flags,
          nullptr,
          run_forward,
          Arguments::kOne};
}
Command model_merge_command() {
  return {"model merge",
          "merge a LoRA adapter into its base model",
          "ADAPTER_DIR --base DIR --out DIR",
          merge_flags,
          nullptr,
          run_merge,
          Arguments::kOne};
}

}  // namespace gradus
