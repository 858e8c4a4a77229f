// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/gguf_pre_type.h"

#include <utility>

#include "text/tokenizer/component.h"
#include "text/tokenizer/word_scanner.h"

namespace gradus {
namespace {

// How a pre-tokenizer cuts text: GPT-2's expression alone or after single digits, Falcon's steps,
// DeepSeek-V3's steps, or one expression of its own.
enum class Split { kGpt2, kDigitsGpt2, kFalcon, kDeepseek3, kPattern };

struct PreTokenizerRow {
  Split split;
  const char* pattern = "";
  bool nfc = false;
  bool ignore_merges = false;  // a piece that is a token stays whole, as llama.cpp does
  bool adds_bos = false;       // when the file does not say
};

constexpr PreTokenizerRow kLlama3Row{Split::kPattern, kLlama3Pattern, false, true, true};
constexpr PreTokenizerRow kQwen2Row{Split::kPattern, kQwen2Pattern, true};

// smollm: llama.cpp and the model's own tokenizer.json cut digits one by one before GPT-2's split;
// transformers leaves that out when it reads a GGUF file, and we give its ids. They differ only
// where two or more spaces precede a digit.
constexpr Component<PreTokenizerRow> kPreTokenizers[] = {
    {"default", {Split::kGpt2}},
    {"gpt-2", {Split::kGpt2}},
    {"phi-2", {Split::kGpt2}},
    {"mpt", {Split::kGpt2}},
    {"olmo", {Split::kGpt2}},
    {"jais", {Split::kGpt2}},
    {"trillion", {Split::kGpt2}},
    {"smollm", {Split::kGpt2}},
    {"starcoder", {Split::kDigitsGpt2}},
    {"refact", {Split::kDigitsGpt2}},
    {"command-r", {Split::kDigitsGpt2}},
    {"codeshell", {Split::kDigitsGpt2}},
    {"exaone", {Split::kDigitsGpt2}},
    {"minerva-7b", {Split::kDigitsGpt2}},
    {"falcon", {Split::kFalcon}},
    {"llama-bpe", kLlama3Row},
    {"llama3", kLlama3Row},
    {"llama-v3", kLlama3Row},
    {"falcon3", kLlama3Row},
    {"pixtral", kLlama3Row},
    {"dbrx", {Split::kPattern, kLlama3Pattern}},
    {"smaug-bpe", {Split::kPattern, kLlama3Pattern}},
    {"chatglm-bpe", {Split::kPattern, kLlama3Pattern}},
    {"qwen2", kQwen2Row},
    {"deepseek-r1-qwen", kQwen2Row},
    {"stablelm2", {Split::kPattern, kQwen2Pattern}},
    {"tekken", {Split::kPattern, kTekkenPattern, false, true, true}},
    {"gpt-4o", {Split::kPattern, kGpt4oPattern}},
    {"llama4", {Split::kPattern, kGpt4oPattern}},
    {"deepseek-v3", {Split::kDeepseek3}},
};

Json split_step(const char* pattern) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", pattern}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json pre_tokenizer(const PreTokenizerRow& row) {
  Json steps = Json::array();
  switch (row.split) {
    case Split::kGpt2:
      return byte_level(true);
    case Split::kDigitsGpt2:
      steps = {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(true)};
      break;
    case Split::kFalcon:
      steps = {{{"type", "Punctuation"}, {"behavior", "Contiguous"}},
               byte_level(true),
               {{"type", "Digits"}, {"individual_digits", false}},
               split_step(kThreeDigits)};
      break;
    case Split::kDeepseek3:
      steps = {split_step(kDeepseek3Numbers), split_step(kDeepseek3Cjk),
               split_step(kDeepseek3Pattern), byte_level(false)};
      break;
    case Split::kPattern:
      steps = {split_step(row.pattern), byte_level(false)};
      break;
  }
  return {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
}

Json normalizer(const PreTokenizerRow& row) {
  return row.nfc ? Json{{"type", "NFC"}} : Json(nullptr);
}

// One step as the table writes it: what has no influence on the ids is dropped.
Json plain_step(Json step) {
  step.erase("trim_offsets");
  if (step.value("type", "") == "ByteLevel" && !step.contains("use_regex"))
    step["use_regex"] = true;
  return step;
}

// The steps of a pre-tokenizer in a list, sequences of sequences opened.
void add_steps(const Json& component, Json& steps, int depth, const std::string& where) {
  check_component_depth(depth, where);
  if (!component.is_object()) return;
  if (component.value("type", Json()) != "Sequence") {
    steps.push_back(plain_step(component));
    return;
  }
  for (const Json& step : json_array(component, "pretokenizers", where))
    add_steps(step, steps, depth + 1, where);
}

Json steps_of(const Json& component, const std::string& where) {
  Json steps = Json::array();
  add_steps(component, steps, 0, where);
  return steps;
}

// Members in any order.
bool same(const Json& a, const Json& b) {
  return nlohmann::json::parse(a.dump()) == nlohmann::json::parse(b.dump());
}

}  // namespace

GgufPreType gguf_pre_type(const std::string& name, const std::string& where) {
  const PreTokenizerRow& row = find_component(kPreTokenizers, name, where);
  return {.normalizer = normalizer(row),
          .pre_tokenizer = pre_tokenizer(row),
          .ignore_merges = row.ignore_merges,
          .adds_bos = row.adds_bos};
}

std::string gguf_pre_type_of(const Json& tokenizer, const std::string& where) {
  const Json steps = steps_of(tokenizer.value("pre_tokenizer", Json()), where);
  const Json normal = tokenizer.value("normalizer", Json());
  const bool ignore = json_get<bool>(tokenizer.at("model"), "ignore_merges", false, where);
  for (const auto& [name, row] : kPreTokenizers) {
    if (name == "default" || row.ignore_merges != ignore) continue;  // no model's own name
    if (same(steps_of(pre_tokenizer(row), where), steps) && same(normalizer(row), normal))
      return std::string(name);
  }
  throw Error({.what = "llama.cpp has no name for this way of cutting text",
               .where = where,
               .expected = "the pre-tokenizer of a published family, such as gpt-2, llama-bpe, "
                           "qwen2, tekken, gpt-4o, falcon or deepseek-v3",
               .found = printable(cat("normalizer ", normal.dump(), ", pre_tokenizer ",
                                      steps.dump(), ignore ? ", ignore_merges" : ""),
                                  300)});
}

}  // namespace gradus
