// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/vocabulary_files.h"

#include <unordered_map>

#include "base/error.h"
#include "text/tokenizer/byte_ranks.h"
#include "text/tokenizer/tokenizer_folder.h"
#include "text/tokenizer/vocab.h"
#include "text/tokenizer/word_scanner.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxFileBytes = 256 << 20, kMaxLines = 1 << 22;

constexpr const char* kQwen35Pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N})"
    R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

// How a class cuts text.
enum class Cut { kGpt2, kQwen2, kQwen35, kNeoX, kCohere, kRoberta, kOpenAi, kBert };

struct TokenizerClass {
  std::string_view name;
  Cut cut;
  SpecialDefaults tokens;  // bos, eos, unk, sep, pad, cls, mask
};

constexpr const char *kNone = nullptr, *kEnd = "<|endoftext|>";
constexpr SpecialDefaults kGpt2Tokens{kEnd, kEnd, kEnd};
constexpr SpecialDefaults kQwenTokens{kNone, kEnd, kEnd, kNone, kEnd};
constexpr SpecialDefaults kRobertaTokens{"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"};
constexpr SpecialDefaults kBertTokens{kNone, kNone, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"};

constexpr TokenizerClass kClasses[] = {
    {"GPT2Tokenizer", Cut::kGpt2, kGpt2Tokens},
    {"CodeGenTokenizer", Cut::kGpt2, kGpt2Tokens},
    {"Qwen2Tokenizer", Cut::kQwen2, kQwenTokens},
    {"Qwen3_5Tokenizer", Cut::kQwen35, kQwenTokens},
    {"GPTNeoXTokenizer", Cut::kNeoX, {kEnd, kEnd, kEnd, kNone, "<|padding|>"}},
    {"CohereTokenizer",
     Cut::kCohere,
     {"<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>", "<UNK>", "<SEP>", "<PAD>", "<CLS>", "<MASK_TOKEN>"}},
    {"RobertaTokenizer", Cut::kRoberta, kRobertaTokens},
    {"BartTokenizer", Cut::kRoberta, kRobertaTokens},
    {"LongformerTokenizer", Cut::kRoberta, kRobertaTokens},
    {"OpenAIGPTTokenizer", Cut::kOpenAi, {kNone, kNone, "<unk>"}},
    {"BertTokenizer", Cut::kBert, kBertTokens},
    {"DistilBertTokenizer", Cut::kBert, kBertTokens},
    {"ElectraTokenizer", Cut::kBert, kBertTokens},
    {"MobileBertTokenizer", Cut::kBert, kBertTokens},
};

// Where no file names a class.
constexpr std::pair<std::string_view, std::string_view> kModelTypes[] = {
    {"gpt2", "GPT2Tokenizer"},
    {"gpt_neo", "GPT2Tokenizer"},
    {"gptj", "GPT2Tokenizer"},
    {"codegen", "GPT2Tokenizer"},
    {"opt", "GPT2Tokenizer"},
    {"phi", "GPT2Tokenizer"},
    {"dbrx", "GPT2Tokenizer"},
    {"starcoder2", "GPT2Tokenizer"},
    {"qwen2", "Qwen2Tokenizer"},
    {"qwen2_moe", "Qwen2Tokenizer"},
    {"qwen3", "Qwen2Tokenizer"},
    {"qwen3_moe", "Qwen2Tokenizer"},
    {"qwen3_5", "Qwen3_5Tokenizer"},
    {"gpt_neox", "GPTNeoXTokenizer"},
    {"mpt", "GPTNeoXTokenizer"},
    {"olmo", "GPTNeoXTokenizer"},
    {"cohere", "CohereTokenizer"},
    {"cohere2", "CohereTokenizer"},
    {"roberta", "RobertaTokenizer"},
    {"bart", "RobertaTokenizer"},
    {"openai-gpt", "OpenAIGPTTokenizer"},
    {"bert", "BertTokenizer"},
    {"distilbert", "BertTokenizer"},
    {"electra", "BertTokenizer"},
};

const TokenizerClass* class_named(std::string_view name) {
  for (const TokenizerClass& entry : kClasses) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

const TokenizerClass& class_of(const TokenizerFolder& files, const fs::path& folder) {
  if (const TokenizerClass* found = class_named(files.class_name)) return *found;
  // The classes of `tokenizers` itself say nothing; others would cut text in another way.
  const bool says_nothing = files.class_name.empty() || files.class_name == "PreTrainedTokenizer" ||
                            files.class_name == "TokenizersBackend";
  for (const auto& [type, name] : kModelTypes) {
    if (says_nothing && type == files.model_type) return *class_named(name);
  }
  std::string known;
  for (const TokenizerClass& entry : kClasses) known += cat(known.empty() ? "" : ", ", entry.name);
  throw Error({.what = "nothing says how this vocabulary cuts text",
               .where = folder.string(),
               .expected = "tokenizer.json, or a tokenizer_class of: " + known,
               .found = cat("tokenizer_class '", printable(files.class_name), "', model_type '",
                            printable(files.model_type), "'")});
}

// Lines without their ends; the last one may be empty.
std::vector<std::string> read_lines(const fs::path& file) {
  const MappedFile mapped(file);
  std::string_view text = mapped.text();
  const auto refuse = [&](const std::string& what) {
    throw Error({.what = what, .where = file.string()});
  };
  if (text.size() > kMaxFileBytes) refuse("vocabulary is too large");
  if (find_invalid_utf8(text)) refuse("is not valid UTF-8");
  std::vector<std::string> lines;
  while (!text.empty()) {
    const std::string_view line = text.substr(0, text.find('\n'));
    text.remove_prefix(std::min(text.size(), line.size() + 1));
    lines.emplace_back(line.ends_with('\r') ? line.substr(0, line.size() - 1) : line);
    if (lines.size() > kMaxLines) refuse("vocabulary has too many lines");
  }
  return lines;
}

Json read_merges(const fs::path& file) {
  Json merges = Json::array();
  for (std::string& line : read_lines(file)) {
    if (!line.empty()) merges.push_back(std::move(line));
  }
  return merges;
}

// A token on each line, its number the id; of equal ones the last counts.
Json read_vocab_lines(const fs::path& file) {
  std::vector<std::string> lines = read_lines(file);
  std::unordered_map<std::string, size_t> last;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::string& line = lines[i];
    while (!line.empty()) {
      const CodePoint c = decode_utf8_before(line, line.size());
      if (!is_white_space(c.value)) break;
      line.resize(line.size() - c.bytes);
    }
    last[line] = i;
  }
  Json vocab = Json::object();
  auto& entries = vocab.get_ref<Json::object_t&>();
  for (size_t i = 0; i < lines.size(); ++i) {
    if (last[lines[i]] == i) entries.emplace_back(lines[i], i);
  }
  return vocab;
}

FindId finder_in(const Json& vocab) {
  auto index = std::make_shared<StringIndex>();
  index->reserve(vocab.size());
  for (const auto& [token, id] : vocab.items()) {
    if (id.is_number_integer() && id >= 0 && id <= INT32_MAX / 2)
      index->add(token, id.get<TokenId>());
  }
  return [index](const std::string& token) { return int64_t{index->find(token)}; };
}

Json byte_level(bool prefix, bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", prefix},
          {"trim_offsets", true},
          {"use_regex", use_regex}};
}

