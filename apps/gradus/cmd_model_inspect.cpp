// SPDX-License-Identifier: Apache-2.0
// gradus model inspect: what a model folder holds.
#include <iostream>

#include "base/error.h"
#include "commands.h"
#include "model/folder.h"
#include "model/quantization_config.h"

namespace gradus {
namespace {

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

}  // namespace

Command model_inspect_command() {
  return {"model inspect", "show a model's shape, precision, size and lineage",
          "DIR",           nullptr,
          nullptr,         run_inspect,
          Arguments::kOne};
}

}  // namespace gradus
