// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/contents.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "base/float16.h"
#include "model/formats/safetensors.h"

namespace gradus {
namespace {

ContentTensor content_of(const std::string& name, const StoredTensor& stored) {
  return {.name = name, .dtype = stored.dtype, .shape = stored.shape, .bytes = stored.bytes};
}

ModelContents open_gguf(const fs::path& path) {
  auto file = std::make_shared<GgufFile>(path);
  ModelContents contents{.kind = ContentsKind::kGguf,
                         .path = path,
                         .config = nullptr,
                         .metadata = file->metadata(),
                         .tensors = {},
                         .files = file};
  for (const GgufTensor& tensor : file->tensors())
    contents.tensors.push_back({.name = tensor.name,
                                .dtype = gguf_type_info(tensor.type).name,
                                .shape = tensor.shape,
                                .bytes = tensor.bytes,
                                .gguf = &tensor});
  return contents;
}

template <class Files>
ModelContents open_safetensors(ContentsKind kind, const fs::path& path, const char* config,
                               std::shared_ptr<Files> files) {
  ModelContents contents{.kind = kind,
                         .path = path,
                         .config = read_json(path / config),
                         .metadata = nullptr,
                         .tensors = {},
                         .files = files};
  for (const std::string& name : files->names())
    contents.tensors.push_back(content_of(name, files->at(name)));
  return contents;
}

ModelContents open_adapter(const fs::path& path) {
  return open_safetensors(ContentsKind::kAdapter, path, "adapter_config.json",
                          std::make_shared<SafetensorsFile>(path / "adapter_model.safetensors"));
}

ModelContents open_folder(const fs::path& path) {
  return open_safetensors(ContentsKind::kModel, path, "config.json",
                          std::make_shared<SafetensorsFolder>(path));
}

template <class T>
T load(const std::byte* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

using Widen = float (*)(const std::byte*);
struct NumericType {
  const char* name;
  size_t bytes;
  Widen widen;
};

template <class T>
float widen_number(const std::byte* at) {
  return static_cast<float>(load<T>(at));
}

// Exact but for F64 and the wide integers.
constexpr NumericType kNumericTypes[] = {
    {"F32", 4, widen_number<float>},
    {"BF16", 2, [](const std::byte* at) { return float_from_bfloat16(load<uint16_t>(at)); }},
    {"F16", 2, [](const std::byte* at) { return float_from_half(load<uint16_t>(at)); }},
    {"F64", 8, widen_number<double>},
    {"I8", 1, widen_number<int8_t>},
    {"U8", 1, widen_number<uint8_t>},
    {"BOOL", 1, widen_number<uint8_t>},
    {"I16", 2, widen_number<int16_t>},
    {"I32", 4, widen_number<int32_t>},
    {"I64", 8, widen_number<int64_t>},
};

const NumericType* numeric_type(const std::string& dtype) {
  for (const NumericType& type : kNumericTypes) {
    if (dtype == type.name) return &type;
  }
  return nullptr;
}

[[noreturn]] void throw_no_model(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) throw Error({.what = "does not exist", .where = path.string()});
  std::string inside;
  for (const char* file : {"model/config.json", "adapter/adapter_config.json"}) {
    if (fs::exists(path / file, ignored))
      inside += (inside.empty() ? "" : " and ") + (path / file).parent_path().string();
  }
  throw Error({.what = inside.empty() ? "is no model" : "is a run folder, not a model",
               .where = path.string(),
               .expected = "a folder with config.json or adapter_config.json, or a GGUF file",
               .hint = inside.empty() ? "" : "look at " + inside});
}

}  // namespace

int64_t ContentTensor::elements() const {
  int64_t count = 1;
  for (const int64_t extent : shape) count *= extent;
  return count;
}

const ContentTensor* ModelContents::find(const std::string& name) const {
  const auto entry = std::lower_bound(
      tensors.begin(), tensors.end(), name,
      [](const ContentTensor& tensor, const std::string& wanted) { return tensor.name < wanted; });
  return entry != tensors.end() && entry->name == name ? &*entry : nullptr;
}

ModelContents open_contents(const fs::path& path) {
  ModelContents contents;
  if (fs::is_regular_file(path)) {
    contents = open_gguf(path);
  } else if (fs::exists(path / "adapter_config.json") && !fs::exists(path / "config.json")) {
    contents = open_adapter(path);
  } else if (fs::exists(path / "config.json")) {
    contents = open_folder(path);
  } else {
    throw_no_model(path);
  }
  std::sort(contents.tensors.begin(), contents.tensors.end(),
            [](const ContentTensor& a, const ContentTensor& b) { return a.name < b.name; });
  return contents;
}

std::optional<ModelConfig> model_config_of(const ModelContents& contents) {
  if (contents.kind != ContentsKind::kModel) return std::nullopt;
  try {
    return model_config_from_json(contents.config, (contents.path / "config.json").string());
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool is_numeric(const ContentTensor& tensor) {
  return tensor.gguf != nullptr || numeric_type(tensor.dtype) != nullptr;
}

void expand_rows(const ContentTensor& tensor, int64_t first, std::span<float> out) {
  const int64_t columns = tensor.row_elements();
  const int64_t rows = static_cast<int64_t>(out.size()) / std::max<int64_t>(columns, 1);
  if (tensor.gguf) {
    for (int64_t row = 0; row < rows; ++row)
      dequantize_gguf_row(
          *tensor.gguf, first + row,
          out.subspan(static_cast<size_t>(row * columns), static_cast<size_t>(columns)));
    return;
  }
  const NumericType* type = numeric_type(tensor.dtype);
  if (!type) throw std::logic_error("expand_rows of " + tensor.dtype);
  const std::byte* at = tensor.bytes.data() + static_cast<size_t>(first * columns) * type->bytes;
  for (float& value : out) {
    value = type->widen(at);
    at += type->bytes;
  }
}

}  // namespace gradus
