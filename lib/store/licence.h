// SPDX-License-Identifier: Apache-2.0
// The licence of a model folder that has no lineage.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

// `license` (or, when that is "other", `license_name`) from the metadata block at the start of
// README.md, as the Hugging Face hub reads it; else the name of a licence recognised at the start
// of a LICENSE file; "" when neither says.
std::string folder_licence(const fs::path& folder);

// The same from the text of a README.md.
std::string readme_licence(std::string_view readme);

}  // namespace gradus
