// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/inspect.h"

#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "base/system.h"
#include "data/text_tools.h"
#include "store/adapter_base.h"
#include "store/inspect/contents.h"
#include "store/inspect/kv_cache.h"
#include "store/inspect/parts.h"
#include "store/inspect/state_size.h"
#include "store/licence.h"
#include "store/walk.h"

namespace gradus {
namespace {

Json text_or_null(const Json& object, const std::string& key) {
  const bool there = object.is_object() && object.contains(key) && object.at(key).is_string();
  return there ? object.at(key) : Json(nullptr);
}

std::string kind_name(ContentsKind kind) {
  switch (kind) {
    case ContentsKind::kModel:
      return "model";
    case ContentsKind::kAdapter:
      return "adapter";
    case ContentsKind::kGguf:
      return "gguf";
  }
  throw std::logic_error("ContentsKind without a name");
}

Json family_of(const ModelContents& contents) {
  if (contents.kind == ContentsKind::kGguf)
    return text_or_null(contents.metadata, "general.architecture");
  return text_or_null(contents.config,
                      contents.kind == ContentsKind::kModel ? "model_type" : "peft_type");
}

Json dtypes_of(const ModelContents& contents) {
  std::map<std::string, std::pair<int64_t, int64_t>> found;
  for (const ContentTensor& tensor : contents.tensors) {
    ++found[tensor.dtype].first;
    found[tensor.dtype].second += static_cast<int64_t>(tensor.bytes.size());
  }
  Json dtypes = Json::object();
  for (const auto& [dtype, count] : found)
    dtypes[dtype] = {{"tensors", count.first}, {"bytes", count.second}};
  return dtypes;
}

// The numbers that the configuration gives, under their names there.
Json shape_of(const ModelContents& contents) {
  Json shape = Json::object();
  const bool gguf = contents.kind == ContentsKind::kGguf;
  const Json& source = gguf ? contents.metadata : contents.config;
  const std::string prefix =
      gguf && source.contains("general.architecture") && source["general.architecture"].is_string()
          ? source["general.architecture"].get<std::string>() + "."
          : "";
  for (const auto& [key, value] : source.items()) {
    if (!value.is_number_integer() || !key.starts_with(prefix)) continue;
    if (key.ends_with("_token_id") || key == "pad_token_id") continue;
    shape[key.substr(prefix.size())] = value;
  }
  return shape;
}

Json tensors_of(const ModelContents& contents) {
  Json list = Json::array();
  for (const ContentTensor& tensor : contents.tensors)
    list.push_back({{"name", tensor.name}, {"dtype", tensor.dtype}, {"shape", tensor.shape}});
  return list;
}

std::string tokenizer_type(const fs::path& folder) {
  const fs::path json = folder / "tokenizer.json";
  if (!fs::exists(json))
    return fs::exists(folder / "tokenizer.model") ? "SentencePiece"
           : fs::exists(folder / "vocab.txt")     ? "WordPiece"
           : fs::exists(folder / "vocab.json")    ? "BPE"
                                                  : "tiktoken";
  const Json document = read_json(json);
  const Json model = document.is_object() ? document.value("model", Json::object()) : Json();
  return text_or_null(model, "type").is_string() ? model["type"].get<std::string>() : "BPE";
}

Json special_tokens(const Tokenizer& tokenizer) {
  Json special = Json::object();
  for (TokenId id = 0; id < tokenizer.vocab_size(); ++id) {
    if (tokenizer.has_token(id) && tokenizer.is_special(id))
      special[std::to_string(id)] = tokenizer.id_to_token(id);
  }
  return special;
}

// Of a folder; an unreadable tokenizer is part of the report.
Json tokenizer_of(const fs::path& folder) {
  DigestCache digests;
  if (tokenizer_digest(folder, digests).empty()) return nullptr;
  try {
    const TextTools tools = load_text_tools(folder);
    return {{"type", tokenizer_type(folder)},
            {"vocab_size", tools.tokenizer->vocab_size()},
            {"bos_token", tools.bos_token},
            {"eos_token", tools.eos_token},
            {"special_tokens", special_tokens(*tools.tokenizer)}};
  } catch (const Error& error) {
    return {{"problem", error.what()}};
  }
}

Json gguf_tokenizer(const Json& metadata) {
  const Json tokens = metadata.value("tokenizer.ggml.tokens", Json());
  if (!tokens.is_array()) return nullptr;
  const auto token = [&](const char* key) {
    const Json id = metadata.value(key, Json());
    const bool inside = id.is_number_unsigned() && id.get<uint64_t>() < tokens.size();
    return inside ? tokens[id.get<size_t>()] : Json(nullptr);
  };
  Json special = Json::object();
  const Json types = metadata.value("tokenizer.ggml.token_type", Json::array());
  for (size_t i = 0; i < std::min(types.size(), tokens.size()); ++i) {
    if (types[i] == Json(3)) special[std::to_string(i)] = tokens[i];  // 3: control
  }
  return {{"type", text_or_null(metadata, "tokenizer.ggml.model")},
          {"vocab_size", tokens.size()},
          {"bos_token", token("tokenizer.ggml.bos_token_id")},
          {"eos_token", token("tokenizer.ggml.eos_token_id")},
          {"special_tokens", special}};
}

// What the text of a template mentions; it is not run.
Json template_summary(const std::string& source) {
  Json roles = Json::array(), uses = Json::array();
  for (const std::string role : {"system", "developer", "user", "assistant", "tool"}) {
    for (const char* quote : {"'", "\""}) {
      if (source.find(quote + role + quote) == std::string::npos) continue;
      roles.push_back(role);
      break;
    }
  }
  for (const char* name : {"tools", "tool_calls", "documents", "add_generation_prompt",
                           "enable_thinking", "reasoning_content"}) {
    if (source.find(name) != std::string::npos) uses.push_back(name);
  }
  if (source.find("generation %}") != std::string::npos ||
      source.find("generation -%}") != std::string::npos)
    uses.push_back("generation blocks");
  return {{"characters", source.size()}, {"roles", roles}, {"uses", uses}};
}

Json template_of(const ModelContents& contents) {
  if (contents.kind == ContentsKind::kGguf) {
    const Json text = text_or_null(contents.metadata, "tokenizer.chat_template");
    return text.is_string() ? template_summary(text.get<std::string>()) : Json(nullptr);
  }
  try {
    const auto chat_template = load_chat_template(contents.path);
    return chat_template ? template_summary(chat_template->source()) : Json(nullptr);
  } catch (const Error& error) {
    return {{"problem", error.what()}};
  }
}

// {"input": licence}; one entry, "model", without a lineage.
Json licences_of(const ModelContents& contents) {
  if (contents.kind == ContentsKind::kGguf)
    return {{"model", text_or_null(contents.metadata, "general.license")}};
  Json licences = Json::object();
  if (has_lineage(contents.path)) {
    for (const LineageLicence& licence : read_lineage(contents.path).licences)
      licences[licence.input] = licence.licence.empty() ? Json(nullptr) : Json(licence.licence);
  }
  const std::string own = folder_licence(contents.path);
  if (licences.empty() || !own.empty()) licences["model"] = own.empty() ? Json(nullptr) : Json(own);
  return licences;
}

Json quantization_of(const ModelContents& contents) {
  if (!contents.config.is_object()) return nullptr;
  const Json quantization = contents.config.value("quantization_config", Json(nullptr));
  if (!quantization.is_object()) return nullptr;
  Json summary = Json::object();
  for (const char* key : {"quant_method", "format", "bits", "group_size", "desc_act", "version"}) {
    if (quantization.contains(key)) summary[key] = quantization.at(key);
  }
  const Json groups = quantization.value("config_groups", Json::object());
  for (const auto& [name, group] : groups.items()) {
    if (!group.is_object() || !group.contains("weights") || !group["weights"].is_object()) continue;
    for (const char* key : {"num_bits", "type", "strategy", "group_size"}) {
      if (group["weights"].contains(key)) summary[key] = group["weights"][key];
    }
  }
  return summary;
}

// What the configuration of an adapter says; null for anything else.
Json adapter_of(const ModelContents& contents) {
  if (contents.kind != ContentsKind::kAdapter) return nullptr;
  const AdapterBase base = find_adapter_base(contents.path);
  Json summary = {
      {"base", base.named.empty() ? Json(nullptr) : Json(base.named)},
      {"base_folder", base.folder.empty() ? Json(nullptr) : Json(base.folder.string())}};
  for (const char* key : {"r", "lora_alpha", "use_rslora", "use_dora", "target_modules",
                          "target_parameters", "modules_to_save"}) {
    if (contents.config.contains(key) && !contents.config.at(key).is_null())
      summary[key] = contents.config.at(key);
  }
  return summary;
}

std::string lineage_tree(const ModelContents& contents, DigestCache& digests) {
  if (contents.kind == ContentsKind::kGguf || !has_lineage(contents.path)) return "";
  return render_lineage(walk_lineage(contents.path, digests));
}

}  // namespace

Json inspect_model(const fs::path& path, DigestCache& digests) {
  const ModelContents contents = open_contents(path);
  const bool gguf = contents.kind == ContentsKind::kGguf;
  Json report = {{"path", path.string()},
                 {"kind", kind_name(contents.kind)},
                 {"family", family_of(contents)},
                 {"parameters", parameter_counts(contents)},
                 {"dtypes", dtypes_of(contents)},
                 {"quantization", quantization_of(contents)},
                 {"memory", weight_memory(contents)},
                 {"kv_cache", kv_cache_size(contents)},
                 {"state_bytes", state_bytes(contents)},
                 {"shape", shape_of(contents)},
                 {"tokenizer", gguf ? gguf_tokenizer(contents.metadata) : tokenizer_of(path)},
                 {"chat_template", template_of(contents)},
                 {"licences", licences_of(contents)},
                 {"adapter", adapter_of(contents)},
                 {"lineage", lineage_tree(contents, digests)},
                 {"tensors", tensors_of(contents)}};
  Json documents = Json::object();
  if (gguf) documents["metadata"] = contents.metadata;
  if (!gguf) documents["config"] = contents.config;
  if (!gguf && has_lineage(path)) documents["lineage"] = read_json(path / "lineage.json");
  report["documents"] = documents;
  return report;
}

}  // namespace gradus
