// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/gguf_rwkv.h"

#include "base/error.h"
#include "text/tokenizer/component.h"
#include "text/tokenizer/piece_type.h"
#include "text/tokenizer/rwkv_vocab.h"
#include "text/unicode.h"

namespace gradus {
namespace {

constexpr size_t kMaxTokens = 1 << 20, kMaxTokenBytes = 1 << 14;
constexpr const char *kTokens = "tokenizer.ggml.tokens", *kTypes = "tokenizer.ggml.token_type";
// What llama.cpp's converter calls id 0 of every model, and what the published folders call it.
constexpr const char *kConverterEnd = "<s>", *kFolderEnd = "<|rwkv_tokenizer_end_of_text|>";

int64_t type_of(const Json& types, size_t id, const std::string& where) {
  if (types.empty()) return id == 0 ? kControlPiece : kNormalPiece;
  if (!types[id].is_number_integer()) json_wrong_type(types[id], kTypes, "integers", where);
  return types[id].get<int64_t>();
}

std::optional<std::string> bytes_of(const std::string& written) {
  return read_python_literal("b'" + written + "'");
}

[[noreturn]] void refuse_token(size_t id, const char* what, const std::string& text,
                               const std::string& where) {
  throw Error({.what = cat("token ", id, " is not ", what),
               .where = where + ": " + kTokens,
               .found = printable(text, 60)});
}

std::string line_of(size_t id, const std::string& text, const std::string& where) {
  const auto bytes = bytes_of(text);
  if (!bytes) refuse_token(id, "the inside of a Python literal", text, where);
  return cat(id, " ", python_literal(*bytes), " ", bytes->size(), "\n");
}

std::string text_of(size_t id, const std::string& written, const std::string& where) {
  const auto text = rwkv_token_text(written);
  if (!text) refuse_token(id, "the inside of a Python literal of UTF-8", written, where);
  return *text;
}

// llama.cpp unescapes these too, but looks control tokens up in a text as they are written: no more
// is escaped than must be.
std::string written_of(const std::string& text) {
  std::string out;
  for (const char byte : text) {
    if (byte == '\\')
      out += "\\\\";
    else if (byte == '\0')
      out += "\\x00";
    else
      out += byte;
  }
  return out;
}

Json added_token(const std::string& text, bool special) {
  return {{"content", text}, {"lstrip", false},      {"normalized", false},
          {"rstrip", false}, {"single_word", false}, {"special", special}};
}

}  // namespace

std::optional<std::string> rwkv_token_text(const std::string& written) {
  auto bytes = bytes_of(written);
  if (bytes && find_invalid_utf8(*bytes)) bytes.reset();
  return bytes;
}

RwkvVocabulary rwkv_vocabulary_from_gguf(const Json& metadata, const std::string& where) {
  const Json& tokens = json_array(metadata, kTokens, where);
  const Json types =
      metadata.contains(kTypes) ? json_array(metadata, kTypes, where) : Json::array();
  if (tokens.size() > kMaxTokens || (!types.empty() && types.size() != tokens.size()))
    throw Error({.what = "tokens and their types differ in number, or are too many",
                 .where = where + ": " + kTypes,
                 .expected = cat(tokens.size(), ", at most ", kMaxTokens),
                 .found = cat(types.size())});
  RwkvVocabulary out;
  for (size_t id = 0; id < tokens.size(); ++id) {
    if (!tokens[id].is_string() || tokens[id].get_ref<const std::string&>().size() > kMaxTokenBytes)
      throw Error(
          {.what = cat("token ", id, " is not a short string"), .where = where + ": " + kTokens});
    const auto text = tokens[id].get<std::string>();
    const int64_t type = type_of(types, id, where);
    if (id == 0) {
      out.end_of_text = text == kConverterEnd ? kFolderEnd : text_of(id, text, where);
      if (out.end_of_text != kRwkvEndOfText) out.added["0"] = added_token(out.end_of_text, true);
    } else if (type == kControlPiece || type == kUserDefinedPiece) {
      out.added[std::to_string(id)] = added_token(text_of(id, text, where), type == kControlPiece);
    } else if (type != kUnusedPiece) {
      out.lines += line_of(id, text, where);
    }
  }
  tokenizer_from_rwkv(out.lines, {{"added_tokens_decoder", out.added}}, where);  // it can be read
  return out;
}

void fill_rwkv_tokens(const fs::path& file, const Json& config, int64_t vocab_size,
                      GgufVocabulary& out) {
  const auto tokenizer = tokenizer_from_rwkv(read_file(file), config, file.string());
  if (tokenizer->vocab_size() > vocab_size)
    throw Error({.what = "the tokenizer does not fit the model",
                 .where = file.string(),
                 .expected = cat("at most ", vocab_size, " tokens"),
                 .found = cat(tokenizer->vocab_size())});
  const Json added = config.value("added_tokens_decoder", Json::object());
  out.model = "rwkv";
  for (TokenId id = 0; id < vocab_size; ++id) {
    if (!tokenizer->has_token(id)) {
      out.tokens.push_back(cat("[PAD", id, "]"));
      out.types.push_back(kUnusedPiece);
    } else if (id == 0 || added.contains(std::to_string(id))) {
      out.tokens.push_back(written_of(tokenizer->id_to_token(id)));
      out.types.push_back(tokenizer->is_special(id) ? kControlPiece : kUserDefinedPiece);
    } else {
      const std::string literal = python_literal(tokenizer->token_bytes(id));
      out.tokens.push_back(literal.substr(2, literal.size() - 3));
      out.types.push_back(kNormalPiece);
    }
  }
}

}  // namespace gradus
