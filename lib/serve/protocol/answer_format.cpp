// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/answer_format.h"

#include "text/unicode.h"

namespace gradus {
namespace {

std::string json_text(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// The bytes of a token, and a printable form of them.
struct TokenName {
  std::string bytes, text;
};

TokenName token_name(const Tokenizer& tokenizer, int32_t id) {
  const std::string bytes =
      tokenizer.is_special(id) ? tokenizer.id_to_token(id) : tokenizer.token_bytes(id);
  return {bytes, utf8_lossy(bytes)};
}

Json finish_or_null(const std::string& reason) {
  return reason.empty() ? Json(nullptr) : Json(reason);
}

Json usage_json(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tokens},
          {"completion_tokens", usage.completion_tokens},
          {"total_tokens", usage.prompt_tokens + usage.completion_tokens}};
}

class Format : public AnswerFormat {
 public:
  Format(AnswerHead head, const Tokenizer& tokenizer)
      : head_(std::move(head)), tokenizer_(tokenizer) {}

  Json usage_chunk(const Usage& usage) const override {
    Json chunk = envelope(chunk_object(), Json::array());
    chunk["usage"] = usage_json(usage);
    return chunk;
  }

 protected:
  virtual const char* prefix() const = 0;
  virtual const char* chunk_object() const = 0;
  const Tokenizer& tokenizer() const { return tokenizer_; }

  Json envelope(const char* object, Json choices) const {
    return {{"id", prefix() + head_.id},
            {"object", object},
            {"created", head_.created},
            {"model", head_.model},
            {"system_fingerprint", head_.fingerprint},
            {"choices", std::move(choices)}};
  }
  Json one_chunk(Json choice) const {
    Json chunk = envelope(chunk_object(), Json::array({std::move(choice)}));
    if (head_.include_usage) chunk["usage"] = nullptr;
    return chunk;
  }

 private:
  AnswerHead head_;
  const Tokenizer& tokenizer_;
};

class ChatFormat final : public Format {
 public:
  using Format::Format;

  Json opening(int64_t index) const override {
    return one_chunk(choice(index, "delta", {{"role", "assistant"}, {"content", ""}}));
  }
  Json chunk(const ChoiceText& text) const override {
    Json delta = Json::object();
    if (!text.piece.text.empty()) delta["content"] = text.piece.text;
    return one_chunk(filled(text, "delta", std::move(delta)));
  }
  Json whole(const std::vector<ChoiceText>& texts, const Usage& usage) const override {
    Json choices = Json::array();
    for (const ChoiceText& text : texts) {
      choices.push_back(
          filled(text, "message",
                 {{"role", "assistant"}, {"content", text.piece.text}, {"refusal", nullptr}}));
    }
    Json answer = envelope("chat.completion", std::move(choices));
    answer["usage"] = usage_json(usage);
    return answer;
  }

 protected:
  const char* prefix() const override { return "chatcmpl-"; }
  const char* chunk_object() const override { return "chat.completion.chunk"; }

 private:
  static Json choice(int64_t index, const char* key, Json content) {
    return {{"index", index},
            {key, std::move(content)},
            {"logprobs", nullptr},
            {"finish_reason", nullptr}};
  }
  Json filled(const ChoiceText& text, const char* key, Json content) const {
    Json out = choice(text.index, key, std::move(content));
    if (text.logprobs && (!text.piece.tokens.empty() || std::string_view(key) == "message"))
      out["logprobs"] = logprobs(text);
    out["finish_reason"] = finish_or_null(text.finish_reason);
    return out;
  }
  Json entry(int32_t id, float logprob) const {
    const TokenName name = token_name(tokenizer(), id);
    Json bytes = Json::array();
    for (const char byte : name.bytes) bytes.push_back(static_cast<unsigned char>(byte));
    return {{"token", name.text}, {"logprob", logprob}, {"bytes", std::move(bytes)}};
  }
  Json logprobs(const ChoiceText& text) const {
    Json content = Json::array();
    for (const GeneratedToken& token : text.piece.tokens) {
      Json top = Json::array();
      for (const TokenLogprob& other : token.top) top.push_back(entry(other.id, other.logprob));
      Json item = entry(token.id, token.logprob);
      item["top_logprobs"] = std::move(top);
      content.push_back(std::move(item));
    }
    return {{"content", std::move(content)}, {"refusal", nullptr}};
  }
};

class CompletionFormat final : public Format {
 public:
  using Format::Format;

  Json opening(int64_t) const override { return nullptr; }
  Json chunk(const ChoiceText& text) const override { return one_chunk(filled(text)); }
  Json whole(const std::vector<ChoiceText>& texts, const Usage& usage) const override {
    Json choices = Json::array();
    for (const ChoiceText& text : texts) choices.push_back(filled(text));
    Json answer = envelope("text_completion", std::move(choices));
    answer["usage"] = usage_json(usage);
    return answer;
  }

 protected:
  const char* prefix() const override { return "cmpl-"; }
  const char* chunk_object() const override { return "text_completion"; }

 private:
  Json filled(const ChoiceText& text) const {
    return {{"index", text.index},
            {"text", text.piece.text},
            {"logprobs", text.logprobs ? logprobs(text) : Json(nullptr)},
            {"finish_reason", finish_or_null(text.finish_reason)}};
  }
  Json logprobs(const ChoiceText& text) const {
    Json tokens = Json::array(), values = Json::array(), tops = Json::array(),
         offsets = Json::array();
    size_t offset = text.offset;
    for (const GeneratedToken& token : text.piece.tokens) {
      const std::string name = token_name(tokenizer(), token.id).text;
      Json top = Json::object();
      for (const TokenLogprob& other : token.top)
        top[token_name(tokenizer(), other.id).text] = other.logprob;
      tokens.push_back(name);
      values.push_back(token.logprob);
      tops.push_back(std::move(top));
      offsets.push_back(offset);
      offset += count_code_points(name);
    }
    return {{"tokens", std::move(tokens)},
            {"token_logprobs", std::move(values)},
            {"top_logprobs", std::move(tops)},
            {"text_offset", std::move(offsets)}};
  }
};

}  // namespace

std::unique_ptr<AnswerFormat> chat_format(AnswerHead head, const Tokenizer& tokenizer) {
  return std::make_unique<ChatFormat>(std::move(head), tokenizer);
}

std::unique_ptr<AnswerFormat> completion_format(AnswerHead head, const Tokenizer& tokenizer) {
  return std::make_unique<CompletionFormat>(std::move(head), tokenizer);
}

std::string sse_event(const Json& data) { return "data: " + json_text(data) + "\n\n"; }

}  // namespace gradus
