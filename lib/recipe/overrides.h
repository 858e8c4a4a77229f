// SPDX-License-Identifier: Apache-2.0
// `key.sub=value` on the command line. Overrides edit the YAML tree before it is loaded, so that
// they obey the same rules as the file and fail with the same messages.
#pragma once

#include <string>
#include <vector>

#include "recipe/yaml_node.h"

namespace gradus {

// The tree with every override applied in order. The value is YAML: `lr=1e-4`, `tags=[a, b]`,
// `lora={rank: 8}`, `name=` (nothing: unset). A segment that is a number indexes a list that the
// recipe gives: `stages.0.lr=1`. `list+=value` appends. Maps on the way are made when missing; a
// map or list that is the value itself replaces the old one. Bad overrides go to `problems`.
YamlPtr apply_overrides(YamlPtr root, const std::vector<std::string>& overrides,
                        Problems& problems);

}  // namespace gradus
