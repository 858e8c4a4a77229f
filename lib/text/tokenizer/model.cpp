// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/model.h"

#include "text/tokenizer/component.h"

namespace gradus {
namespace {

// Files from before "type" was written are told apart by their members, as `tokenizers` does.
std::string type_of(const Json& model, const std::string& where) {
  if (model.is_object() && !model.contains("type")) {
    if (model.contains("merges")) return "BPE";
    if (model.contains("max_input_chars_per_word")) return "WordPiece";
    if (model.contains("vocab") && model.at("vocab").is_array()) return "Unigram";
    if (model.contains("vocab") && model.at("vocab").is_object()) return "WordLevel";
  }
  return json_get<std::string>(model, "type", where);
}

bool is_set(const Json& model, const char* key) {
  if (!model.contains(key)) return false;
  const Json& value = model.at(key);
  return !value.is_null() && value != false && value != "";
}

}  // namespace

void TokenModel::tokenize_words(std::string_view text, const std::vector<uint32_t>& ends,
                                std::vector<TokenId>& out) const {
  thread_local std::vector<Symbol> symbols;
  symbols.clear();
  size_t begin = 0;
  for (const uint32_t end : ends) {
    tokenize(text.substr(begin, end - begin), symbols);
    begin = end;
  }
  for (const Symbol& symbol : symbols) out.push_back(symbol.id);
}

bool model_reads_bytes(const Json& model) {
  return model.is_object() && type_of(model, "model") == "BPE" && !is_set(model, "byte_fallback") &&
         !is_set(model, "continuing_subword_prefix") && !is_set(model, "end_of_word_suffix");
}

std::unique_ptr<TokenModel> read_model(const Json& model, PieceForm form,
                                       const std::string& where) {
  using Maker = std::unique_ptr<TokenModel> (*)(const Json&, PieceForm, const std::string&);
  static constexpr Component<Maker> kModels[] = {
      {"BPE", read_bpe},
      {"Unigram",
       [](const Json& m, PieceForm, const std::string& w) { return read_unigram(m, w); }},
      {"WordPiece",
       [](const Json& m, PieceForm, const std::string& w) { return read_word_piece(m, w); }},
      {"WordLevel",
       [](const Json& m, PieceForm, const std::string& w) { return read_word_level(m, w); }},
  };
  return find_component(kModels, type_of(model, where), where)(model, form, where);
}

}  // namespace gradus
