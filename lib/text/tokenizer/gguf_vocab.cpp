// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/gguf_vocab.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "text/tokenizer/base64.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/gguf_pre_type.h"
#include "text/tokenizer/piece_type.h"
#include "text/tokenizer/vocab.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxTokens = 1 << 22, kMaxTokenBytes = 1 << 12;
constexpr const char* kSpaceMark = "\xE2\x96\x81";  // U+2581

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;  // empty when the file has none
  Json vocab = Json::object();
};

std::string key_name(const char* key) { return std::string("tokenizer.ggml.") + key; }

void read_types(const Json& metadata, Vocabulary& out, const std::string& where) {
  if (!metadata.contains(key_name("token_type"))) return;
  for (const Json& type : json_array(metadata, key_name("token_type"), where)) {
    if (!type.is_number_integer()) json_wrong_type(type, key_name("token_type"), "integers", where);
    out.types.push_back(type.get<int64_t>());
  }
  if (out.types.size() != out.tokens.size())
    throw Error({.what = "tokens and their types differ in number",
                 .where = where + ": " + key_name("token_type"),
                 .expected = cat(out.tokens.size()),
                 .found = cat(out.types.size())});
}

// What llama.cpp's converter writes for ids that no token has.
bool is_padding(const Vocabulary& vocabulary, size_t id) {
  return !vocabulary.types.empty() && vocabulary.types[id] == kUnusedPiece &&
         vocabulary.tokens[id] == cat("[PAD", id, "]");
}

Vocabulary read_vocabulary(const Json& metadata, const std::string& where) {
  const Json& tokens = json_array(metadata, key_name("tokens"), where);
  if (tokens.size() > kMaxTokens)
    throw Error({.what = "has too many tokens", .where = where, .found = cat(tokens.size())});
  Vocabulary out;
  for (const Json& token : tokens) {
    if (!token.is_string() || token.get_ref<const std::string&>().size() > kMaxTokenBytes)
      throw Error({.what = cat("token ", out.tokens.size(), " is not a short string"),
                   .where = where + ": " + key_name("tokens")});
    out.tokens.push_back(token.get<std::string>());
  }
  read_types(metadata, out, where);
  auto& vocab = out.vocab.get_ref<Json::object_t&>();
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    // A plain push: the map's own insertion compares with every key before it.
    if (!is_padding(out, id)) vocab.emplace_back(out.tokens[id], id);
  }
  return out;
}

