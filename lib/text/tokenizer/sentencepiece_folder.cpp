// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/sentencepiece_folder.h"

#include <algorithm>
#include <unordered_set>

#include "base/error.h"
#include "text/tokenizer/vocab.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr const char* kMark = "\xE2\x96\x81";  // U+2581
constexpr SpecialDefaults kLlamaTokens{"<s>", "</s>", "<unk>"};
constexpr SpecialDefaults kGemmaTokens{"<bos>", "<eos>", "<unk>", nullptr,
                                       "<pad>", nullptr, "<mask>"};
constexpr const char* kGlmTokens[] = {"[MASK]", "[gMASK]", "[sMASK]", "sop", "eop"};

// Classes whose ids are not the model's, or that add tokens around a text in their own way.
constexpr std::string_view kRefused[] = {
    "T5Tokenizer",          "MT5Tokenizer",      "XLMRobertaTokenizer", "CamembertTokenizer",
    "AlbertTokenizer",      "XLNetTokenizer",    "MBartTokenizer",      "MBart50Tokenizer",
    "NllbTokenizer",        "PegasusTokenizer",  "BigBirdTokenizer",    "DebertaV2Tokenizer",
    "BarthezTokenizer",     "ReformerTokenizer", "RemBertTokenizer",    "XGLMTokenizer",
    "SeamlessM4TTokenizer", "UdopTokenizer",     "FNetTokenizer",       "CpmTokenizer"};

Json replace_step(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json vocab_of(const SentencePieceModel& facts) {
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (size_t id = 0; id < facts.pieces.size(); ++id)
    entries.emplace_back(facts.pieces[id].text, id);
  return vocab;
}

StringIndex index_of(const SentencePieceModel& facts) {
  StringIndex index;
  index.reserve(facts.pieces.size());
  for (size_t id = 0; id < facts.pieces.size(); ++id)
    index.add(facts.pieces[id].text, static_cast<TokenId>(id));
  return index;
}

// Every cut of a piece into two pieces, in the order of ids.
Json merges_of(const SentencePieceModel& facts, const StringIndex& index) {
  Json merges = Json::array();
  for (const auto& piece : facts.pieces) {
    const std::string_view text = piece.text;
    for (size_t cut = 0; cut < text.size();) {
      cut += decode_utf8(text, cut).bytes;
      if (cut == text.size()) break;
      const std::string_view left = text.substr(0, cut), right = text.substr(cut);
      if (index.find(left) >= 0 && index.find(right) >= 0)
        merges.push_back({std::string(left), std::string(right)});
    }
  }
  return merges;
}

std::unordered_set<std::string> contents_of(const Json& added) {
  std::unordered_set<std::string> out;
  for (const Json& entry : added) out.insert(entry.at("content").get<std::string>());
  return out;
}

// With the model's control pieces and user-defined ones, which transformers adds as well.
Json added_tokens(const SentencePieceModel& facts, const TokenizerFolder& folder,
                  const SpecialDefaults& defaults, const StringIndex& index) {
  Json added = added_tokens_of(
      folder, defaults, [&](const std::string& token) { return int64_t{index.find(token)}; },
      static_cast<int64_t>(facts.pieces.size()));
  std::unordered_set<std::string> seen = contents_of(added);
  for (size_t id = 0; id < facts.pieces.size(); ++id) {
    const auto& [content, score, type] = facts.pieces[id];
    const bool control = type == kControlPiece;
    if (!control && type != kUserDefinedPiece) continue;
    if (!seen.insert(content).second) continue;
    added.push_back(added_token_entry(content, static_cast<int64_t>(id), control));
    added.back()["normalized"] = false;
  }
  return added;
}

// Normalizer, pre-tokenizer and decoder.
void add_steps(Json& out, const TokenizerFolder& folder, bool gemma) {
  const bool prefix = !gemma && folder.flag("add_prefix_space", true);
  Json decoders = {replace_step(kMark, " "), {{"type", "ByteFallback"}}, {{"type", "Fuse"}}};
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  out["decoder"] = {{"type", "Sequence"}, {"decoders", std::move(decoders)}};
  if (gemma) {
    out["normalizer"] = replace_step(" ", kMark);
    return;
  }
  const char* scheme = !prefix ? "never" : folder.flag("legacy", false) ? "always" : "first";
  out["pre_tokenizer"] = {
      {"type", "Metaspace"}, {"replacement", kMark}, {"prepend_scheme", scheme}, {"split", false}};
}

// Of the added tokens of a model that brings its own Python, the ids are what the files say.
Json own_added_tokens(const SentencePieceModel& facts, const TokenizerFolder& folder) {
  const StringIndex index = index_of(facts);
  int64_t end = static_cast<int64_t>(facts.pieces.size());
  if (!folder.listed.empty()) end = std::max(end, folder.listed.rbegin()->first + 1);
  Json added = Json::array();
  for (const auto& [id, entry] : folder.listed) {
    added.push_back(entry);
    added.back()["id"] = id;
  }
  const std::unordered_set<std::string> listed = contents_of(added);
  TokenizerFolder named = folder;
  named.listed.clear();
  for (Json& entry : added_tokens(facts, named, {}, index)) {
    const std::string content = entry.at("content").get<std::string>();
    const auto known = index.find(content);
    const bool taken = folder.listed.contains(known);  // the files give this piece another name
    if (taken || listed.contains(content)) continue;
    entry["id"] = known >= 0 ? known : end++;
    added.push_back(std::move(entry));
  }
  return added;
}

}  // namespace

