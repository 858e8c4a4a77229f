// SPDX-License-Identifier: Apache-2.0
#include "store/adapter_base.h"

#include "base/error.h"
#include "base/json.h"
#include "hub/hub.h"
#include "hub/reference.h"
#include "store/lineage.h"

namespace gradus {
namespace {

bool is_model_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_regular_file(path / "config.json", ignored);
}

// "owner/name" as a reference; "" for what can only be a path.
std::string reference_of(const std::string& name, const std::string& revision) {
  const std::string text = is_hub_reference(name) ? name : "hf://" + name;
  try {
    HubReference reference = parse_hub_reference(text);
    if (reference.kind != HubKind::kModel || !reference.path.empty()) return "";
    if (revision.empty() || text.find('@') != text.npos) return text;
    reference.revision = revision;
    return to_string(reference);
  } catch (const Error&) {
    return "";
  }
}

AdapterBase located(const std::string& name, const std::string& revision) {
  if (name.empty()) return {};
  if (!is_hub_reference(name) && is_model_folder(name)) return {.named = name, .folder = name};
  const std::string reference = reference_of(name, revision);
  if (reference.empty()) return {.named = name, .folder = {}};
  return {.named = reference, .folder = cached_model(reference)};
}

AdapterBase base_of_lineage(const fs::path& adapter) {
  if (!has_lineage(adapter)) return {};
  for (const LineageParent& parent : read_lineage(adapter).parents) {
    if (parent.role != "base") continue;
    const fs::path path = (fs::weakly_canonical(adapter) / parent.path).lexically_normal();
    if (is_model_folder(path)) return {.named = path.string(), .folder = path};
    return parent.hub.empty() ? AdapterBase{.named = path.string(), .folder = {}}
                              : located(parent.hub, "");
  }
  return {};
}

}  // namespace

AdapterBase find_adapter_base(const fs::path& adapter) {
  const AdapterBase own = base_of_lineage(adapter);
  if (!own.folder.empty()) return own;
  const fs::path file = adapter / "adapter_config.json";
  const Json config = read_json(file);
  const AdapterBase named =
      located(json_get<std::string>(config, "base_model_name_or_path", "", file.string()),
              json_get<std::string>(config, "revision", "", file.string()));
  return named.folder.empty() && !own.named.empty() ? own : named;
}

fs::path require_adapter_base(const fs::path& adapter) {
  const AdapterBase base = find_adapter_base(adapter);
  if (!base.folder.empty()) return base.folder;
  if (base.named.empty())
    throw Error({.what = "does not name its base",
                 .where = adapter.string(),
                 .hint = "say which model it was trained on: --base DIR"});
  const std::string name = printable(base.named, 200);
  throw Error({.what = "names a base that is not here: " + name,
               .where = adapter.string(),
               .hint = is_hub_reference(base.named)
                           ? "fetch it first, gradus model fetch " + name + ", or give --base DIR"
                           : "give it with --base DIR or --base hf://owner/name"});
}

}  // namespace gradus
