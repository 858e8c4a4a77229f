// SPDX-License-Identifier: Apache-2.0
// Vocabularies in lines, tiktoken's and RWKV's: refused with gradus::Error, or usable, with the
// same ids in both ways of encoding.
#include <cstdint>
#include <cstdlib>

#include "base/error.h"
#include "base/log.h"
#include "text/tokenizer/rwkv_vocab.h"
#include "text/tokenizer/tiktoken.h"

namespace {

using namespace gradus;

void use(const Tokenizer& tokenizer) {
  for (const char* text :
       {"", " ", "Hello  world 123\n", "n\xC3\xA9 \xE6\x97\xA5 aaaaaaaabbbbaaaab"}) {
    try {
      const Encoding encoding = tokenizer.encode_with_spans(text, SpecialTokens::kAdd);
      if (tokenizer.encode(text, SpecialTokens::kAdd) != encoding.ids) std::abort();
      tokenizer.decode(encoding.ids, DecodeSpecial::kKeep);
    } catch (const Error&) {
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  set_log_level(LogLevel::kError);
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    use(*tokenizer_from_rwkv(text, Json::object(), "fuzz"));
  } catch (const Error&) {
  }
  try {
    if (looks_like_tiktoken(text)) use(*tokenizer_from_tiktoken(text, "qwen.tiktoken"));
  } catch (const Error&) {
  }
  return 0;
}
