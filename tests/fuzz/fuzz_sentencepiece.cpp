// SPDX-License-Identifier: Apache-2.0
// SentencePiece model files: refused with gradus::Error, or usable.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace gradus;
  try {
    const auto tokenizer = tokenizer_from_sentencepiece_bytes(
        std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    for (const char* text : {"", " ", "Hello  world 123\n", "n\xC3\xA9 \xE6\x97\xA5"}) {
      const Encoding encoding = tokenizer->encode_with_spans(text, SpecialTokens::kAdd);
      for (const TokenId id : encoding.ids) {
        if (!tokenizer->has_token(id)) std::abort();
      }
      tokenizer->decode(encoding.ids, DecodeSpecial::kKeep);
    }
  } catch (const Error&) {
  }
  return 0;
}
