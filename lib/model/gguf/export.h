// SPDX-License-Identifier: Apache-2.0
// From a model folder to one GGUF file that llama.cpp runs: metadata, vocabulary, chat template and
// weights as llama.cpp's converter and quantiser write them; the other way round is
// import.h.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

struct GgufExportOptions {
  std::string type = "BF16";  // of formats/gguf_mixture.h: F32, F16, BF16, Q8_0, Q4_K_M, …
  std::string name = {};      // general.name
  std::string licence = {};   // general.license; "" if unknown
};

// The families of architecture.h. Vectors are stored as F32. One tensor is in memory at a time.
// Throws gradus::Error naming the key or tensor for whatever the GGUF form of the architecture
// cannot say, for quantised models, and for values that are not finite in the type. `file` appears
// when it is complete.
void export_gguf(const fs::path& folder, const fs::path& file, const GgufExportOptions& options);

}  // namespace gradus
