// SPDX-License-Identifier: Apache-2.0
// Which files of a repository are needed. Weights are safetensors and GGUF; pickles can run code
// and are never fetched.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "hub/listing.h"

namespace gradus {

using HubPaths = std::vector<std::string>;

// Everything in `folder` ("" for the top) of a model but its weights: configuration, tokenizer,
// chat templates, licence, the index of the shards.
HubPaths model_text_files(const HubPaths& all, const std::string& folder);

// The index file that names the shards, if the folder has one and no single weights file.
std::string weights_index(const HubPaths& all, const std::string& folder);
// The paths of the shards that the text of an index names. Throws gradus::Error naming `where` for
// an index that names none, or files outside its folder.
HubPaths shards_of_index(std::string_view index, const std::string& folder,
                         const std::string& where);
// A single file of weights or of an adapter. Throws, saying what there is instead, when the folder
// has neither those nor an index. `where` is the reference.
HubPaths single_weights(const HubPaths& all, const std::string& folder, const std::string& where);

// The data files directly in `folder`, as gradus reads them.
HubPaths data_files_of(const HubPaths& all, const std::string& folder);

// A file that was asked for by name, with the other parts of a split GGUF file. Refuses pickles.
HubPaths named_file(const HubPaths& all, const std::string& path, const std::string& where);

bool has_folder(const HubPaths& all, const std::string& folder);

}  // namespace gradus
