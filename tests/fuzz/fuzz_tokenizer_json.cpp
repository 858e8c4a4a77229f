// SPDX-License-Identifier: Apache-2.0
// Whatever tokenizer_from_json accepts must encode and decode: ids have tokens, spans lie in the
// text, and streamed text equals decoded text. The input is read as a GGUF vocabulary too.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "text/tokenizer.h"
#include "text/tokenizer/gguf_rwkv.h"
#include "text/tokenizer/gguf_vocab.h"

namespace {

using namespace gradus;

const std::string kTexts[] = {"", " ", "Hello  world 123\n",
                              "<s>né\xCC\x81\xE6\x97\xA5\xF0\x9F\x8E\x89",
                              std::string(300, 'a') + std::string(300, ' ')};

void use(const Tokenizer& tokenizer, const std::string& text) {
  const Encoding encoding = tokenizer.encode_with_spans(text, SpecialTokens::kAdd);
  if (encoding.spans.size() != encoding.ids.size()) std::abort();
  if (tokenizer.encode(text, SpecialTokens::kAdd) != encoding.ids) std::abort();
  for (const ByteSpan& span : encoding.spans) {
    if (span.begin > span.end || span.end > text.size()) std::abort();
  }
  if (tokenizer.encode_batch({text}, SpecialTokens::kNone).size() != 1) std::abort();
  for (const auto special : {DecodeSpecial::kKeep, DecodeSpecial::kSkip}) {
    StreamDecoder decoder(tokenizer, special);
    for (const TokenId id : encoding.ids) decoder.push(id);
    decoder.finish();
    tokenizer.decode(encoding.ids, special);
  }
}

void read(const Json& document) {
  try {
    const auto tokenizer = tokenizer_from_json(document, "fuzz");
    for (const std::string& text : kTexts) {
      try {
        use(*tokenizer, text);
      } catch (const Error&) {
      }
    }
  } catch (const Error&) {
  }
}

void read_rwkv(const Json& document) {
  try {
    rwkv_vocabulary_from_gguf(document, "fuzz");  // makes a tokenizer of it
  } catch (const Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  set_log_level(LogLevel::kError);
  try {
    const Json document =
        parse_json(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    read(document);
    read_rwkv(document);
    read(tokenizer_json_from_gguf(document, "fuzz"));
  } catch (const Error&) {
  }
  return 0;
}
