// SPDX-License-Identifier: Apache-2.0
// libsentencepiece trusts its model files: some broken ones end the process or read outside of
// their memory. This checks what it relies on before it sees a file.
// Source: sentencepiece_model.proto; normalizer.cc and darts.h for the character map.
#pragma once

#include <string>
#include <string_view>

namespace gradus {

// Throws gradus::Error naming `where`.
void check_sentencepiece_model(std::string_view model, const std::string& where);

}  // namespace gradus
