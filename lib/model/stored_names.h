// SPDX-License-Identifier: Apache-2.0
// How a folder's files may name tensors other than the family does, and what else they may hold.
#pragma once

#include <string>

#include "model/config.h"
#include "model/formats/safetensors.h"

namespace gradus {

// Gives the parts of stacked tensors their own names.
void name_stacked_parts(SafetensorsFolder& files, const std::vector<StackedNames>& names);

// The name under which the files have a tensor; `name` itself when they do not have it.
std::string stored_name(const SafetensorsFolder& files, const TensorNames& names,
                        const std::string& name);

// Whether files may hold a tensor beside the model's: buffers of old versions, and a second copy of
// a tied output projection.
bool is_known_extra(const std::string& name, const ModelConfig& config);

// Whether a tensor is of a part of the files that is no part of the language model.
bool is_left_out(const std::string& name, const TensorNames& names);

}  // namespace gradus
