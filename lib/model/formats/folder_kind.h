// SPDX-License-Identifier: Apache-2.0
// What a folder is that should be a model.
#pragma once

#include "base/files.h"

namespace gradus {

// Throws gradus::Error when the folder has no config.json, saying what it is instead: an adapter, a
// run folder with a model or adapter inside, or nothing that is known.
void require_model_folder(const fs::path& folder);

}  // namespace gradus