std::optional<Json> tokenizer_json_from_sentencepiece(const SentencePieceModel& facts,
                                                      const TokenizerFolder& folder) {
  const bool gemma = folder.class_name == "GemmaTokenizer";
  const bool llama =
      folder.class_name == "LlamaTokenizer" || folder.class_name == "CodeLlamaTokenizer";
  if ((!llama && !gemma) || !facts.bpe) return std::nullopt;
  const SpecialDefaults& defaults = gemma ? kGemmaTokens : kLlamaTokens;
  const StringIndex index = index_of(facts);
  Json out = {{"version", "1.0"}};
  add_steps(out, folder, gemma);
  out["added_tokens"] = added_tokens(facts, folder, defaults, index);
  out["post_processor"] = ends_post_processor(folder, defaults, out["added_tokens"], true);
  out["model"] = {{"type", "BPE"},
                  {"fuse_unk", true},
                  {"byte_fallback", true},
                  {"vocab", vocab_of(facts)},
                  {"merges", merges_of(facts, index)}};
  // LlamaTokenizer names no unknown token: what no byte stands for is left out.
  if (const auto unknown = folder.token("unk_token", "<unk>"); gemma && unknown)
    out["model"]["unk_token"] = *unknown;
  return out;
}

SentencePieceAdditions sentencepiece_additions(const SentencePieceModel& facts,
                                               const TokenizerFolder& folder,
                                               const SentencePieceEnds& ends) {
  if (std::find(std::begin(kRefused), std::end(kRefused), folder.class_name) != std::end(kRefused))
    throw Error({.what = folder.class_name + " gives other ids than its tokenizer.model",
                 .where = folder.where,
                 .expected = "tokenizer.json"});
  SentencePieceAdditions out{.added_tokens = own_added_tokens(facts, folder)};
  if (folder.class_name == "ChatGLMTokenizer") {
    auto next = static_cast<int64_t>(facts.pieces.size());
    for (const char* token : kGlmTokens) {
      if (added_token_id(out.added_tokens, token) < 0)
        out.added_tokens.push_back(added_token_entry(token, next, true));
      ++next;
    }
    out.before = {added_token_id(out.added_tokens, "[gMASK]"),
                  added_token_id(out.added_tokens, "sop")};
    return out;
  }
  const auto put = [&](std::vector<int64_t>& to, const char* name, int64_t fallback) {
    const auto token = folder.token(name);
    int64_t id = token ? added_token_id(out.added_tokens, *token) : -1;
    if (!folder.config.contains(name)) id = fallback;
    if (id >= 0) to.push_back(id);
  };
  if (folder.flag("add_bos_token", true)) put(out.before, "bos_token", ends.bos);
  if (folder.flag("add_eos_token", false)) put(out.after, "eos_token", ends.eos);
  return out;
}

}  // namespace gradus