Json bert_normalizer(const TokenizerFolder& files) {
  Json accents = nullptr;
  if (files.config.contains("strip_accents") && !files.config.at("strip_accents").is_null())
    accents = files.flag("strip_accents", false);
  return {{"type", "BertNormalizer"},
          {"clean_text", true},
          {"handle_chinese_chars", files.flag("tokenize_chinese_chars", true)},
          {"strip_accents", accents},
          {"lowercase", files.flag("do_lower_case", true)}};
}

// Normalizer, pre-tokenizer and decoder.
void add_steps(Json& out, const TokenizerFolder& files, Cut cut) {
  const bool prefix = files.flag("add_prefix_space", false);
  out["decoder"] = {{"type", "ByteLevel"}};
  out["pre_tokenizer"] = byte_level(prefix, true);
  switch (cut) {
    case Cut::kGpt2:
    case Cut::kRoberta:
      break;
    case Cut::kQwen2:
    case Cut::kQwen35:
      out["normalizer"] = {{"type", "NFC"}};
      out["pre_tokenizer"] =
          pattern_then_bytes(cut == Cut::kQwen2 ? kQwen2Pattern : kQwen35Pattern);
      out["pre_tokenizer"]["pretokenizers"][1]["add_prefix_space"] = prefix;
      break;
    case Cut::kNeoX:
      out["normalizer"] = {{"type", "NFC"}};
      break;
    case Cut::kCohere:
      out["normalizer"] = {{"type", "NFC"}};
      out["pre_tokenizer"] = {
          {"type", "Sequence"},
          {"pretokenizers",
           {{{"type", "Digits"}, {"individual_digits", true}}, byte_level(prefix, true)}}};
      break;
    case Cut::kOpenAi:
    case Cut::kBert:
      out["pre_tokenizer"] = {{"type", "BertPreTokenizer"}};
      out["normalizer"] = cut == Cut::kBert ? bert_normalizer(files)
                                            : Json{{"type", "BertNormalizer"},
                                                   {"clean_text", true},
                                                   {"handle_chinese_chars", true},
                                                   {"strip_accents", nullptr},
                                                   {"lowercase", true}};
      out["decoder"] = cut == Cut::kBert
                           ? Json{{"type", "WordPiece"}, {"prefix", "##"}, {"cleanup", true}}
                           : Json{{"type", "BPEDecoder"}, {"suffix", "</w>"}};
      break;
  }
}

