// SPDX-License-Identifier: Apache-2.0
// Adapters in memory and on disk: what is refused, and that nothing is lost. What they compute is
// compared with PEFT in tests/interop/test_adapter.py.
#include "model/adapter.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full.h>

#include <cmath>
#include <functional>

#include "base/error.h"
#include "base/temporary_folder.h"
#include "model/folder.h"
#include "model/merge_adapters.h"
#include "support/catch.h"
#include "support/tiny_model.h"

using Catch::Matchers::Contains;

namespace gradus {
namespace {

const auto kUnchanged = [](Json&) {};
using Tensors = std::map<std::string, at::Tensor>;

// With an adapter whose B is not zero.
Transformer adapted_model(const LoraConfig& config, double value = 0.5) {
  Transformer model = tiny_model();
  attach_lora(model, config, 1);
  for (const NamedTensor& named : lora_tensors(model)) {
    if (named.name.ends_with("lora_B.weight")) at::Tensor(named.tensor).fill_(value);
  }
  return model;
}

void write_adapter(const fs::path& folder, const LoraConfig& config, double value = 0.5) {
  save_adapter(folder, adapted_model(config, value), config);
}

void change_config(const fs::path& folder, const std::function<void(Json&)>& edit) {
  Json json = read_json(folder / "adapter_config.json");
  edit(json);
  write_json(folder / "adapter_config.json", json);
}

void change_tensors(const fs::path& folder, const std::function<void(Tensors&)>& edit) {
  Tensors tensors;
  {
    const SafetensorsFile file(folder / "adapter_model.safetensors");
    for (const std::string& name : file.names())
      tensors[name] = view_of(file.at(name), name).clone();
  }
  edit(tensors);
  std::vector<TensorToWrite> list;
  for (const auto& [name, tensor] : tensors) list.push_back(tensor_to_write(name, tensor));
  fs::remove(folder / "adapter_model.safetensors");
  write_safetensors(folder / "adapter_model.safetensors", list);
}

std::string attach_error(const fs::path& folder) {
  Transformer base = tiny_model();
  try {
    attach_adapter(base, read_adapter(folder));
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

const LoraConfig kQ{.rank = 4, .target_modules = {"q_proj"}};

std::string config_error(const std::function<void(Json&)>& edit, double value = 0.5) {
  const TemporaryFolder folder;
  write_adapter(folder.path(), kQ, value);
  change_config(folder.path(), edit);
  return attach_error(folder.path());
}

std::string tensor_error(const std::function<void(Tensors&)>& edit) {
  const TemporaryFolder folder;
  write_adapter(folder.path(), kQ);
  change_tensors(folder.path(), edit);
  return attach_error(folder.path());
}

std::string set_error(const char* key, const Json& value) {
  return config_error([&](Json& json) { json[key] = value; });
}

const std::string kFirst = "base_model.model.model.layers.0.self_attn.q_proj";

}  // namespace

TEST_CASE("options that change what is computed are refused by name") {
  CHECK(config_error(kUnchanged) == "");
  const Json options{{"alora_invocation_tokens", {1}},
                     {"layer_replication", {{0, 1}}},
                     {"use_qalora", true},
                     {"megatron_config", {{"x", 1}}},
                     {"some_new_option", "on"}};
  for (const auto& [key, value] : options.items()) {
    CHECK_THAT(set_error(key.c_str(), value), Contains(key) && Contains("not supported"));
    CHECK(set_error(key.c_str(), nullptr) == "");
  }
  for (const char* init : {"pissa", "pissa_niter_4", "olora", "corda", "loftq", "lora_ga", "new"})
    CHECK_THAT(set_error("init_lora_weights", init), Contains(init) && Contains("converted"));
  CHECK(set_error("init_lora_weights", "gaussian") == "");
  CHECK_THAT(set_error("peft_type", "LOHA"), Contains("expected LORA, found LOHA"));
  CHECK_THAT(set_error("task_type", "SEQ_CLS"), Contains("CAUSAL_LM"));
}

TEST_CASE("values that cannot be used are refused by name") {
  for (const Json& rank : {Json(0), Json(-1), Json(1 << 20), Json(4.5), Json("4"), Json(nullptr)})
    CHECK_THAT(set_error("r", rank), Contains("'r'") || Contains("another rank"));
  CHECK_THAT(set_error("r", 5), Contains("another rank"));
  CHECK_THAT(set_error("lora_alpha", "x"), Contains("lora_alpha"));
  CHECK_THAT(set_error("bias", "some"), Contains("none, all or lora_only"));
  CHECK_THAT(set_error("target_modules", {"q_proj", 3}), Contains("target_modules"));
  CHECK_THAT(set_error("target_modules", Json::array()), Contains("target_modules"));
  CHECK_THAT(set_error("target_modules", "(q_proj"), Contains("regular expression"));
  CHECK_THAT(set_error("rank_pattern", {{"q_proj", 8}}), Contains("another rank"));
  CHECK_THAT(set_error("rank_pattern", {{"q_proj", 1e9}}), Contains("rank_pattern"));
  CHECK_THAT(set_error("rank_pattern", {1}), Contains("rank_pattern"));
  CHECK_THAT(set_error("alpha_pattern", {{"*", 8}}), Contains("regular expression"));
  CHECK_THAT(set_error("lora_bias", true), Contains("lora_B.bias is missing"));
  CHECK_THAT(set_error("target_parameters", {"experts.down_proj"}),
             Contains("experts.down_proj, which is no weight of its experts"));
  CHECK_THAT(set_error("trainable_token_indices", {1, 2}),
             Contains("nothing is stored for trainable_token_indices"));
  for (const Json& ids : {Json{1, 1}, Json{-1}, Json{1.5}, Json("x"), Json{{"lm_head", 3}}})
    CHECK_THAT(set_error("trainable_token_indices", ids), Contains("trainable_token_indices"));
  CHECK_THAT(set_error("layers_to_transform", "first"), Contains("layers_to_transform"));
  CHECK_THAT(set_error("layers_pattern", {"layers"}), Contains("layers_pattern"));
  CHECK(config_error([](Json& json) { json["rank_pattern"] = Json::object(); }) == "");
}

TEST_CASE("an adapter is used wholly or not at all") {
  CHECK_THAT(
      set_error("target_modules", {"q_proj", "v_proj"}),
      Contains("nothing is stored for model.layers.0.self_attn.v_proj") && Contains("2 more"));
  CHECK_THAT(set_error("target_modules", {"v_proj"}), Contains("does not name it"));
  CHECK_THAT(set_error("layers_to_transform", {0, 1}), Contains("layers.2.self_attn.q_proj"));
  CHECK_THAT(set_error("modules_to_save", {"lm_head"}), Contains("lm_head"));
  CHECK_THAT(set_error("use_dora", true), Contains("lora_magnitude_vector is missing"));
}

TEST_CASE("broken adapter files are refused with the tensor's name") {
  CHECK_THAT(config_error(kUnchanged, NAN),
             Contains("NaN") && Contains("layers.0.self_attn.q_proj.lora_B"));
  const auto at_a = [](const std::function<void(at::Tensor&)>& edit) {
    return tensor_error([&](Tensors& t) { edit(t.at(kFirst + ".lora_A.weight")); });
  };
  CHECK_THAT(tensor_error([](Tensors& t) { t.erase(kFirst + ".lora_B.weight"); }),
             Contains("lora_B is missing") && Contains("layers.0.self_attn.q_proj"));
  CHECK_THAT(at_a([](at::Tensor& a) { a = at::full({4, 63}, 0.5); }), Contains("[4, 63]"));
  CHECK_THAT(at_a([](at::Tensor& a) { a = at::full({64, 4}, 0.5); }), Contains("another rank"));
  CHECK_THAT(at_a([](at::Tensor& a) { a = at::full({256}, 0.5); }), Contains("another rank"));
  CHECK_THAT(at_a([](at::Tensor& a) { a = a.to(at::kInt); }), Contains("real numbers"));
  CHECK_THAT(tensor_error([](Tensors& t) {
               t["x.lora_A.weight"] = at::full({4, 4}, 1.0);
             }),
             Contains("base_model.model."));
  const auto with = [](const std::string& name, std::vector<int64_t> shape) {
    return tensor_error([&](Tensors& t) { t["base_model.model." + name] = at::full(shape, 1.0); });
  };
  CHECK_THAT(with("model.layers.9.mlp.up_proj.weight", {2}), Contains("no tensor of it"));
  CHECK_THAT(with("lm_head.weight", {2}), Contains("lm_head.weight has shape [2]"));
  CHECK_THAT(with("model.embed_tokens.token_adapter.trainable_tokens_delta", {2, 64}),
             Contains("trainable_token_indices does not name"));
  CHECK_THAT(with("lm_head.lora_embedding_A", {4, 160}), Contains("lora_B is missing"));
  CHECK_THAT(tensor_error([](Tensors& t) {
               t[kFirst + ".base_layer.bias"] = t["base_model.model.x.q_proj.bias"] =
                   at::full({64}, 1.0);
               t[kFirst + ".bias"] = at::full({64}, 1.0);
             }),
             Contains("stored twice"));
}

TEST_CASE("trainable tokens replace rows, and must be those of the vocabulary") {
  const TemporaryFolder folder;
  write_adapter(folder.path(), kQ);
  const std::string name =
      "base_model.model.model.embed_tokens.token_adapter.trainable_tokens_delta";
  change_tensors(folder.path(), [&](Tensors& t) { t[name] = at::full({2, 64}, 3.0); });
  const auto with_ids = [&](const Json& ids) {
    change_config(folder.path(), [&](Json& json) { json["trainable_token_indices"] = ids; });
    return attach_error(folder.path());
  };
  CHECK(with_ids({159, 2}) == "");
  CHECK(with_ids({{"embed_tokens", {1, 2}}}) == "");
  CHECK_THAT(with_ids({1, 160}), Contains("outside of 160"));
  CHECK_THAT(with_ids({1, 2, 3}), Contains("trainable_tokens_delta has shape [2, 64]"));
  CHECK_THAT(with_ids({{"lm_head", {1, 2}}}), Contains("embed_tokens has rows"));
  with_ids({159, 2});
  Transformer model = tiny_model();
  const at::Tensor before = model.embedding.clone();
  attach_adapter(model, read_adapter(folder.path()));
  CHECK(model.embedding.select(0, 2).eq(3).all().item<bool>());
  CHECK(model.embedding.narrow(0, 3, 156).equal(before.narrow(0, 3, 156)));
}

TEST_CASE("a folder that is no adapter is named for what it is") {
  const TemporaryFolder folder;
  CHECK_THAT(attach_error(folder.path()), Contains("no adapter_config.json"));
  CHECK_THAT(attach_error(folder.path() / "none"), Contains("not a folder"));
  save_model(folder.path(), tiny_model());
  CHECK_THAT(attach_error(folder.path()), Contains("is a model, not an adapter"));
  const TemporaryFolder pickled;
  write_adapter(pickled.path(), kQ);
  fs::rename(pickled.path() / "adapter_model.safetensors", pickled.path() / "adapter_model.bin");
  CHECK_THAT(attach_error(pickled.path()), Contains("pickle") && Contains("torch.load"));
}

TEST_CASE("a written adapter reads back with every option") {
  LoraConfig config{.rank = 4,
                    .alpha = 7,
                    .use_rslora = true,
                    .use_dora = true,
                    .target_modules = {"q_proj", "down_proj"},
                    .layers_to_transform = {0, 2},
                    .layers_pattern = {"layers"},
                    .rank_pattern = {{"q_proj", 3}},
                    .alpha_pattern = {{"layers.0.mlp.down_proj", 2.5}},
                    .modules_to_save = {"lm_head"},
                    .base_model = "a/base"};
  const TemporaryFolder folder;
  write_adapter(folder.path(), config);
  const Adapter adapter = read_adapter(folder.path());
  CHECK(lora_config_to_json(adapter.config) == lora_config_to_json(config));
  REQUIRE(adapter.pairs.size() == 4);
  const LoraPair& down = adapter.pairs.at("model.layers.0.mlp.down_proj");
  CHECK(down.scale == Approx(2.5 / 2));
  CHECK(adapter.pairs.at("model.layers.2.self_attn.q_proj").scale == Approx(7 / std::sqrt(3.0)));
  CHECK(down.magnitude.equal(row_lengths(tiny_model().layers()[0].down.weight)));
  CHECK(adapter.tensors.at("lm_head.weight").equal(tiny_model().output.weight));
  CHECK(attach_error(folder.path()) == "");
}

TEST_CASE("a pattern of layers may hold alternatives, or nothing that names a layer") {
  const auto targets = [](const std::string& pattern, const std::string& module) {
    const LoraRules rules(
        {.target_modules = {"q_proj"}, .layers_to_transform = {2}, .layers_pattern = {pattern}},
        "test");
    return rules.is_target(module, ModuleKind::kLinear);
  };
  CHECK(targets("blocks|layers", "model.layers.2.self_attn.q_proj"));
  CHECK_FALSE(targets("blocks|layers", "model.layers.1.self_attn.q_proj"));
  for (const char* pattern : {"|ayers", ")|("})
    CHECK_FALSE(targets(pattern, "model.layers.2.self_attn.q_proj"));
}

TEST_CASE("a new adapter changes nothing, and names that match nothing are refused") {
  Transformer model = tiny_model();
  const at::Tensor before = model.layers()[1].down.weight.clone();
  attach_lora(model, {.use_dora = true, .target_pattern = "all-linear"}, 3);
  CHECK(lora_tensors(model).size() == 3 * 7 * 3);
  merge_lora(model);
  CHECK((model.layers()[1].down.weight - before).abs().max().item<double>() < 1e-6);
  CHECK_THROWS_WITH(attach_lora(model, {.target_modules = {"c_attn"}}, 1),
                    Contains("c_attn") && Contains("down_proj"));
  CHECK_THROWS_WITH(attach_lora(model, {.target_modules = {"embed_tokens"}}, 1),
                    Contains("embed_tokens"));
  CHECK_THROWS_WITH(
      attach_lora(model, {.target_modules = {"q_proj"}, .modules_to_save = {"head_lm"}}, 1),
      Contains("head_lm"));
  CHECK_THROWS_WITH(
      attach_lora(model, {.target_modules = {"q_proj"}, .modules_to_save = {"up_proj"}}, 1),
      Contains("one product"));
}

TEST_CASE("a merge that computes something else than the adapter is refused") {
  const LoraConfig config{.rank = 4, .target_modules = {"down_proj"}};
  Transformer right = adapted_model(config);
  const MergeCheck check = merge_checked(right, at::kFloat);
  CHECK(check.tokens == 32);
  CHECK(check.largest_difference <= 1e-4 * check.largest_logit);
  CHECK(check.largest_logit > 1);

  // Two layers hold one tensor: what is merged into one of them changes the other too.
  Transformer wrong = adapted_model(config);
  wrong.layers()[1].down.weight = wrong.layers()[0].down.weight;
  CHECK_THROWS_WITH(merge_checked(wrong, at::kFloat),
                    Contains("the merged model does not compute what the adapter does"));

  Transformer broken = adapted_model(config, std::nan(""));
  CHECK_THROWS_WITH(merge_checked(broken, at::kFloat),
                    Contains("the merged model does not compute what the adapter does"));
}

}  // namespace gradus
