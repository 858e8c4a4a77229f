// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/gguf_vocab.h"

#include <algorithm>
#include <tuple>
#include <vector>

#include "text/tokenizer/base64.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/vocab.h"
#include "text/tokenizer/word_scanner.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxTokens = 1 << 22, kMaxTokenBytes = 1 << 12;
constexpr const char* kSpaceMark = "\xE2\x96\x81";  // U+2581

// Values of tokenizer.ggml.token_type.
enum TokenType { kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr const char* kTekkenPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*)"
    R"(|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kGpt4oPattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?)"
    R"(|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kDeepseek3Pattern =
    R"([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+)"
    R"(| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

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

Json sequence(const char* member, Json steps) {
  return {{"type", "Sequence"}, {member, std::move(steps)}};
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
               split_step("[0-9][0-9][0-9]")};
      break;
    case Split::kDeepseek3:
      steps = {split_step(R"(\p{N}{1,3})"), split_step(R"([一-龥぀-ゟ゠-ヿ]+)"),
               split_step(kDeepseek3Pattern), byte_level(false)};
      break;
    case Split::kPattern:
      steps = {split_step(row.pattern), byte_level(false)};
      break;
  }
  return sequence("pretokenizers", std::move(steps));
}

struct Vocabulary {
  std::vector<std::string> tokens;
  std::vector<int64_t> types;  // empty when the file has none
  Json vocab = Json::object();
};

std::string key_name(const char* key) { return std::string("tokenizer.ggml.") + key; }

Vocabulary read_vocabulary(const Json& metadata, const std::string& where) {
  const Json& tokens = json_array(metadata, key_name("tokens"), where);
  if (tokens.size() > kMaxTokens)
    throw Error({.what = "has too many tokens", .where = where, .found = cat(tokens.size())});
  Vocabulary out;
  auto& vocab = out.vocab.get_ref<Json::object_t&>();
  for (const Json& token : tokens) {
    if (!token.is_string() || token.get_ref<const std::string&>().size() > kMaxTokenBytes)
      throw Error({.what = cat("token ", out.tokens.size(), " is not a short string"),
                   .where = where + ": " + key_name("tokens")});
    // A plain push: the map's own insertion compares with every key before it.
    vocab.emplace_back(token.get<std::string>(), out.tokens.size());
    out.tokens.push_back(token.get<std::string>());
  }
  if (!metadata.contains(key_name("token_type"))) return out;
  for (const Json& type : json_array(metadata, key_name("token_type"), where)) {
    if (!type.is_number_integer()) json_wrong_type(type, key_name("token_type"), "integers", where);
    out.types.push_back(type.get<int64_t>());
  }
  if (out.types.size() != out.tokens.size())
    throw Error({.what = "tokens and their types differ in number",
                 .where = where + ": " + key_name("token_type"),
                 .expected = cat(out.tokens.size()),
                 .found = cat(out.types.size())});
  return out;
}

Json added_tokens(const Vocabulary& vocabulary) {
  Json out = Json::array();
  for (size_t id = 0; id < vocabulary.types.size(); ++id) {
    const int64_t type = vocabulary.types[id];
    if ((type != kControl && type != kUserDefined && type != kUnknown) ||
        vocabulary.tokens[id].empty())
      continue;
    out.push_back({{"id", id},
                   {"content", vocabulary.tokens[id]},
                   {"single_word", false},
                   {"lstrip", false},
                   {"rstrip", false},
                   {"normalized", false},
                   {"special", type != kUserDefined}});
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
  const PreTokenizerRow& row = find_component(kPreTokenizers, pre, where + ": " + key_name("pre"));
  Json out = document();
  out["added_tokens"] = added_tokens(vocabulary);
  if (row.nfc) out["normalizer"] = {{"type", "NFC"}};
  out["pre_tokenizer"] = pre_tokenizer(row);
  out["post_processor"] = post_processor(metadata, vocabulary, {.bos = row.adds_bos}, where);
  out["decoder"] = byte_level(true);
  out["model"] =
      bpe_model(std::move(vocabulary.vocab), json_array(metadata, key_name("merges"), where));
  out["model"]["ignore_merges"] = row.ignore_merges;
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
    if (vocabulary.types[id] == kUnknown) model["unk_token"] = vocabulary.tokens[id];
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