// BERT and RoBERTa put a token before every text and one after it.
Json pair_processor(const TokenizerFolder& files, const TokenizerClass& kind, const Json& added) {
  const auto token = [&](size_t name) -> Json {
    const auto text = files.token(kSpecialNames[name], kind.tokens[name]);
    const int64_t id = text ? added_token_id(added, *text) : -1;
    if (id < 0)
      throw Error(
          {.what = cat("the tokenizer class needs a ", kSpecialNames[name]), .where = files.where});
    return {*text, id};
  };
  return {{"type", "BertProcessing"}, {"sep", token(3)}, {"cls", token(5)}};
}

Json bpe_model(const fs::path& folder, Json vocab, const TokenizerFolder& files,
               const TokenizerClass& kind) {
  const bool words = kind.cut == Cut::kOpenAi;
  const auto unknown = words ? files.token("unk_token", kind.tokens[2]) : std::nullopt;
  return {{"type", "BPE"},
          {"unk_token", unknown ? Json(*unknown) : Json()},
          {"end_of_word_suffix", words ? Json("</w>") : Json()},
          {"fuse_unk", false},
          {"byte_fallback", false},
          {"vocab", std::move(vocab)},
          {"merges", read_merges(folder / "merges.txt")}};
}

Json word_piece_model(Json vocab, const TokenizerFolder& files, const TokenizerClass& kind) {
  const auto unknown = files.token("unk_token", kind.tokens[2]);
  return {{"type", "WordPiece"},
          {"unk_token", unknown.value_or("[UNK]")},
          {"continuing_subword_prefix", "##"},
          {"max_input_chars_per_word", 100},
          {"vocab", std::move(vocab)}};
}

}  // namespace

bool has_vocabulary_files(const fs::path& folder) {
  return fs::exists(folder / "vocab.json") || fs::exists(folder / "vocab.txt");
}

Json tokenizer_json_from_vocabulary(const fs::path& folder) {
  const TokenizerFolder files = read_tokenizer_folder(folder);
  const TokenizerClass& kind = class_of(files, folder);
  const bool lines = kind.cut == Cut::kBert;
  const fs::path file = folder / (lines ? "vocab.txt" : "vocab.json");
  for (const fs::path& needed : {file, lines ? file : folder / "merges.txt"}) {
    if (!fs::exists(needed))
      throw Error({.what = cat("a ", kind.name, " needs this file"), .where = needed.string()});
  }
  Json vocab = lines ? read_vocab_lines(file) : read_json(file);
  const Json added =
      added_tokens_of(files, kind.tokens, finder_in(vocab), static_cast<int64_t>(vocab.size()));
  Json out = {{"version", "1.0"}};
  add_steps(out, files, kind.cut);
  out["post_processor"] = lines || kind.cut == Cut::kRoberta
                              ? pair_processor(files, kind, added)
                              : ends_post_processor(files, kind.tokens, added, false);
  out["added_tokens"] = added;
  out["model"] = lines ? word_piece_model(std::move(vocab), files, kind)
                       : bpe_model(folder, std::move(vocab), files, kind);
  return out;
}

}  // namespace gradus