Json added_tokens(const Vocabulary& vocabulary) {
  Json out = Json::array();
  for (size_t id = 0; id < vocabulary.types.size(); ++id) {
    const int64_t type = vocabulary.types[id];
    if ((type != kControlPiece && type != kUserDefinedPiece && type != kUnknownPiece) ||
        vocabulary.tokens[id].empty())
      continue;
    out.push_back({{"id", id},
                   {"content", vocabulary.tokens[id]},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", type != kUserDefinedPiece}});
  }
  return out;
}

// BOS before and EOS after the text, as the file's flags say.
struct EndDefaults {
  bool bos = false, eos = false;
};
Json post_processor(const Json& metadata, const Vocabulary& vocabulary, EndDefaults defaults,
                    const std::string& where) {
  Json single = Json::array(), special = Json::object();
  const auto add = [&](const char* flag, const char* id_key, bool fallback) {
    if (!json_get<bool>(metadata, key_name(flag), fallback, where)) return;
    if (!metadata.contains(key_name(id_key))) return;
    const auto id = json_get<int64_t>(metadata, key_name(id_key), where);
    if (id < 0 || id >= static_cast<int64_t>(vocabulary.tokens.size()))
      throw Error({.what = "token id is out of range",
                   .where = where + ": " + key_name(id_key),
                   .found = cat(id)});
    const std::string& token = vocabulary.tokens[static_cast<size_t>(id)];
    single.push_back({{"SpecialToken", {{"id", token}, {"type_id", 0}}}});
    special[token] = {{"id", token}, {"ids", {id}}, {"tokens", {token}}};
  };
  const auto text = [](const char* id, int type) {
    return Json{{"Sequence", {{"id", id}, {"type_id", type}}}};
  };
  add("add_bos_token", "bos_token_id", defaults.bos);
  single.push_back(text("A", 0));
  add("add_eos_token", "eos_token_id", defaults.eos);
  Json pair = single;
  pair.push_back(text("B", 1));
  return {{"type", "TemplateProcessing"},
          {"single", std::move(single)},
          {"pair", std::move(pair)},
          {"special_tokens", std::move(special)}};
}

Json bpe_model(Json vocab, Json merges) {
  return {{"type", "BPE"},
          {"dropout", nullptr},
          {"unk_token", nullptr},
          {"continuing_subword_prefix", nullptr},
          {"end_of_word_suffix", nullptr},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"ignore_merges", false},
          {"vocab", std::move(vocab)},
          {"merges", std::move(merges)}};
}

Json document() {
  return {{"version", "1.0"},          {"truncation", nullptr}, {"padding", nullptr},
          {"added_tokens", nullptr},   {"normalizer", nullptr}, {"pre_tokenizer", nullptr},
          {"post_processor", nullptr}, {"decoder", nullptr},    {"model", nullptr}};
}

Json byte_level_document(const Json& metadata, const std::string& where) {
  Vocabulary vocabulary = read_vocabulary(metadata, where);
  const auto pre = json_get<std::string>(metadata, key_name("pre"), "default", where);
  const GgufPreType type = gguf_pre_type(pre, where + ": " + key_name("pre"));
  Json out = document();
  out["added_tokens"] = added_tokens(vocabulary);
  out["normalizer"] = type.normalizer;
  out["pre_tokenizer"] = type.pre_tokenizer;
  out["post_processor"] = post_processor(metadata, vocabulary, {.bos = type.adds_bos}, where);
  out["decoder"] = {{"type", "ByteLevel"},
                    {"add_prefix_space", false},
                    {"trim_offsets", true},
                    {"use_regex", true}};
  out["model"] =
      bpe_model(std::move(vocabulary.vocab), json_array(metadata, key_name("merges"), where));
  out["model"]["ignore_merges"] = type.ignore_merges;
  return out;
}

struct ScoredMerge {
  double score;
  size_t left_chars, right_chars;
  std::string left, right;
};

// SentencePiece keeps scores instead of merges: every cut of a token into two tokens is a merge,
// the better the token's score the earlier.
Json merges_from_scores(const Vocabulary& vocabulary, const Json& scores,
                        const std::string& where) {
  if (scores.size() != vocabulary.tokens.size())
    throw Error({.what = "tokens and their scores differ in number",
                 .where = where + ": " + key_name("scores")});
  StringIndex index;
  index.reserve(vocabulary.tokens.size());
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id)
    index.add(vocabulary.tokens[id], static_cast<TokenId>(id));
  std::vector<ScoredMerge> merges;
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    if (!scores[id].is_number()) json_wrong_type(scores[id], key_name("scores"), "numbers", where);
    const std::string& token = vocabulary.tokens[id];
    if (find_invalid_utf8(token)) continue;
    std::vector<std::tuple<TokenId, TokenId, size_t>> cuts;
    for (size_t at = 0; at < token.size();) {
      at += decode_utf8(token, at).bytes;
      const std::string_view left = std::string_view(token).substr(0, at);
      const std::string_view right = std::string_view(token).substr(at);
      const TokenId left_id = index.find(left), right_id = right.empty() ? -1 : index.find(right);
      if (left_id >= 0 && right_id >= 0) cuts.push_back({left_id, right_id, at});
    }
    std::sort(cuts.begin(), cuts.end());
    for (const auto& [left_id, right_id, at] : cuts) {
      const std::string left = token.substr(0, at), right = token.substr(at);
      merges.push_back({scores[id].get<double>(), count_code_points(left), count_code_points(right),
                        left, right});
    }
  }
  std::stable_sort(merges.begin(), merges.end(), [](const ScoredMerge& a, const ScoredMerge& b) {
    return std::tie(a.score, a.left_chars, a.right_chars) >
           std::tie(b.score, b.left_chars, b.right_chars);
  });
  Json out = Json::array();
  for (ScoredMerge& merge : merges)
    out.push_back(Json::array({std::move(merge.left), std::move(merge.right)}));
  return out;
}

Json sequence(const char* member, Json steps) {
  return {{"type", "Sequence"}, {member, std::move(steps)}};
}

