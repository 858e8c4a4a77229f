// SPDX-License-Identifier: Apache-2.0
// What model and adapter folders are refused for, before it can do harm.
#include "model/folder.h"

#include <ATen/TensorOperators.h>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "model/lora.h"
#include "support/catch.h"
#include "support/tiny_model.h"

// Last: libtorch has a CHECK of its own.

using Catch::Matchers::Contains;

namespace gradus {
namespace {

void change(const fs::path& file, const std::function<void(Json&)>& edit) {
  Json json = read_json(file);
  edit(json);
  write_json(file, json);
}

std::string load_error(const std::function<void(Json&)>& edit, const LoadOptions& options = {}) {
  const TemporaryFolder folder;
  save_model(folder.path(), tiny_model());
  change(folder / "config.json", edit);
  try {
    load_model(folder.path(), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

// The error of loading an adapter for q_proj whose configuration was edited.
std::string adapter_error(const std::function<void(Json&)>& edit, double value = 0.5) {
  const TemporaryFolder folder;
  const LoraConfig config{.rank = 4, .target_modules = {"q_proj"}};
  Transformer model = tiny_model();
  attach_lora(model, config, 1);
  at::Tensor(lora_tensors(model)[1].tensor).fill_(value);
  save_adapter(folder.path(), model, config, "base");
  change(folder / "adapter_config.json", edit);
  Transformer base = tiny_model();
  try {
    load_adapter(base, folder.path());
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const auto kUnchanged = [](Json&) {};

}  // namespace

TEST_CASE("a saved model loads") { CHECK(load_error(kUnchanged) == ""); }

TEST_CASE("a configuration larger than the weights is refused before it is allocated") {
  CHECK_THAT(load_error([](Json& json) { json["intermediate_size"] = 1 << 24; }),
             Contains("larger model than the weights"));
  CHECK_THAT(load_error([](Json& json) {
               for (const char* key : {"hidden_size", "intermediate_size", "num_hidden_layers",
                                       "num_attention_heads", "vocab_size", "head_dim"})
                 json[key] = 1 << 24;
             }),
             Contains("too large"));
}

TEST_CASE("dtypes that cannot be computed with are refused") {
  for (const char* name : {"float64", "int8", "float8_e4m3fn"})
    CHECK_THAT(load_error([&](Json& json) { json["dtype"] = name; }),
               Contains("dtype is not supported"));
  CHECK(load_error([](Json& json) { json["dtype"] = "float16"; }) == "");
  CHECK_THAT(load_error(kUnchanged, {.dtype = at::kHalf}), Contains("float16"));
}

TEST_CASE("adapters are refused for what would be computed wrongly") {
  CHECK(adapter_error(kUnchanged) == "");
  CHECK(adapter_error([](Json& json) { json["rank_pattern"] = Json::object(); }) == "");
  for (const char* key : {"rank_pattern", "alpha_pattern"})
    CHECK_THAT(adapter_error([&](Json& json) { json[key] = Json{{"q_proj", 8}}; }), Contains(key));
  CHECK_THAT(adapter_error([](Json& json) {
               json["target_modules"] = Json::array({"q_proj", 3});
             }),
             Contains("target_modules"));
  CHECK_THAT(adapter_error(kUnchanged, NAN),
             Contains("NaN") && Contains("layers.0.self_attn.q_proj.lora_B"));
}

}  // namespace gradus
