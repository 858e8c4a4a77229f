// SPDX-License-Identifier: Apache-2.0
// What the tokenizer tests share.
#pragma once

#include <zlib.h>

#include <stdexcept>
#include <string>

#include "base/json.h"
#include "support/catch.h"
#include "text/tokenizer.h"

namespace gradus {

inline fs::path tokenizer_fixture(const std::string& name) {
  return fs::path(GRADUS_SOURCE_DIR) / "tests/fixtures/tokenizers" / (name + ".json");
}

inline std::unique_ptr<Tokenizer> fixture_tokenizer(const std::string& name) {
  return tokenizer_from_json(read_json(tokenizer_fixture(name)).at("tokenizer"), name);
}

inline std::string read_gzip(const fs::path& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (!file) throw std::runtime_error("cannot open " + path.string());
  std::string out(1 << 20, '\0');
  size_t used = 0;
  for (int got; (got = gzread(file, out.data() + used, unsigned(out.size() - used))) > 0;) {
    used += static_cast<size_t>(got);
    if (used == out.size()) out.resize(out.size() * 2);
  }
  gzclose(file);
  out.resize(used);
  return out;
}

inline std::string stream(const Tokenizer& tokenizer, const std::vector<TokenId>& ids,
                          DecodeSpecial special) {
  StreamDecoder decoder(tokenizer, special);
  std::string out;
  for (const TokenId id : ids) out += decoder.push(id);
  return out + decoder.finish();
}

}  // namespace gradus
