// SPDX-License-Identifier: Apache-2.0
// The base of an adapter folder: what the folder says of it, and where it is on this machine.
#pragma once

#include <string>

#include "base/files.h"

namespace gradus {

struct AdapterBase {
  std::string named;  // a path, or hf://owner/name[@revision]; "" when the adapter names none
  fs::path folder;    // a model folder that is here; empty when it is not
};

// lineage.json says it best, else base_model_name_or_path of adapter_config.json: a folder, or a
// name on a hub, which is looked up in the hub's cache. Nothing is fetched.
AdapterBase find_adapter_base(const fs::path& adapter);

// Its folder. Throws gradus::Error, one line that says how to get it, when it is not here.
fs::path require_adapter_base(const fs::path& adapter);

}  // namespace gradus
