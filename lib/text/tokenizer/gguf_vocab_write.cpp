// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/gguf_vocab_write.h"

#include <algorithm>
#include <cstdlib>
#include <map>
#include <optional>
#include <unordered_map>

#include "base/error.h"
#include "base/log.h"
#include "text/chat_template.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/gguf_pre_type.h"
#include "text/tokenizer/gguf_rwkv.h"
#include "text/tokenizer/gguf_vocab.h"
#include "text/tokenizer/rwkv_vocab.h"
#include "text/tokenizer/sentencepiece_check.h"
#include "text/tokenizer/tiktoken.h"

namespace gradus {
namespace {

constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581
constexpr float kNoScore = -10000;                       // of ids that no text gives

struct Source {
  Json tokenizer, config;  // tokenizer.json; tokenizer_config.json or {}
  Json model_config, generation;
  std::string where;
  std::unordered_map<std::string, int64_t> ids;
};

Json read_object(const fs::path& file) {
  Json document = read_json(file);
  if (!document.is_object())
    throw Error({.what = std::string("is not an object"), .where = file.string()});
  return document;
}
Json read_optional(const fs::path& file) {
  return fs::exists(file) ? read_object(file) : Json::object();
}

[[noreturn]] void refuse(const Source& source, const std::string& what, const std::string& found) {
  throw Error({.what = "the tokenizer cannot be written as GGUF: " + what,
               .where = source.where,
               .found = printable(found, 200)});
}

// Tokens of the vocabulary and the added ones, by id.
std::map<int64_t, std::string> tokens_by_id(const Source& source) {
  std::map<int64_t, std::string> tokens;
  const std::string place = source.where + ": model";
  for (const auto& [token, id] :
       json_member(source.tokenizer.at("model"), "vocab", place).items()) {
    if (!id.is_number_integer()) json_wrong_type(id, token, "an id", place);
    tokens[id.get<int64_t>()] = token;
  }
  if (source.tokenizer.contains("added_tokens")) {
    for (const Json& token : json_array(source.tokenizer, "added_tokens", source.where)) {
      tokens[json_get<int64_t>(token, "id", source.where)] =
          json_get<std::string>(token, "content", source.where);
    }
  }
  return tokens;
}

// What llama.cpp's converter takes for control tokens although the tokenizer does not say so.
bool looks_special(const std::string& token) {
  const auto framed = [&](std::string_view begin, std::string_view end) {
    return token.size() >= begin.size() + end.size() && token.starts_with(begin) &&
           token.ends_with(end);
  };
  return token == "<pad>" || token == "<mask>" || token == "<2mass>" || token == "[@BOS@]" ||
         framed("<|", "|>") || framed("<\xEF\xBD\x9C", "\xEF\xBD\x9C>") || framed("<unused", ">");
}

bool is_byte_token(const std::string& token) {
  return token.size() == 6 && token.starts_with("<0x") && token.back() == '>';
}

void fill_tokens(const Source& source, int64_t vocab_size, GgufVocabulary& out) {
  const auto tokens = tokens_by_id(source);
  if (tokens.empty() || tokens.begin()->first < 0 || tokens.rbegin()->first >= vocab_size) {
    throw Error({.what = "the tokenizer does not fit the model",
                 .where = source.where,
                 .expected = cat("ids from 0 to ", vocab_size - 1),
                 .found = tokens.empty() ? "no tokens" : cat(tokens.rbegin()->first)});
  }
  for (int64_t id = 0; id < vocab_size; ++id) out.tokens.push_back(cat("[PAD", id, "]"));
  out.types.assign(out.tokens.size(), kUnusedPiece);
  for (const auto& [id, token] : tokens) {
    out.tokens[static_cast<size_t>(id)] = token;
    const bool byte = out.model == "llama" && is_byte_token(token);
    out.types[static_cast<size_t>(id)] = byte ? kBytePiece : kNormalPiece;
  }
  if (!source.tokenizer.contains("added_tokens")) return;
  for (const Json& token : source.tokenizer.at("added_tokens")) {
    const auto id = static_cast<size_t>(token.at("id").get<int64_t>());
    const bool special = json_get<bool>(token, "special", false, source.where);
    out.types[id] = special || looks_special(out.tokens[id]) ? kControlPiece : kUserDefinedPiece;
  }
}

// "a b" for each merge, in either form that tokenizer.json files have.
std::vector<std::string> merges_of(const Source& source) {
  std::vector<std::string> merges;
  const std::string where = source.where + ": model";
  for (const Json& merge : json_array(source.tokenizer.at("model"), "merges", where)) {
    if (merge.is_string()) {
      merges.push_back(merge.get<std::string>());
      continue;
    }
    if (!merge.is_array() || merge.size() != 2 || !merge[0].is_string() || !merge[1].is_string())
      json_wrong_type(merge, "merges", "pairs of strings", where);
    const auto left = merge[0].get<std::string>(), right = merge[1].get<std::string>();
    if ((left + right).find(' ') != std::string::npos)
      refuse(source, "a merge has a space in it", left + "' + '" + right);
    merges.push_back(left + " " + right);
  }
  return merges;
}

// The id of the token that each merge makes.
std::vector<size_t> results_of(const Source& source, const std::vector<std::string>& merges) {
  std::vector<size_t> results;
  for (const std::string& merge : merges) {
    const size_t cut = merge.find(' ');
    const auto found = source.ids.find(merge.substr(0, cut) + merge.substr(cut + 1));
    if (found == source.ids.end()) refuse(source, "a merge makes no token", merge);
    results.push_back(static_cast<size_t>(found->second));
  }
  return results;
}

// Tokens that are made earlier get better scores, -1, -2, …, as SentencePiece numbers its pieces.
// Where the merges of several tokens stand among one another, these have one score together.
std::vector<float> scores_of(const GgufVocabulary& vocabulary, const std::vector<size_t>& results) {
  std::vector<float> scores(vocabulary.tokens.size(), 0);
  std::vector<size_t> last(scores.size(), 0);
  for (size_t i = 0; i < results.size(); ++i) last[results[i]] = i;
  std::vector<bool> done(scores.size(), false);
  int64_t made = 0, rank = 0;
  size_t end = 0;  // of the merges of the tokens that have the present score
  for (size_t i = 0; i < results.size(); ++i) {
    const size_t id = results[i];
    if (i > end || i == 0) rank = made + 1;
    end = std::max(end, last[id]);
    if (!done[id]) ++made;
    done[id] = true;
    scores[id] = -static_cast<float>(rank);
  }
  for (size_t id = 0; id < scores.size(); ++id) {
    if (!done[id] && vocabulary.types[id] == kNormalPiece) scores[id] = -static_cast<float>(++made);
    if (vocabulary.types[id] == kUnusedPiece) scores[id] = kNoScore;
  }
  return scores;
}

void expect_absent(const Source& source, const Json& model, const char* key) {
  if (!model.contains(key) || model.at(key).is_null() || model.at(key) == "" || model.at(key) == 0)
    return;
  refuse(source, cat("model.", key, " is set"), model.at(key).dump());
}

void fill_byte_level(const Source& source, int64_t vocab_size, GgufVocabulary& out) {
  out.model = "gpt2";
  out.pre = gguf_pre_type_of(source.tokenizer, source.where);
  fill_tokens(source, vocab_size, out);
  out.merges = merges_of(source);
  if (out.merges.empty())
    refuse(source, "llama.cpp reads no byte-level BPE without merges", "none");
}

// Whether a space is put before the text; refuses what is not SentencePiece's way with spaces.
bool space_prefix(const Source& source) {
  const Json normalizer = source.tokenizer.value("normalizer", Json());
  const Json pre = source.tokenizer.value("pre_tokenizer", Json());
  Json steps = Json::array();
  if (normalizer.is_object())
    steps =
        normalizer.contains("normalizers") ? normalizer["normalizers"] : Json::array({normalizer});
  const Json prepend{{"type", "Prepend"}, {"prepend", kSpaceMark}};
  const Json replace{{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpaceMark}};
  if (pre.is_null() && steps == Json::array({prepend, replace})) return true;
  if (pre.is_null() && steps == Json::array({replace})) return false;
  if (steps.empty() && pre.is_object() && pre.value("type", Json()) == "Metaspace" &&
      pre.value("replacement", Json()) == kSpaceMark && pre.value("split", Json(true)) == false) {
    const bool prefix = pre.value("prepend_scheme", Json("always")) != "never";
    if (prefix)
      log_warning("tokenizer", source.where +
                                   ": llama.cpp puts a space before every text and after every "
                                   "special token, which this tokenizer does not always do");
    return prefix;
  }
  refuse(source, "its normalizer is not SentencePiece's",
         cat(normalizer.dump(), " and ", pre.dump()));
}

// llama.cpp merges any two neighbours that make a token, by the token's score. These must be the
// merges of the file; of those that make one token, the order does not matter.
void check_scores(const Source& source, const GgufVocabulary& vocabulary,
                  std::vector<std::string> merges) {
  const Json metadata{{"tokenizer.ggml.model", "llama"},
                      {"tokenizer.ggml.tokens", vocabulary.tokens},
                      {"tokenizer.ggml.scores", vocabulary.scores},
                      {"tokenizer.ggml.token_type", vocabulary.types},
                      {"tokenizer.ggml.add_bos_token", false}};
  const Json read = tokenizer_json_from_gguf(metadata, source.where);
  std::vector<std::string> found;
  for (const Json& pair : read.at("model").at("merges"))
    found.push_back(pair[0].get<std::string>() + " " + pair[1].get<std::string>());
  std::sort(merges.begin(), merges.end());
  std::sort(found.begin(), found.end());
  if (found != merges)
    refuse(source, "its merges do not follow from scores of tokens", cat(merges.size(), " merges"));
}

// Whether the scores of the model file beside tokenizer.json were taken: it must be of the same
// tokens.
bool take_scores(const SentencePieceModel* pieces, GgufVocabulary& out) {
  if (!pieces || pieces->pieces.size() > out.tokens.size()) return false;
  for (size_t id = 0; id < pieces->pieces.size(); ++id) {
    if (pieces->pieces[id].text != out.tokens[id]) return false;
  }
  out.scores.assign(out.tokens.size(), kNoScore);
  for (size_t id = 0; id < pieces->pieces.size(); ++id) {
    out.scores[id] = pieces->pieces[id].score;
    if (out.types[id] == kNormalPiece) out.types[id] = pieces->pieces[id].type;
  }
  return true;
}

void fill_sentencepiece(const Source& source, int64_t vocab_size, const SentencePieceModel* pieces,
                        GgufVocabulary& out) {
  out.model = "llama";
  out.pre = "default";
  fill_tokens(source, vocab_size, out);
  const auto merges = merges_of(source);
  if (!take_scores(pieces, out)) out.scores = scores_of(out, results_of(source, merges));
  const auto unknown =
      json_get<std::string>(source.tokenizer.at("model"), "unk_token", "", source.where);
  if (source.ids.contains(unknown))
    out.types[static_cast<size_t>(source.ids.at(unknown))] = kUnknownPiece;
  check_scores(source, out, merges);
  out.flags.emplace_back("add_space_prefix", space_prefix(source));
}

// "<s>" or {"content": "<s>"}.
std::optional<int64_t> named_token(const Source& source, const std::string& name) {
  const Json value = source.config.value(name + "_token", Json());
  const Json text = value.is_object() ? value.value("content", Json()) : value;
  if (!text.is_string()) return std::nullopt;
  const auto found = source.ids.find(text.get<std::string>());
  return found == source.ids.end() ? std::nullopt : std::optional(found->second);
}

std::vector<int64_t> listed_ids(const Json& document, const std::string& key) {
  std::vector<int64_t> ids;
  const Json value = document.value(key, Json());
  for (const Json& id : value.is_array() ? value : Json::array({value})) {
    if (id.is_number_integer()) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

// llama.cpp's names for ids at which an answer ends beside EOS.
void add_further_ends(const Source& source, int64_t eos, GgufVocabulary& out) {
  std::vector<int64_t> ends = listed_ids(source.generation, "eos_token_id");
  const auto more = listed_ids(source.model_config, "eos_token_id");
  ends.insert(ends.end(), more.begin(), more.end());
  std::vector<int64_t> others;
  for (const int64_t id : ends) {
    const bool fits = id >= 0 && id < static_cast<int64_t>(out.tokens.size()) && id != eos;
    if (fits && std::find(others.begin(), others.end(), id) == others.end()) others.push_back(id);
  }
  if (others.size() > 2)
    refuse(source, "it ends answers at more than three tokens", Json(others).dump());
  for (size_t i = 0; i < others.size(); ++i)
    out.special.emplace_back(i == 0 ? "eot_token_id" : "eom_token_id",
                             static_cast<uint32_t>(others[i]));
}

void fill_special(const Source& source, GgufVocabulary& out) {
  static constexpr std::pair<const char*, const char*> kNames[] = {
      {"bos", "bos"}, {"eos", "eos"}, {"unk", "unknown"}, {"sep", "seperator"}, {"pad", "padding"}};
  for (const auto& [hf, gguf] : kNames) {
    auto id = named_token(source, hf);
    const auto listed = listed_ids(source.model_config, cat(hf, "_token_id"));
    if (!id && !listed.empty()) id = listed.front();
    if (!id || *id < 0 || *id >= static_cast<int64_t>(out.tokens.size())) continue;
    out.special.emplace_back(cat(gguf, "_token_id"), static_cast<uint32_t>(*id));
    if (std::string_view(hf) == "eos") add_further_ends(source, *id, out);
  }
}

const Json* template_step(const Json& processor, int depth, const std::string& where) {
  check_component_depth(depth, where);
  if (!processor.is_object()) return nullptr;
  const auto type = json_get<std::string>(processor, "type", "", where);
  if (type == "TemplateProcessing") return &processor;
  if (type != "Sequence") return nullptr;
  for (const Json& step : json_array(processor, "processors", where)) {
    if (const Json* found = template_step(step, depth + 1, where)) return found;
  }
  return nullptr;
}

// Which special tokens the post-processor puts around a text: BOS before, EOS after, or nothing.
void fill_ends(const Source& source, GgufVocabulary& out) {
  const Json processor = source.tokenizer.value("post_processor", Json());
  const Json* found = template_step(processor, 0, source.where);
  bool bos = false, eos = false, text = false;
  const auto special = [&](const std::string& token, const char* key) {
    for (const auto& [name, id] : out.special) {
      if (name == key && out.tokens[id] == token) return true;
    }
    refuse(source, "its post-processor adds a token that is not BOS or EOS", token);
  };
  const Json none = Json::array();
  for (const Json& part : found ? json_array(*found, "single", source.where) : none) {
    if (part.contains("Sequence")) {
      text = true;
      continue;
    }
    const Json token = part.contains("SpecialToken") ? part["SpecialToken"] : Json();
    const auto name = json_get<std::string>(token, "id", source.where + ": post_processor");
    (text ? eos : bos) = special(name, text ? "eos_token_id" : "bos_token_id");
  }
  out.flags.emplace_back("add_bos_token", bos);
  out.flags.emplace_back("add_eos_token", eos);
}

void fill_templates(const Source& source, const fs::path& folder, GgufVocabulary& out) {
  if (const auto chat = load_chat_template(folder))
    out.chat_templates.emplace_back("", chat->source());
  const Json listed = source.config.value("chat_template", Json());
  if (!listed.is_array() || fs::exists(folder / "chat_template.jinja")) return;
  for (const Json& entry : listed) {
    const auto name = json_get<std::string>(entry, "name", source.where);
    if (name != "default")
      out.chat_templates.emplace_back(name, json_get<std::string>(entry, "template", source.where));
  }
}

// Tokens that tokenizer_config.json adds to those of the model file.
void fill_added(const Source& source, GgufVocabulary& out) {
  const Json added = source.config.value("added_tokens_decoder", Json::object());
  for (const auto& [key, token] : added.items()) {
    const auto id = static_cast<size_t>(std::strtoull(key.c_str(), nullptr, 10));
    if (id >= out.tokens.size() || key != std::to_string(id))
      refuse(source, "it adds a token beyond the model's vocabulary", key);
    const auto text = json_get<std::string>(token, "content", source.where);
    const bool special = json_get<bool>(token, "special", false, source.where);
    const bool is_new = out.types[id] == kUnusedPiece;
    if (!is_new && text != out.tokens[id])
      refuse(source, cat("it adds a token in the place of '", printable(out.tokens[id]), "'"),
             text);
    out.tokens[id] = text;
    const bool control = special || looks_special(text);
    if (is_new || out.types[id] == kNormalPiece)
      out.types[id] = control ? kControlPiece : kUserDefinedPiece;
  }
}

// A folder with a SentencePiece model alone: its own pieces, scores and types.
GgufVocabulary vocabulary_of_pieces(Source source, const SentencePieceModel& model,
                                    int64_t vocab_size) {
  if (!model.bpe) refuse(source, "only BPE models can be", "another kind of SentencePiece model");
  if (std::none_of(model.pieces.begin(), model.pieces.end(),
                   [](const auto& piece) { return piece.type == kBytePiece; }))
    refuse(source, "it has no tokens for bytes, which llama.cpp needs", "none");
  if (model.replaces_text || model.removes_spaces)
    refuse(source, "it changes texts as llama.cpp does not",
           model.replaces_text ? "a map of letters" : "runs of spaces become one");
  if (static_cast<int64_t>(model.pieces.size()) > vocab_size)
    throw Error({.what = "the tokenizer does not fit the model",
                 .where = source.where,
                 .expected = cat("at most ", vocab_size, " tokens"),
                 .found = cat(model.pieces.size())});
  GgufVocabulary out;
  out.model = "llama";
  out.pre = "default";
  for (const auto& piece : model.pieces) {
    out.tokens.push_back(piece.text);
    out.scores.push_back(piece.score);
    out.types.push_back(piece.type);
  }
  for (auto id = static_cast<int64_t>(out.tokens.size()); id < vocab_size; ++id)
    out.tokens.push_back(cat("[PAD", id, "]"));
  out.scores.resize(out.tokens.size(), kNoScore);
  out.types.resize(out.tokens.size(), kUnusedPiece);
  fill_added(source, out);
  for (size_t id = 0; id < out.tokens.size(); ++id)
    source.ids.emplace(out.tokens[id], static_cast<int64_t>(id));
  for (const auto& [key, id] : {std::pair{"bos_token_id", model.bos},
                                {"eos_token_id", model.eos},
                                {"pad_token_id", model.pad},
                                {"unk_token_id", model.unk}}) {
    if (id >= 0 && source.model_config.value(key, Json()).is_null()) source.model_config[key] = id;
  }
  fill_special(source, out);
  out.flags = {
      {"add_space_prefix", model.space_prefix},
      {"add_bos_token", json_get<bool>(source.config, "add_bos_token", true, source.where)},
      {"add_eos_token", json_get<bool>(source.config, "add_eos_token", false, source.where)}};
  return out;
}

// A folder with RWKV's vocabulary.
GgufVocabulary vocabulary_of_rwkv(Source source, const fs::path& file, int64_t vocab_size) {
  source.where = file.string();
  GgufVocabulary out;
  fill_rwkv_tokens(file, source.config, vocab_size, out);
  for (size_t id = 0; id < out.tokens.size(); ++id) {
    const auto text = rwkv_token_text(out.tokens[id]);
    if (!text || out.types[id] == kUnusedPiece) continue;
    if (out.types[id] == kNormalPiece)
      source.ids.emplace(*text, static_cast<int64_t>(id));
    else  // found in a text before all others
      source.ids[*text] = static_cast<int64_t>(id);
  }
  fill_special(source, out);
  return out;
}

GgufVocabulary vocabulary_of_json(Source& source, const SentencePieceModel* pieces,
                                  int64_t vocab_size) {
  const Json& model = json_member(source.tokenizer, "model", source.where);
  const auto type = json_get<std::string>(model, "type", "BPE", source.where);
  if (type != "BPE") refuse(source, "only BPE vocabularies can be", type);
  for (const char* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix"})
    expect_absent(source, model, key);
  for (const auto& [id, token] : tokens_by_id(source)) source.ids.emplace(token, id);
  GgufVocabulary out;
  if (json_get<bool>(model, "byte_fallback", false, source.where))
    fill_sentencepiece(source, vocab_size, pieces, out);
  else
    fill_byte_level(source, vocab_size, out);
  fill_special(source, out);
  for (const auto& [key, id] : out.special) {
    if (key == "unknown_token_id" && out.model == "llama") out.types[id] = kUnknownPiece;
  }
  fill_ends(source, out);
  return out;
}

std::optional<SentencePieceModel> read_pieces(const fs::path& file) {
  if (!fs::exists(file)) return std::nullopt;
  const MappedFile mapped(file);
  if (looks_like_tiktoken(mapped.text().substr(0, 4096))) return std::nullopt;
  return read_sentencepiece_model(mapped.text(), file.string());
}

}  // namespace

GgufVocabulary gguf_vocabulary(const fs::path& folder, int64_t vocab_size) {
  const fs::path file = folder / "tokenizer.json", model_file = folder / "tokenizer.model";
  const auto pieces = read_pieces(model_file);
  const auto rwkv = find_rwkv_vocabulary(folder);
  if (!fs::exists(file) && !pieces && !rwkv)
    throw Error({.what = "holds no tokenizer.json, from which a GGUF vocabulary is made",
                 .where = folder.string(),
                 .hint = "transformers' AutoTokenizer.from_pretrained(…).save_pretrained(…) "
                         "writes one"});
  Source source{.tokenizer = {},
                .config = read_optional(folder / "tokenizer_config.json"),
                .model_config = read_optional(folder / "config.json"),
                .generation = read_optional(folder / "generation_config.json"),
                .where = file.string(),
                .ids = {}};
  GgufVocabulary out;
  if (fs::exists(file)) {
    source.tokenizer = read_object(file);
    out = vocabulary_of_json(source, pieces ? &*pieces : nullptr, vocab_size);
  } else if (!pieces) {
    out = vocabulary_of_rwkv(source, *rwkv, vocab_size);
  } else {
    source.where = model_file.string();
    out = vocabulary_of_pieces(source, *pieces, vocab_size);
  }
  fill_templates(source, folder, out);
  return out;
}

}  // namespace gradus