Json replace_step(const char* from, const char* to) {
  return {{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
}

Json sentencepiece_document(const Json& metadata, const std::string& where) {
  Vocabulary vocabulary = read_vocabulary(metadata, where);
  const bool prefix = json_get<bool>(metadata, key_name("add_space_prefix"), true, where);
  Json out = document();
  out["added_tokens"] = added_tokens(vocabulary);
  Json normalizers = Json::array(), decoders = Json::array();
  if (prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(replace_step(" ", kSpaceMark));
  decoders.push_back(replace_step(kSpaceMark, " "));
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  out["normalizer"] = sequence("normalizers", std::move(normalizers));
  out["decoder"] = sequence("decoders", std::move(decoders));
  out["post_processor"] = post_processor(metadata, vocabulary, {.bos = true}, where);
  Json merges =
      metadata.contains(key_name("merges"))
          ? json_array(metadata, key_name("merges"), where)
          : merges_from_scores(vocabulary, json_array(metadata, key_name("scores"), where), where);
  Json& model = out["model"] = bpe_model(std::move(vocabulary.vocab), std::move(merges));
  for (size_t id = 0; id < vocabulary.types.size(); ++id) {
    if (vocabulary.types[id] == kUnknownPiece) model["unk_token"] = vocabulary.tokens[id];
  }
  model["fuse_unk"] = true;
  model["byte_fallback"] = true;
  return out;
}

// The text of the token that a key names, or `fallback`.
std::string token_of(const Json& metadata, const char* key, const Vocabulary& vocabulary,
                     const std::string& fallback, const std::string& where) {
  if (!metadata.contains(key_name(key))) return fallback;
  const auto id = json_get<int64_t>(metadata, key_name(key), where);
  if (id < 0 || id >= static_cast<int64_t>(vocabulary.tokens.size()))
    throw Error({.what = "token id is out of range",
                 .where = where + ": " + key_name(key),
                 .found = cat(id)});
  return vocabulary.tokens[static_cast<size_t>(id)];
}

Json end_pair(const std::string& token, const Vocabulary& vocabulary, const std::string& where) {
  const auto found = vocabulary.vocab.find(token);
  if (found == vocabulary.vocab.end())
    throw Error({.what = "vocabulary has no token '" + printable(token) + "'", .where = where});
  return {token, *found};
}

// llama.cpp writes the start of a word as a space mark and drops BERT's "##".
Json word_piece_document(const Json& metadata, const std::string& where) {
  const Vocabulary vocabulary = read_vocabulary(metadata, where);
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (size_t id = 0; id < vocabulary.tokens.size(); ++id) {
    const std::string& token = vocabulary.tokens[id];
    const bool bracketed = token.starts_with('[') && token.ends_with(']');
    const bool starts = token.starts_with(kSpaceMark);
    entries.emplace_back(bracketed ? token : starts ? token.substr(3) : "##" + token, id);
  }
  Json out = document();
  out["added_tokens"] = added_tokens(vocabulary);
  out["normalizer"] = {{"type", "BertNormalizer"},
                       {"clean_text", true},
                       {"handle_chinese_chars", true},
                       {"strip_accents", nullptr},
                       {"lowercase", true}};
  out["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
  out["post_processor"] = {
      {"type", "BertProcessing"},
      {"sep", end_pair(token_of(metadata, "seperator_token_id", vocabulary, "[SEP]", where),
                       vocabulary, where)},
      {"cls", end_pair(token_of(metadata, "bos_token_id", vocabulary, "[CLS]", where), vocabulary,
                       where)}};
  out["decoder"] = {{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}};
  out["model"] = {{"type", "WordPiece"},
                  {"unk_token", token_of(metadata, "unknown_token_id", vocabulary, "[UNK]", where)},
                  {"continuing_subword_prefix", "##"},
                  {"max_input_chars_per_word", 100},
                  {"vocab", std::move(vocab)}};
  return out;
}

// The character map comes as an array of bytes, signed or not.
std::string character_map(const Json& metadata, const std::string& where) {
  std::string bytes;
  const std::string key = key_name("precompiled_charsmap");
  if (!metadata.contains(key)) return bytes;
  for (const Json& byte : json_array(metadata, key, where)) {
    if (!byte.is_number_integer() || byte < -128 || byte > 255)
      json_wrong_type(byte, key, "an array of bytes", where);
    bytes += static_cast<char>(byte.get<int>());
  }
  return bytes;
}

Json unigram_document(const Json& metadata, const std::string& where) {
  const Vocabulary vocabulary = read_vocabulary(metadata, where);
  const Json& scores = json_array(metadata, key_name("scores"), where);
  if (scores.size() != vocabulary.tokens.size())
    throw Error({.what = "tokens and their scores differ in number",
                 .where = where + ": " + key_name("scores")});
  Json pieces = Json::array(), normalizers = Json::array();
  for (size_t id = 0; id < scores.size(); ++id)
    pieces.push_back({vocabulary.tokens[id], scores[id]});
  const std::string map = character_map(metadata, where);
  if (!map.empty())
    normalizers.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", encode_base64(map)}});
  normalizers.push_back({{"type", "Strip"}, {"strip_left", false}, {"strip_right", true}});
  normalizers.push_back(
      {{"type", "Replace"}, {"pattern", {{"Regex", " {2,}"}}}, {"content", kSpaceMark}});
  const bool prefix = json_get<bool>(metadata, key_name("add_space_prefix"), true, where);
  const Json metaspace = {{"type", "Metaspace"},
                          {"replacement", kSpaceMark},
                          {"prepend_scheme", prefix ? "always" : "never"},
                          {"split", true}};
  Json out = document();
  out["added_tokens"] = added_tokens(vocabulary);
  out["normalizer"] = sequence("normalizers", std::move(normalizers));
  out["pre_tokenizer"] = metaspace;
  out["post_processor"] = post_processor(metadata, vocabulary, {.eos = true}, where);
  out["decoder"] = metaspace;
  out["model"] = {{"type", "Unigram"},
                  {"unk_id", json_get<int64_t>(metadata, key_name("unknown_token_id"), 2, where)},
                  {"byte_fallback", false},
                  {"vocab", std::move(pieces)}};
  return out;
}

}  // namespace

Json tokenizer_json_from_gguf(const Json& metadata, const std::string& where) {
  using Maker = Json (*)(const Json&, const std::string&);
  static constexpr Component<Maker> kModels[] = {{"gpt2", byte_level_document},
                                                 {"llama", sentencepiece_document},
                                                 {"bert", word_piece_document},
                                                 {"t5", unigram_document}};
  const auto model = json_get<std::string>(metadata, key_name("model"), where);
  return find_component(kModels, model, where + ": " + key_name("model"))(metadata, where);
}

}  // namespace gradus
