// SPDX-License-Identifier: Apache-2.0
// Folders from before tokenizer.json: vocab.json and merges.txt (byte-level BPE), or vocab.txt
// (WordPiece). The files do not say how text is cut; the tokenizer class does, which the folder
// names. Source: the tokenizer classes of transformers 5.
#pragma once

#include "base/files.h"
#include "base/json.h"

namespace gradus {

// Whether a folder has such files.
bool has_vocabulary_files(const fs::path& folder);

// The tokenizer.json that they mean. Throws gradus::Error for malformed files and for a class that
// is not known.
Json tokenizer_json_from_vocabulary(const fs::path& folder);

}  // namespace gradus
